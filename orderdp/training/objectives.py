"""What a run minimises: the loss of each sample, which is also its score."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from orderdp.pruning.scores import SCORES, Score
from orderdp.spec import RunSpec
from orderdp.training.mixes import Targets


class Classification:
    """Cross-entropy against the label, or against two labels in the shares of a mixed image.

    The cross-entropy is linear in the target, so that the loss of a mixed sample is the shares' mean of two losses,
    label smoothing included.
    """

    def __init__(self, label_smoothing: float, score: Score | None = None) -> None:
        self.label_smoothing, self.score = label_smoothing, score

    def losses(self, network: nn.Module, images: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor | None]:
        """Forward pass.

        Args:
            network: gives class scores (B, classes).
            images: float (B, C, H, W).
            targets: what they show.

        Returns:
            losses float32 (B,) with gradients, int64 (B,) the classes with the largest scores, and by what the samples
            rank (None: by the losses).
        """
        logits = network(images).float()
        losses = self._against(logits, targets.labels)
        if targets.partners is not None:
            losses = targets.share * losses + (1 - targets.share) * self._against(logits, targets.partners)
        scores = None if self.score is None else self.score(logits.detach(), targets.labels, losses.detach())
        return losses, logits.detach().argmax(1), scores

    def test(self, network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss (without label smoothing) and number of right answers on test images."""
        logits = network(images)
        return F.cross_entropy(logits.float(), labels, reduction="sum"), (logits.argmax(1) == labels).sum()

    def _against(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)


class Reconstruction:
    """The loss that a masked autoencoder gives for each of its images; it has no accuracy."""

    def losses(self, network: nn.Module, images: Tensor, targets: Targets) -> tuple[Tensor, Tensor, None]:
        """Forward pass of a network that gives losses (B,); as in `Classification.losses`, with class -1 for all."""
        return network(images).float(), torch.full((len(images),), -1, device=images.device), None

    def test(self, network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss on test images, and 0."""
        return network(images).float().sum(), torch.zeros((), dtype=torch.int64, device=images.device)


def build_objective(spec: RunSpec) -> Classification | Reconstruction:
    """The objective of a run's task, with the score of its method."""
    if spec.recipe.task == "reconstruct":
        return Reconstruction()
    return Classification(spec.recipe.label_smoothing, None if spec.method.score is None else SCORES[spec.method.score])
