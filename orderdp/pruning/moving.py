"""What epsilon-greedy and UCB share: moving averages of the losses, and a set that is kept for several epochs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orderdp.pruning.base import Pruner
from orderdp.pruning.checks import fraction, n_kept, whole
from orderdp.pruning.ranking import mask_at, unseen
from orderdp.pruning.subset import Subset


def moved(mean: Tensor, variance: Tensor, losses: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mean and variance after one more loss each, all float32 (m,).

    With m the old mean: var <- (1 - alpha) var + alpha (L - m)^2, then m <- (1 - alpha) m + alpha L. The first loss of
    a sample gives m = L and var = 0, as does the first after one that was not finite.
    """
    known = mean.isfinite() & variance.isfinite() & losses.isfinite()
    deviation = torch.where(known, losses - mean, 0.0)
    variance = torch.where(known, (1 - alpha) * variance + alpha * deviation**2, 0.0)
    return torch.where(known, (1 - alpha) * mean + alpha * losses, losses), variance


class MovingAverage(Pruner):
    """Base of methods that choose anew every `period` epochs, from moving averages of the losses seen in training.

    A sample never seen ranks first. Every epoch after the warm-up keeps exactly round((1 - prune_ratio) n) samples. For
    scores from a pass over all data rather than from training, hand that pass's losses to `prime` before the epoch
    begins.

    Source: Raju et al. 2021, with the constants of the public re-implementations.

    Args:
        n: number of samples.
        prune_ratio: share left out of every epoch after the warm-up, in (0, 1).
        smoothing: alpha, the weight of the newest loss, in (0, 1].
        period: epochs between choices.
        warmup_epochs: first epochs, on all data.
        seed: decides ties, random parts and order.
    """

    def __init__(
        self,
        n: int,
        *,
        prune_ratio: float,
        smoothing: float = 0.8,
        period: int = 10,
        warmup_epochs: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(n, seed=seed)
        self._kept_count = n_kept(self, self.n, prune_ratio)
        self.target_ratio = float(prune_ratio)
        self.smoothing = fraction(self, "smoothing", smoothing, one=True)
        self.period = whole(self, "period", period, 1)
        self.warmup_epochs = whole(self, "warmup_epochs", warmup_epochs, 0)
        self._mean = unseen(self.n)
        self._variance = torch.zeros(self.n)
        self._held = torch.zeros(self.n, dtype=torch.bool)
        self._held_round = -1

    @abstractmethod
    def choose_set(self, draw: np.random.Generator) -> Tensor:
        """bool (n,): a new set of `_kept_count` samples."""

    def select_mask(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, None]:
        """All samples in the warm-up; then the set of this round, chosen at its first epoch."""
        if epoch < self.warmup_epochs:
            return torch.ones(self.n, dtype=torch.bool), None
        if self._held_round == self._round(epoch):
            return self._held, None
        return self.choose_set(draw), None

    def on_begin(self, epoch: int, selection: Subset) -> None:
        """Holds a new round's set; a warm-up forgets the last one's, so that a second training chooses afresh."""
        if epoch < self.warmup_epochs:
            self._held_round = -1
        elif self._held_round != self._round(epoch):
            self._held, self._held_round = mask_at(self.n, selection.indices.numpy()), self._round(epoch)

    def update_scores(self, indices: Tensor, losses: Tensor) -> None:
        """Moves the averages."""
        mean, variance = moved(self._mean[indices], self._variance[indices], losses, self.smoothing)
        self._mean[indices], self._variance[indices] = mean, variance

    def extra_state(self) -> dict[str, Any]:
        """Averages, and the set in force."""
        return {"_mean": self._mean, "_variance": self._variance, "_held": self._held, "_held_round": self._held_round}

    def _round(self, epoch: int) -> int:
        return (epoch - self.warmup_epochs) // self.period
