"""The training loop: one run, from initial weights to history, kept sets and final weights.

This module and what it imports decide results, so that editing any of them trains every run again. Files, locks,
progress bars and signals belong to `orderdp.jobs.trainer`.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from orderdp.datasets import FolderData, ImageData
from orderdp.datasets.noise import with_label_noise
from orderdp.diagnostics.selection import coverage, jaccard
from orderdp.models import MODELS
from orderdp.models.pretrained import start_from
from orderdp.pruning import PRUNERS
from orderdp.pruning.base import Pruner
from orderdp.pruning.batching import batch_sizes
from orderdp.pruning.rng import stream_seed
from orderdp.pruning.subset import Subset
from orderdp.spec import RunSpec
from orderdp.training.captured import CannotCapture, Capture, CapturedStep, obstacle
from orderdp.training.device import Stopwatch, peak_memory_mb, reset_peak_memory
from orderdp.training.distributed import Batch, RankBatch, Ranks, Steps
from orderdp.training.loaders import InMemoryLoader, build_loader
from orderdp.training.memory_format import arrange
from orderdp.training.mixes import Mixer, Targets
from orderdp.training.objectives import build_objective
from orderdp.training.optim import build_optimizer, clipped, one_cycle
from orderdp.training.precision import Precision
from orderdp.training.samples import SampleHistory
from orderdp.training.snapshot import Snapshot


class Diverged(Exception):
    """The training loss is no longer finite. Carries where: `epoch` and `step`, both from 1."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(f"The training loss is not finite at epoch {epoch}, step {step}.")
        self.epoch, self.step = epoch, step


def build_pruner(spec: RunSpec, n: int, coreset: Subset | None = None) -> Pruner:
    """The pruner of a run over n samples; options that hold a `prune_ratio` go through `at_ratio`.

    A constructor that takes `epochs`, itself or through `**options`, is given the epochs of the recipe.

    Raises:
        ValueError: the run trains on a coreset, and none is given.
    """
    cls = PRUNERS[spec.method.name]
    options: dict[str, Any] = dict(spec.method.options)
    if spec.coreset is not None:
        if coreset is None:
            raise ValueError(f"A run on a coreset by '{spec.coreset.method}' needs its samples.")
        return cls(n, seed=spec.seed, indices=coreset.indices, weights=coreset.weights, **options)  # type: ignore[call-arg]
    if _takes(cls, "epochs"):
        options["epochs"] = spec.recipe.epochs
    if "prune_ratio" in options:
        return cls.at_ratio(n, options.pop("prune_ratio"), seed=spec.seed, **options)
    return cls(n, seed=spec.seed, **options)


def _takes(cls: type[Pruner], option: str) -> bool:
    """Whether a pruner's constructor takes an option: it names it, or hands `**options` on to a base that does."""
    for owner in cls.__mro__:
        if "__init__" in vars(owner):
            parameters = inspect.signature(vars(owner)["__init__"]).parameters
            if option in parameters:
                return True
            if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
                return False
    return False


