"""One run on several processes, as `torchrun` starts them: who trains what, and what they tell each other.

All ranks draw the same batches; each trains its part of every batch, gradients are averaged, and losses are exchanged
once an epoch. So a run on several ranks is the run on one, to rounding: the same selections, steps and learning rates,
also where a batch does not divide evenly. Two things are each rank's own: batch-norm statistics (over its part of the
batch, as in torch's ImageNet example; those of the first rank are kept), and noise drawn in the network (dropout,
masks). Ranks share the folders of the run; the first rank alone writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from orderdp.pruning import observations
from orderdp.pruning.observations import rank_and_world_size

TIMEOUT = timedelta(minutes=30)


class RankLost(RuntimeError):
    """Another process of this run ended before its time."""


@dataclass
class Steps:
    """What the steps of one epoch leave behind, on the device until the epoch ends."""

    losses: list[Tensor] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    correct: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    samples: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    """Numbers, losses and answers of the samples of each step of this rank."""

    def of_samples(self) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers, losses and answers of all samples of the epoch, of all ranks, on the CPU."""
        indices, losses = observations.joined([(indices, losses) for indices, losses, _ in self.samples])
        answers = observations.joined([(indices, answers) for indices, _, answers in self.samples])[1].long()
        if rank_and_world_size()[1] > 1:
            _, answers = observations.gather(indices, answers)
            indices, losses = observations.gather(indices, losses)
        return indices, losses, answers


class RankBatch(NamedTuple):
    """What one rank trains of a batch."""

    indices: Tensor
    """int64 (b,); never empty, because every rank must take part in every step."""
    scale: float
    """By which the mean loss over `indices` is multiplied, so that the mean over ranks is that of the batch. 0 where
    the batch has too few samples for this rank: then `indices` are samples of another rank, trained without effect."""


class Batch(NamedTuple):
    """What a step is given."""

    part: RankBatch
    indices: Tensor
    """Those of the part, on the device."""
    images: Tensor
    """float32 (B, C, H, W), normalised."""
    labels: Tensor
    """int64 (B,)."""


class Ranks:
    """This process among those of its run; alone unless `torch.distributed` is initialised."""

    def __init__(self) -> None:
        self.rank, self.world = rank_and_world_size()

    @property
    def first(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The module to call in training, which averages gradients over ranks."""
        if self.world == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def without_exchange(self, network: nn.Module) -> AbstractContextManager[Any]:
        """In which a backward pass leaves the gradients of this rank to itself, to be averaged by a later one."""
        return network.no_sync() if self.world > 1 else contextlib.nullcontext()  # type: ignore[operator, no-any-return]

    def rank_batches(self, batches: Iterable[Tensor], seen: list[Tensor]) -> Iterator[RankBatch]:
        """This rank's part of each batch; the batches themselves are appended to `seen`."""
        for batch in batches:
            seen.append(batch)
            # Two samples a rank at least, where the batch has two: batch norm cannot train on one. So the batches
            # themselves need not depend on the number of ranks, and a run can go on with another.
            active = max(1, min(self.world, len(batch) // 2))
            if self.rank < active:
                part = batch[self.rank :: active]
                yield RankBatch(part, len(part) * self.world / len(batch))
            else:
                yield RankBatch(batch[:2], 0.0)

    def merge(self, record: Steps) -> None:
        """Turns what this rank's steps recorded into what they were over all ranks; once an epoch."""
        if self.world == 1:
            return
        sizes = torch.tensor(record.sizes, dtype=torch.float64)
        sums = [torch.stack(values).double().cpu() for values in (record.losses, record.weights, record.correct)]
        for values in sums[:2]:
            values.copy_(torch.where(sizes > 0, values * sizes, 0.0))
        total = self.sum(torch.stack([sizes, *sums]))
        record.sizes = [int(size) for size in total[0]]
        record.losses, record.weights = (list(values / total[0]) for values in total[1:3])
        record.correct = list(total[3].long())
        record.norms = [norm.cpu() for norm in record.norms]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over ranks, on the CPU."""
        if self.world > 1:
            values = values.to(_device())
            dist.all_reduce(values)
        return values.cpu()

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        return flag if self.world == 1 else bool(self.sum(torch.tensor(float(flag))) > 0)

    def wait(self) -> None:
        """Until every rank is here."""
        if self.world > 1:
            dist.barrier()

    def share_buffers(self, model: nn.Module) -> None:
        """Gives every rank the first one's batch-norm statistics."""
        if self.world > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def agree(self, epoch: int) -> None:
        """Checks that all ranks resume at one epoch.

        Raises:
            RuntimeError: they do not, since they do not share the run's folder.
        """
        if self.world > 1:
            epochs = [torch.zeros(1, device=_device()) for _ in range(self.world)]
            dist.all_gather(epochs, torch.tensor([float(epoch)], device=_device()))
            if len({int(e) for e in epochs}) > 1:
                raise RuntimeError(
                    f"The ranks would resume after different epochs ({', '.join(str(int(e)) for e in epochs)}). "
                    "They must share the folder .work: put the project on a file system that all nodes see."
                )


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


def local_device(name: str | None) -> str | None:
    """The device of this rank: under `torchrun` with CUDA, the one of its number on its machine."""
    if name in (None, "cuda") and "LOCAL_RANK" in os.environ and torch.cuda.is_available():
        number, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= count:
            raise ValueError(
                f"Rank {number} of this machine has no GPU: {count} here. "
                f"Start `torchrun` with --nproc-per-node={count} or less."
            )
        return f"cuda:{number}"
    return name


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Joins the processes that `torchrun` started (its variables RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT); alone
    without it.

    Raises:
        RankLost: another process ended before its time.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        with explain_lost_rank():
            yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with explain_lost_rank():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
        try:
            yield Ranks()
        finally:
            dist.destroy_process_group()


@contextlib.contextmanager
def explain_lost_rank() -> Iterator[None]:
    """Says in one sentence what a broken connection means."""
    try:
        yield
    except RuntimeError as error:
        # torch has classes of its own for some backends (DistError and its heirs); gloo raises plain RuntimeErrors.
        words = ("gloo", "Connection closed by peer", "Connection reset", "NCCL")
        if isinstance(error, RankLost) or not (
            type(error).__name__.startswith("Dist") or any(word in str(error) for word in words)
        ):
            raise
        raise RankLost(_lost(error)) from error


def _lost(error: Exception) -> str:
    rank, world = os.environ.get("RANK", "?"), os.environ.get("WORLD_SIZE", "?")
    return (
        f"Rank {rank} of {world} lost another rank ({str(error).splitlines()[0][:120]}). Its own message, or the "
        "system's log (out of memory?), says why. Nothing is broken: start the same command again, with as many ranks "
        "as you like, and it goes on from its last saved epoch."
    )
