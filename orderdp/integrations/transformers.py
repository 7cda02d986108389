"""Pruners under the `Trainer` of Hugging Face Transformers."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from orderdp.integrations.extras import missing
from orderdp.pruning.base import Pruner
from orderdp.pruning.indexed import Indexed

try:
    from transformers import Trainer, TrainerCallback
    from transformers.trainer_utils import get_last_checkpoint
except ModuleNotFoundError as error:
    raise missing("transformers", error) from error

INDEX = "orderdp_index"
STATE = "pruner.pt"


class PrunerMixin:
    """Adds a pruner to a `Trainer`: `class MyTrainer(PrunerMixin, SomeTrainer)`, built with `pruner=`.

    The training loader draws from the pruner and carries sample numbers; the loss is taken per sample; checkpoints hold
    the pruner's state, which `train(resume_from_checkpoint=...)` reads. Evaluation is the Trainer's own. The Trainer
    plans its steps by the first epoch's length: with a method whose epochs vary (InfoBatch) give `max_steps`.

    Args:
        pruner: over as many samples as `train_dataset` has.
        args, kwargs: the Trainer's own.

    Raises:
        ValueError: another number of samples, a data set without length, batches dispatched from one process.
    """

    loss_is_scaled_for_ga = False  # a mean over the batch: the Trainer divides by the accumulation steps

    def __init__(self, *args: Any, pruner: Pruner, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pruner = pruner
        data: Any = self.train_dataset  # type: ignore[attr-defined]
        if isinstance(data, IterableDataset) or not hasattr(data, "__len__") or len(data) != pruner.n:
            size = len(data) if hasattr(data, "__len__") else "unknown length"
            raise ValueError(
                f"The pruner is over n = {pruner.n} samples, the train_dataset has {size}. Build {pruner!r} for its"
                " length."
            )
        if self.accelerator.num_processes > 1 and self.accelerator.dispatch_batches:  # type: ignore[attr-defined]
            raise ValueError(
                "A pruner is drawn from in every process. Set accelerator_config={'dispatch_batches': False}."
            )
        pruner.shard(0, 1)  # the Trainer's accelerate deals out the batches among processes itself
        self.add_callback(_SaveState(pruner))  # type: ignore[attr-defined]

    def get_train_dataloader(self) -> DataLoader:
        """The Trainer's loader, with numbered samples drawn by the pruner."""
        args, model = self.args, self.model  # type: ignore[attr-defined]
        columns = None
        if args.remove_unused_columns:
            columns = {*inspect.signature(model.forward).parameters, "label", "label_ids", *self.label_names}  # type: ignore[attr-defined]
        loader = DataLoader(
            Indexed(self.train_dataset),  # type: ignore[attr-defined]
            batch_size=self._train_batch_size,  # type: ignore[attr-defined]
            sampler=self.pruner,
            collate_fn=_Collate(self.data_collator, columns),  # type: ignore[attr-defined]
            drop_last=args.dataloader_drop_last,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )
        return self.accelerator.prepare(loader)  # type: ignore[attr-defined]

    def sample_losses(self, outputs: Any, labels: Tensor) -> Tensor:
        """float (b,): cross-entropy per sample, over tokens the mean of those whose label is not -100. Override it for
        other losses.

        Labels are taken in place: a causal language model's must be shifted here.
        """
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs[1]
        losses = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), reduction="none", ignore_index=-100)
        losses, counted = losses.view(len(labels), -1), (labels != -100).view(len(labels), -1)
        return losses.sum(1) / counted.sum(1).clamp(min=1)

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any) -> Any:
        """The pruner's weighted mean for training batches; the Trainer's own loss for all others."""
        if INDEX not in inputs:
            return super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)  # type: ignore[misc]
        inputs = dict(inputs)
        index = inputs.pop(INDEX)
        outputs = model(**inputs)
        loss = self.pruner.update(index, self.sample_losses(outputs, inputs["labels"]))
        return (loss, outputs) if return_outputs else loss

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """The Trainer's `train`; resuming, the pruner goes on where the checkpoint was written."""
        folder = resume_from_checkpoint
        if folder is True:
            folder = get_last_checkpoint(self.args.output_dir)  # type: ignore[attr-defined]
        if folder:
            self.pruner.load_state_dict(torch.load(Path(folder) / STATE, weights_only=True))
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)  # type: ignore[misc]


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


class _SaveState(TrainerCallback):
    """Writes the pruner's state into each checkpoint."""

    def __init__(self, pruner: Pruner) -> None:
        self.pruner = pruner

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.pruner.synchronize()  # on all processes
        if state.is_world_process_zero:
            torch.save(self.pruner.state_dict(), Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE)