def build_model(spec: RunSpec, data: ImageData | FolderData) -> nn.Module:
    """The network with initial weights that depend on the seed alone; the global random state stays untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(spec.seed, "init", 0))
        return MODELS[spec.model.name](data.classes, data.channels, **spec.model.options)


class Training:
    """One run: everything that a checkpoint holds, and the loop that moves it.

    Args:
        spec: what to train.
        data: images and labels, as `orderdp.datasets.load` gives them.
        device: where to compute.
        workers: loader processes of data that is decoded while it is used.
        compiled: let torch compile the network: the same arithmetic, other rounding.
        coreset: the samples of a run that trains on a coreset.
        micro_batch: samples that go through the network at a time; a larger batch of this rank goes in equal pieces,
            whose gradients add up. Paper: whole batches; here: in pieces where they do not fit, so that batch norm sees
            a piece, as it sees the part of a rank.
        capture: how to record the step, so that the device repeats it as a whole; None to compute it step by step.
    """

    def __init__(
        self,
        spec: RunSpec,
        data: ImageData | FolderData,
        device: torch.device,
        coreset: Subset | None = None,
        *,
        workers: int = 0,
        compiled: bool = False,
        micro_batch: int | None = None,
        capture: Capture | None = None,
    ) -> None:
        data, self.wrong = with_label_noise(data, spec.dataset.label_noise)
        self.spec, self.data, self.device = spec, data, device
        self.compiled, self.micro_batch, self.capture = compiled, micro_batch, capture
        self.n = len(data.train_labels)
        self.precision = Precision(spec.recipe.precision, device)
        self.objective = build_objective(spec)
        self.mixer = Mixer(spec.recipe.mix, spec.seed)
        self.model = arrange(build_model(spec, data), device)
        self.optimizer = build_optimizer(self.model, spec.recipe.optimizer)
        self.pruner = build_pruner(spec, self.n, coreset)
        self.pruner.shard(0, 1)  # every rank sees the whole batches and takes its part of each
        self.ranks = Ranks()
        self.network = self.ranks.wrap(torch.compile(self.model) if compiled else self.model, device)  # type: ignore[arg-type]
        self.loader = build_loader(data, spec.recipe, spec.seed, device, workers)
        self.captured: CapturedStep | None = None
        self.not_captured = "" if capture is None else obstacle(self)
        self.epoch = 0
        self.steps_left = self._step_limit()
        self.history: list[dict[str, float | int | None]] = []
        self.usage = torch.zeros(self.n, dtype=torch.int32)
        self.samples = SampleHistory(self.loader.labels.cpu())
        self.previous: Tensor | None = None
        self.kept: dict[int, Tensor] = {}
        if "gradients" in spec.diagnostics and not (isinstance(self.loader, InMemoryLoader) and self._classifies):
            raise ValueError(
                "The diagnostics 'gradients' need a classifier on images in memory. The run trains "
                f"'{spec.model.name}' on '{data.name}': leave them out of its experiment."
            )

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Replaces the initial weights by those of the run that the spec names as its pre-training."""
        start_from(self.model, weights)

    @property
    def done(self) -> bool:
        """Whether the planned training is over."""
        return self.epoch >= self.spec.recipe.epochs or self.steps_left == 0

    def fit(
        self, after_epoch: Callable[[Training], None], at_record: Callable[[Snapshot], None] = lambda snapshot: None
    ) -> None:
        """Trains until done.

        Args:
            after_epoch: called with self at the end of every epoch, off the training clock.
            at_record: called, off the training clock, with what diagnostics are made from, if the spec has any:
                before every epoch whose kept set is recorded, and after the last one. What it is given changes when
                the training goes on.

        Raises:
            Diverged: the training loss became NaN or infinite; the history ends with that epoch.
        """
        while not self.done:
            row, broken = self._train_epoch(at_record)
            last = self.epoch + 1 >= self.spec.recipe.epochs or self.steps_left == 0
            if last or (self.epoch + 1) % self.spec.recipe.evaluate_every == 0 or broken is not None:
                row |= self._evaluate()
            self.epoch += 1
            if self.ranks.world > 1:
                self.pruner.synchronize()  # the only exchange of losses: a checkpoint may be written now
            row["timestamp"] = time.time()
            self.history.append(row)
            after_epoch(self)
            if broken is not None:
                raise Diverged(self.epoch, broken + 1)
        if self.spec.diagnostics:
            at_record(self._snapshot(1.0))

    def _train_epoch(
        self, at_record: Callable[[Snapshot], None] = lambda snapshot: None
    ) -> tuple[dict[str, float | int | None], int | None]:
        """One epoch over the kept samples; returns its row of the history and the first step with a loss that is not
        finite."""
        recipe, seed = self.spec.recipe, self.spec.seed
        reset_peak_memory(self.device)
        t0 = time.perf_counter()
        batches, planned_steps = self._begin_epoch()
        selection_s = time.perf_counter() - t0
        if self.spec.diagnostics and self.epoch + 1 in record_epochs(self.spec):
            at_record(self._snapshot(self._progress(0, planned_steps)))
        training_clock = Stopwatch(self.device)
        record, kept = Steps(), list[Tensor]()
        self.mixer.begin(self.epoch, self.n, self.device)
        self.model.train()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(
                stream_seed(seed, "forward", self.epoch, self.ranks.rank)
            )  # for layers that draw, such as dropout
            parts = self.ranks.rank_batches(batches, kept)
            train_on = self._step if self.not_captured is not None else self._step_captured
            items: Iterator[Any] = self.loader.epoch(self.epoch, parts) if self.not_captured is not None else parts
            for step, item in enumerate(items):
                rates = one_cycle(self._progress(step, planned_steps), recipe.schedule)
                train_on(step, item, rates, record)
        indices = torch.cat(kept)
        self.ranks.merge(record)
        row = self._row(record, indices, self._progress(planned_steps, planned_steps))
        training_s = training_clock.seconds()  # reading the row has waited for the device
        self.samples.learn(*record.of_samples())
        row |= self._record_kept(indices)
        if self.steps_left is not None:
            self.steps_left -= planned_steps
        row |= {
            "selection_s": selection_s,
            "training_s": training_s,
            "samples_per_s": len(indices) / (selection_s + training_s),
            "peak_memory_mb": peak_memory_mb(self.device),
        }
        means = torch.stack(record.losses).tolist()
        broken = next((step for step, loss in enumerate(means) if not math.isfinite(loss)), None)
        return row, broken

    def _begin_epoch(self) -> tuple[Iterator[Tensor], int]:
        """This epoch's batches of indices on the CPU, and their number."""
        batches, steps = self.pruner.batches(self.epoch, self.spec.recipe.batch_size)
        if self.steps_left is not None and steps > self.steps_left:
            steps = self.steps_left
            batches = itertools.islice(batches, steps)
        return batches, steps

    def _step_captured(self, step: int, part: RankBatch, rates: tuple[float, float], record: Steps) -> None:
        """A step of an epoch whose steps are repeated by the device, where the batch has the size that was recorded."""
        if step == 0:
            self.loader.begin(self.epoch)
        if self.captured is None and self.not_captured is None and len(part.indices) == self.spec.recipe.batch_size:
            assert self.capture is not None
            try:
                self.captured = CapturedStep(self, part, rates, self.capture)
            except CannotCapture as error:
                self.not_captured = str(error)
        if self.captured is not None and len(part.indices) == self.captured.size:
            self.captured(part, rates, record)
            return
        indices = part.indices.to(self.device, non_blocking=True)
        self._step(step, Batch(part, indices, *self.loader.batch(indices)), rates, record)

    def _step(self, step: int, batch: Batch, rates: tuple[float, float], record: Steps) -> None:
        """One optimiser step; nothing in it waits for the device (but the loss scale of float16)."""
        part = batch.part
        images, targets = self.mixer(batch.images, batch.labels, batch.indices, step)
        all_losses, all_answers = list[Tensor](), list[Tensor]()
        pieces = _pieces(len(part.indices), self.micro_batch)
        for piece in pieces:
            last = piece.stop == len(part.indices)
            with contextlib.nullcontext() if last else self.ranks.without_exchange(self.network):
                losses, answers, scores = self.forward(batch.indices[piece], images[piece], targets.of(piece))
                # A part without weight is a stand-in, see `RankBatch`: it is neither observed nor counted.
                update = self.pruner.update
                loss = update(part.indices[piece], losses, scores) * part.scale if part.scale else losses.mean() * 0
                self.precision.backward(loss if len(pieces) == 1 else loss * (len(losses) / len(part.indices)))
            all_losses.append(losses.detach())
            all_answers.append(answers)
        gradients = self.precision.gradients(self.optimizer)
        norm = clipped(gradients, self.spec.recipe.optimizer.clip_norm)
        self.precision.step(self.optimizer, *rates)
        record.norms.append(norm)
        losses, answers = torch.cat(all_losses), torch.cat(all_answers)
        record.losses.append(losses.mean())
        record.weights.append(self.pruner.weights(part.indices).mean())
        right = (answers == targets.labels).sum()
        record.correct.append(right if part.scale else right * 0)
        if part.scale:
            record.samples.append((part.indices, losses, answers))
        record.sizes.append(len(part.indices) if part.scale else 0)
        record.rates.append(rates)

    def forward(self, indices: Tensor, images: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor | None]:
        """Losses, answers and scores of a batch, as the objective gives them; `indices` are its samples, on the
        device."""
        with self.precision.autocast():
            return self.objective.losses(self.network, images, targets)

    def _row(self, record: Steps, indices: Tensor, progress: float) -> dict[str, float | int | None]:
        """Reads an epoch's record from the device, once."""
        sizes = torch.tensor(record.sizes, dtype=torch.float64)
        losses, norms, weights = (torch.stack(x).double().cpu() for x in (record.losses, record.norms, record.weights))
        samples = len(indices)
        norms, weights = self.precision.drop_skipped(norms, weights)
        rates, momenta = zip(*record.rates, strict=True)
        return {
            "epoch": self.epoch + 1,
            "progress": progress,
            "lr": sum(rates) / len(rates),
            "momentum": sum(momenta) / len(momenta),
            "train_loss": float((losses * sizes).sum() / samples),
            "train_accuracy": 100 * float(torch.stack(record.correct).sum()) / samples if self._classifies else None,
            "kept": samples,
            "prune_ratio": 1 - samples / self.n,
            "steps": len(record.sizes),
            "grad_norm_mean": float(norms.mean()),
            "grad_norm_std": float(norms.std(correction=0)),
            "grad_norm_min": float(norms.min()),
            "grad_norm_max": float(norms.max()),
            "grad_norm_normalized_mean": float((norms / weights).mean()),
        }

    @torch.inference_mode()
    def _evaluate(self) -> dict[str, float | int | None]:
        """Loss (without label smoothing) and accuracy in % on the test set."""
        t0 = time.perf_counter()
        self.model.eval()
        self.ranks.share_buffers(self.model)
        total_loss = torch.zeros((), device=self.device)
        total_correct = torch.zeros((), dtype=torch.int64, device=self.device)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(stream_seed(self.spec.seed, "forward", 0))  # the same masks at every evaluation
            for images, labels in self.loader.test(self.ranks.rank, self.ranks.world):
                with self.precision.autocast():
                    loss, correct = self.objective.test(self.model, images, labels)
                total_loss += loss
                total_correct += correct
        count = self.loader.test_count
        return {
            "test_loss": float(self.ranks.sum(total_loss)) / count,
            "test_accuracy": 100 * int(self.ranks.sum(total_correct)) / count if self._classifies else None,
            "evaluation_s": time.perf_counter() - t0,
        }

    @property
    def _classifies(self) -> bool:
        return self.spec.recipe.task == "classify"

    @property
    def step_form(self) -> str:
        """How steps are computed: "captured", or "plain" and what is in the way, if they were to be captured."""
        if self.not_captured is None:
            return "captured"
        return f"plain: {self.not_captured}" if self.not_captured else "plain"

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the network computes."""
        return self.precision.dtype

    def _snapshot(self, progress: float) -> Snapshot:
        return Snapshot(self.epoch + 1, progress, self.model.state_dict(), self.pruner.select(self.epoch), self.usage)

    def _progress(self, step: int, steps: int) -> float:
        """Share of the planned training done after `step` of this epoch's `steps`."""
        if self.steps_left is None:
            return (self.epoch + step / steps) / self.spec.recipe.epochs
        total = self._step_limit() or 0
        return (total - self.steps_left + step) / total

    def _step_limit(self) -> int | None:
        recipe = self.spec.recipe
        if recipe.match_steps_at is None:
            return None
        kept = round((1 - recipe.match_steps_at) * self.n)
        return recipe.epochs * len(batch_sizes(kept, recipe.batch_size))

    def _record_kept(self, indices: Tensor) -> dict[str, float | int | None]:
        """Counts this epoch's samples. Keeps its set if one is recorded now or after the next epoch, so that neighbours
        can be compared."""
        self.usage.index_add_(0, indices, torch.ones(len(indices), dtype=torch.int32))
        epoch = self.epoch + 1
        wanted = record_epochs(self.spec)
        if epoch in wanted or epoch + 1 in wanted:
            self.kept[epoch] = indices.to(torch.int32).sort().values
        now, before = torch.zeros(self.n, dtype=torch.bool), self.previous
        now[indices] = True
        self.previous = now
        wrong = float(self.wrong[indices].float().mean()) if self.spec.dataset.label_noise > 0 else None
        similarity = None if before is None else float(jaccard(before, now))
        return {"jaccard": similarity, "coverage": float(coverage(self.usage)), "wrong_labels": wrong}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on. Random streams are functions of (seed, purpose, epoch): none to
        store."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
            "pruner": self.pruner.state_dict(),
            "epoch": self.epoch,
            "steps_left": self.steps_left,
            "history": self.history,
            "usage": self.usage,
            "previous": self.previous,
            "kept": self.kept,
            "samples": self.samples.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.captured = None  # it would go on with the weights that lie where the old ones did
        self.precision.load_state_dict(state["precision"])
        self.pruner.load_state_dict(state["pruner"])
        self.epoch, self.steps_left = state["epoch"], state["steps_left"]
        self.history, self.usage, self.previous, self.kept = (
            state[key] for key in ("history", "usage", "previous", "kept")
        )
        self.samples.load_state_dict(state["samples"])


def _pieces(count: int, micro_batch: int | None) -> list[slice]:
    """Cuts so many samples into as few pieces as possible of at most so many, whose sizes differ by one at most."""
    number = 1 if micro_batch is None else -(-count // micro_batch)
    ends = [count * (place + 1) // number for place in range(number)]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def record_epochs(spec: RunSpec) -> list[int]:
    """The epochs, from 1, at which kept sets are recorded."""
    return sorted({max(1, round(share * spec.recipe.epochs)) for share in spec.record_at})
