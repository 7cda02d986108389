"""What is measured of a run at its checkpoints, in a job of its own, from the weights and sets that the run kept (the
paper's Table 11, and what is kept).

A full gradient is a pass over all data, while a pruned run of ten epochs is three to six: within the run it would
double its time.

Paper: cosine "at matched checkpoints"; here: before the epoch that ends at a checkpoint, with the set which that epoch
trains on, and once after the last epoch with the set that would come next, because a method's set and the weights it
was chosen with belong together. In evaluation mode and without augmentation, so that both gradients are of the same
function of the weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from orderdp.datasets import ImageData
from orderdp.datasets.noise import with_label_noise
from orderdp.diagnostics.gradients import SubsetGradients, subset_gradients
from orderdp.diagnostics.selection import forgotten, kept_by_label, kept_by_loss, label_shift
from orderdp.spec import RunSpec
from orderdp.training.augment import Images
from orderdp.training.engine import build_model
from orderdp.training.memory_format import arrange
from orderdp.training.snapshot import Snapshot


class Diagnosis:
    """The measurements of one run.

    Args:
        spec: of the run, a classifier.
        data: images and labels that fit into memory, as `orderdp.datasets.load` gives them.
        device: where to compute.
    """

    def __init__(self, spec: RunSpec, data: ImageData, device: torch.device) -> None:
        data, _ = with_label_noise(data, spec.dataset.label_noise)
        self.model = arrange(build_model(spec, data), device).eval()
        self.images = Images(data.train_images.to(device), data.mean, data.std)
        self.labels, self.classes = data.train_labels.to(device), data.classes
        self.label_smoothing = spec.recipe.label_smoothing
        self.rows: list[dict[str, float | int | None]] = []
        self.by_loss: list[Tensor] = []
        self.by_label: list[Tensor] = []
        self.correct: Tensor | None = None
        self.usage: Tensor | None = None

    def measure(self, snapshot: Snapshot) -> None:
        """Measures the next checkpoint of the run; they come in the order of their epochs."""
        device, n = self.labels.device, len(self.labels)
        indices, given = snapshot.selection
        kept = torch.zeros(n, dtype=torch.bool)
        kept[indices] = True
        weights = None
        if given is not None:
            weights = torch.ones(n)
            weights[indices] = given
            weights = weights.to(device)
        kept = kept.to(device)
        self.model.load_state_dict(snapshot.model)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        found = subset_gradients(self._evaluate, parameters, kept, weights)
        mean_weight = 1.0 if given is None else float(given.mean())
        head: dict[str, float | None] = {
            "epoch": snapshot.epoch,
            "progress": snapshot.progress,
            "kept": int(kept.sum()),
        }
        self.rows.append(head | self._numbers(found, kept, mean_weight, snapshot.usage))
        self.by_loss.append(kept_by_loss(found.losses, kept).cpu())
        self.by_label.append(kept_by_label(self.labels, kept, self.classes).cpu())
        self.correct, self.usage = found.correct.cpu(), snapshot.usage

    def _evaluate(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(self.images.at(indices))
        labels = self.labels[indices]
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)
        return losses, logits.detach().argmax(1) == labels

    def _numbers(
        self, found: SubsetGradients, kept: Tensor, mean_weight: float, usage: Tensor
    ) -> dict[str, float | None]:
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
            values |= {
                "forgotten_kept": forgotten(before, now, since),
                "forgotten_dropped": forgotten(before, now, ~since),
            }
        return {
            name: None if math.isnan(value) else value for name, value in ((k, float(v)) for k, v in values.items())
        }
