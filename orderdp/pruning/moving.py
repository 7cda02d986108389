"""What epsilon-greedy and UCB share: moving averages of the losses, and a set that is kept for several epochs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from orderdp.pruning.base import Pruner, Selection
from orderdp.pruning.checks import fraction, whole
from orderdp.pruning.ranking import budget


class MovingAverage(Pruner):
    """Base of methods that choose anew every `period` epochs, from moving averages of the losses seen in training.

    With alpha the weight of the newest loss L and m the old mean: var <- (1 - alpha) var + alpha (L - m)^2, then
    m <- (1 - alpha) m + alpha L. The first loss of a sample gives m = L, var = 0; before it, the sample ranks first.
    Source: Raju et al. 2021; constants as in the public re-implementations.

    Args:
        n: number of samples.
        prune_ratio: share left out of every epoch after the warm-up, in (0, 1).
        smoothing: alpha, in (0, 1].
        period: epochs between choices.
        warmup_epochs: first epochs, on all data.
        seed: decides ties, random parts and order.
    """

    def __init__(
        self, n: int, *, prune_ratio: float, smoothing: float = 0.8, period: int = 10, warmup_epochs: int = 1, seed: int = 0
    ) -> None:
        super().__init__(n, seed=seed)
        self.target_ratio = fraction(self, "prune_ratio", prune_ratio)
        self.smoothing = fraction(self, "smoothing", smoothing, one=True)
        self.period = whole(self, "period", period, 1)
        self.warmup_epochs = whole(self, "warmup_epochs", warmup_epochs, 0)
        self._kept_count = budget(n, prune_ratio)
        self._mean = torch.full((n,), torch.inf)
        self._variance = torch.zeros(n)
        self._held: Tensor | None = None
        self._held_round = -1

    @abstractmethod
    def choose_set(self, draw: torch.Generator) -> Tensor:
        """bool (n,): a new set of `_kept_count` samples."""

    def choose(self, epoch: int, draw: torch.Generator) -> tuple[Tensor, None]:
        """All samples in the warm-up; then the set of this round, chosen at its first epoch."""
        if epoch < self.warmup_epochs:
            return torch.ones(self.n, dtype=torch.bool), None
        if self._held is not None and self._held_round == self._round(epoch):
            return self._held.clone(), None
        return self.choose_set(draw), None

    def on_begin(self, epoch: int, selection: Selection) -> None:
        """Holds a new round's set."""
        if epoch >= self.warmup_epochs and self._held_round != self._round(epoch):
            self._held = torch.zeros(self.n, dtype=torch.bool)
            self._held[selection.indices] = True
            self._held_round = self._round(epoch)

    def learn(self, indices: Tensor, losses: Tensor) -> None:
        """Moves the averages."""
        mean, alpha = self._mean[indices], self.smoothing
        fresh = ~mean.isfinite()
        deviation = torch.where(fresh, 0.0, losses - mean)
        self._variance[indices] = (1 - alpha) * self._variance[indices] + alpha * deviation**2
        self._mean[indices] = torch.where(fresh, losses, mean + alpha * deviation)

    def memory(self) -> dict[str, Any]:
        """Averages, and the set in force."""
        return {"_mean": self._mean, "_variance": self._variance, "_held": self._held, "_held_round": self._held_round}

    def _round(self, epoch: int) -> int:
        return (epoch - self.warmup_epochs) // self.period
