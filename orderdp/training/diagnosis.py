"""What a run measures of itself at its checkpoints, off the training clock (the paper's Table 11, and what is kept).

Paper: cosine "at matched checkpoints"; here: before the epoch that ends at a checkpoint, with the set which that epoch trains on, and once
after the last epoch with the set that would come next, because a method's set and the weights it was chosen with belong together.
In evaluation mode and without augmentation, so that both gradients are of the same function of the weights and nothing is changed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from orderdp.diagnostics.gradients import SubsetGradients, subset_gradients
from orderdp.diagnostics.selection import forgotten, kept_by_label, kept_by_loss, label_shift
from orderdp.pruning.base import Selection
from orderdp.training.augment import Images


class Diagnosis:
    """The measurements of one run.

    Args:
        model: the network in training.
        images: all training images on the device.
        labels: int64 (n,), on the device.
        classes: number of classes.
        label_smoothing: of the training loss.
    """

    def __init__(self, model: nn.Module, images: Images, labels: Tensor, classes: int, label_smoothing: float) -> None:
        self.model, self.images, self.labels = model, images, labels
        self.classes, self.label_smoothing = classes, label_smoothing
        self.rows: list[dict[str, float | int | None]] = []
        self.by_loss: list[Tensor] = []
        self.by_label: list[Tensor] = []
        self.correct: Tensor | None = None
        self.usage: Tensor | None = None

    def measure(self, epoch: int, progress: float, selection: Selection, usage: Tensor) -> None:
        """Measures the present weights with an epoch's set.

        Args:
            epoch: whose set it is, from 1.
            progress: share of the planned training done, in [0, 1].
            selection: the set with its weights.
            usage: int (n,), how often each sample was kept so far; on the CPU.
        """
        device, n = self.labels.device, len(self.labels)
        kept = torch.zeros(n, dtype=torch.bool)
        kept[selection.indices] = True
        weights = None
        if selection.weights is not None:
            weights = torch.ones(n)
            weights[selection.indices] = selection.weights
            weights = weights.to(device)
        kept = kept.to(device)
        found = self._gradients(kept, weights)
        mean_weight = 1.0 if selection.weights is None else float(selection.weights.mean())
        self.rows.append(
            {"epoch": epoch, "progress": progress, "kept": int(kept.sum())} | self._numbers(found, kept, mean_weight, usage)
        )
        self.by_loss.append(kept_by_loss(found.losses, kept).cpu())
        self.by_label.append(kept_by_label(self.labels, kept, self.classes).cpu())
        self.correct, self.usage = found.correct.cpu(), usage.clone()

    def _gradients(self, kept: Tensor, weights: Tensor | None) -> SubsetGradients:
        training = self.model.training
        self.model.eval()
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        try:
            return subset_gradients(self._evaluate, parameters, kept, weights)
        finally:
            self.model.train(training)

    def _evaluate(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(self.images.at(indices))
        labels = self.labels[indices]
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)
        return losses, logits.detach().argmax(1) == labels

    def _numbers(self, found: SubsetGradients, kept: Tensor, mean_weight: float, usage: Tensor) -> dict[str, float | None]:
        norm = found.kept.norm()
        values = {
            "cosine": found.cosine,
            "norm_full": found.full.norm(),
            "norm_pruned": norm,
            "norm_normalized": norm / mean_weight,
            "loss_all": found.losses.mean(),
            "loss_kept": found.losses[kept].mean(),
            "loss_dropped": found.losses[~kept].mean(),
            "accuracy_kept": 100 * found.correct[kept].float().mean(),
            "accuracy_dropped": 100 * found.correct[~kept].float().mean(),
            "label_tv": label_shift(self.labels, kept, self.classes),
        }
        if self.correct is not None and self.usage is not None:
            since = usage > self.usage
            before, now = self.correct, found.correct.cpu()
            values |= {"forgotten_kept": forgotten(before, now, since), "forgotten_dropped": forgotten(before, now, ~since)}
        return {name: None if math.isnan(value) else value for name, value in ((k, float(v)) for k, v in values.items())}

    def state_dict(self) -> dict[str, Any]:
        """For the run's checkpoint."""
        return {name: getattr(self, name) for name in ("rows", "by_loss", "by_label", "correct", "usage")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state_dict` was taken."""
        for name, value in state.items():
            setattr(self, name, value)
