"""Pruning by upper confidence bounds."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from orderdp.pruning.moving import MovingAverage
from orderdp.pruning.ranking import top


class UCB(MovingAverage):
    """The samples of largest moving-average loss plus c times its moving variance (Raju et al. 2021; the variance, not
    its root).

    Args:
        n: number of samples.
        prune_ratio: share left out of every epoch after the warm-up, in (0, 1).
        variance_weight: c, at least 0.
        smoothing: weight of the newest loss, in (0, 1].
        period: epochs between choices.
        warmup_epochs: first epochs, on all data.
        seed: decides ties and order.

    Example:
        >>> import torch
        >>> pruner = UCB(10, prune_ratio=0.5, period=2, warmup_epochs=0)
        >>> len(pruner.begin_epoch(0).indices)
        5
    """

    def __init__(
        self,
        n: int,
        *,
        prune_ratio: float,
        variance_weight: float = 1.0,
        smoothing: float = 0.8,
        period: int = 10,
        warmup_epochs: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n, prune_ratio=prune_ratio, smoothing=smoothing, period=period, warmup_epochs=warmup_epochs, seed=seed
        )
        if not (variance_weight >= 0 and math.isfinite(variance_weight)):
            raise ValueError(
                f"The 'variance_weight' of UCB must be a finite number of at least 0. Got {variance_weight!r}."
            )
        self.variance_weight = float(variance_weight)

    def choose_set(self, draw: np.random.Generator) -> Tensor:
        """The top q by mean + c variance."""
        # With c = 0 an overflowed variance would give 0 * inf.
        bonus = torch.nan_to_num(self.variance_weight * self._variance, nan=0.0, posinf=torch.inf)
        return top(self._mean + bonus, self._kept_count, draw)
