"""Pruners under the `Trainer` of Hugging Face Transformers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from orderdp.integrations.extras import missing
from orderdp.integrations.losses import WAY_OUT, check_against_model, sample_losses
from orderdp.pruning.base import Pruner
from orderdp.pruning.indexed import Indexed

try:
    from transformers import Trainer
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    from transformers.trainer_utils import get_last_checkpoint, seed_worker
except ModuleNotFoundError as error:
    raise missing("transformers", error) from error

INDEX = "orderdp_index"
STATE = "pruner.pt"


class PrunerMixin:
    """Adds a pruner to a `Trainer`: `class MyTrainer(PrunerMixin, SomeTrainer)`, built with `pruner=`.

    The training loader draws from the pruner and carries sample numbers; the loss is the pruner's mean of the losses of
    the samples (`sample_losses`), also where the model averages over tokens; checkpoints hold the pruner's state, which
    `train(resume_from_checkpoint=...)` reads. Evaluation is the Trainer's own. The Trainer plans its steps by the first
    epoch's length: with a method whose epochs vary (InfoBatch) give `max_steps`.

    Args:
        pruner: over as many samples as `train_dataset` has, or a function of their number that gives it.
        args, kwargs: the Trainer's own.

    Raises:
        ValueError: another number of samples, or a setting that a pruner cannot follow; the message names the way out.
    """

    loss_is_scaled_for_ga = False  # a mean over the batch: the Trainer divides by the accumulation steps

    def __init__(self, *args: Any, pruner: Pruner | Callable[[int], Pruner], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(pruner, Pruner):
            data = self.train_dataset  # type: ignore[attr-defined]
            if not hasattr(data, "__len__"):
                raise ValueError("The train_dataset has no length, so that there is no number to build the pruner for.")
            pruner = pruner(len(data))
        self.pruner = pruner
        self._fresh = pruner.state_dict()
        self._agrees = type(self).sample_losses is not PrunerMixin.sample_losses
        self._check_settings()
        pruner.shard(0, 1)  # the Trainer's accelerate deals out the batches among processes itself

    def _check_settings(self: Any) -> None:
        """Refuses what a pruner cannot follow."""
        data, pruner = self.train_dataset, self.pruner
        if isinstance(data, IterableDataset) or not hasattr(data, "__len__") or len(data) != pruner.n:
            size = len(data) if hasattr(data, "__len__") else "unknown length"
            raise ValueError(
                f"The pruner is over n = {pruner.n} samples, the train_dataset has {size}. Build {pruner!r} for its"
                " length."
            )
        if self.accelerator.num_processes > 1 and self.accelerator.dispatch_batches:
            raise ValueError(
                "A pruner is drawn from in every process. Set accelerator_config={'dispatch_batches': False}."
            )
        strategy = getattr(self.args, "train_sampling_strategy", "random")
        if strategy != "random" or getattr(self.args, "group_by_length", False):
            raise ValueError(
                f"train_sampling_strategy={strategy!r} orders the samples, and so does the pruner. Set it to 'random'"
                " (group_by_length=False)."
            )
        own = super().compute_loss.__func__ is not Trainer.compute_loss  # type: ignore[misc]
        if (own or getattr(self, "compute_loss_func", None) is not None) and not self._agrees:
            what = f"compute_loss of {type(self).__mro__[2].__name__}" if own else "compute_loss_func"
            raise ValueError(f"{what} gives one loss for a batch, and a pruner needs one per sample. {WAY_OUT}")

    def get_train_dataloader(self: Any) -> DataLoader:
        """The Trainer's loader, with numbered samples drawn by the pruner."""
        args, columns = self.args, None
        if args.remove_unused_columns:
            self._set_signature_columns_if_needed()
            columns = set(self._signature_columns)
        loader = DataLoader(
            Indexed(self.train_dataset),
            batch_size=self._train_batch_size,
            sampler=self.pruner,
            collate_fn=_Collate(self.data_collator, columns),
            drop_last=args.dataloader_drop_last,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=getattr(args, "dataloader_multiprocessing_context", None),
            in_order=getattr(args, "dataloader_in_order", True),
            worker_init_fn=partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
        )
        return self.accelerator.prepare(loader)

    def sample_losses(self: Any, outputs: Any, labels: Tensor | None, inputs: dict[str, Any] | None = None) -> Tensor:
        """float (b,): the loss of each sample; see `orderdp.integrations.losses.sample_losses`. Override it for others.

        Args:
            outputs: of the model.
            labels: the inputs' `labels`, if there are any.
            inputs: of the model.

        Raises:
            ValueError: a head that is not known, or, at the first batch, losses whose mean is not the model's own.
        """
        model = self.accelerator.unwrap_model(self.model)
        model = model.get_base_model() if hasattr(model, "get_base_model") else model
        config = getattr(model, "config", None)
        smoothing = self.args.label_smoothing_factor
        losses, counts = sample_losses(
            outputs,
            {"labels": labels} if inputs is None else inputs,
            causal=type(model).__name__ in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values(),
            labels_in_config=getattr(config, "num_labels", None),
            problem=getattr(config, "problem_type", None),
            smoothing=smoothing,
        )
        if not self._agrees and not smoothing:  # a smoothed loss is the Trainer's and not the model's
            check_against_model(outputs, losses, counts)
            self._agrees = True
        return losses

    def compute_loss(self: Any, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any) -> Any:
        """The pruner's weighted mean for training batches; the Trainer's own loss for all others."""
        if INDEX not in inputs:
            return super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)  # type: ignore[misc]
        inputs = dict(inputs)
        index = inputs.pop(INDEX)
        outputs = model(**inputs)
        given = (outputs, inputs.get("labels"), inputs)
        # Version 0.1's sample_losses, which somebody may have overridden, takes two arguments.
        losses = self.sample_losses(*given[: len(inspect.signature(self.sample_losses).parameters)])
        loss = self.pruner.update(index, losses)
        return (loss, outputs) if return_outputs else loss

    def train(self: Any, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """The Trainer's `train`; resuming, the pruner goes on where the checkpoint was written.

        Raises:
            ValueError: the checkpoint has no pruner's state.
        """
        folder = resume_from_checkpoint
        if folder is True:
            folder = get_last_checkpoint(self.args.output_dir)
        if folder:
            path = Path(folder) / STATE
            if not path.is_file():
                raise ValueError(f"{path} is missing: this checkpoint was not written by a Trainer with a pruner.")
            self.pruner.load_state_dict(torch.load(path, weights_only=True))
        return super().train(resume_from_checkpoint, *args, **kwargs)  # type: ignore[misc]

    def _hp_search_setup(self: Any, trial: Any) -> None:
        super()._hp_search_setup(trial)  # type: ignore[misc]
        if trial is not None:  # each trial begins with the pruner as it was given
            self.pruner.load_state_dict(self._fresh)

    def _save_checkpoint(self: Any, model: Any, trial: Any, **kwargs: Any) -> None:
        super()._save_checkpoint(model, trial, **kwargs)  # type: ignore[misc]
        self.pruner.synchronize()  # on all processes
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        if self.state.is_world_process_zero and folder.is_dir():  # save_total_limit may have removed it again
            torch.save(self.pruner.state_dict(), folder / STATE)


class PrunedTrainer(PrunerMixin, Trainer):  # type: ignore[misc]
    """A `Trainer` that trains on what a pruner selects: `PrunedTrainer(..., pruner=OrderDP(len(train_dataset)))`."""


class _Collate:
    """Collates numbered samples into a dict with the numbers in it; without the columns that the model does not
    take."""

    def __init__(self, collate: Any, columns: set[str] | None) -> None:
        self.collate, self.columns = collate, columns

    def __call__(self, pairs: list[tuple[int, Any]]) -> dict[str, Any]:
        samples = [sample for _, sample in pairs]
        if self.columns is not None and isinstance(samples[0], dict):
            samples = [{key: value for key, value in sample.items() if key in self.columns} for sample in samples]
        return {**self.collate(samples), INDEX: torch.tensor([index for index, _ in pairs])}
