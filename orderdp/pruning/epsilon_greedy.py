"""Epsilon-greedy pruning."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from orderdp.pruning.checks import fraction
from orderdp.pruning.moving import MovingAverage
from orderdp.pruning.ranking import smallest, top


class EpsilonGreedy(MovingAverage):
    """Most of the set by moving-average loss, a share epsilon of it uniformly from the rest (Raju et al. 2021).

    Args:
        n: number of samples.
        prune_ratio: share left out of every epoch after the warm-up, in (0, 1).
        epsilon: share of the kept samples drawn at random, in [0, 1].
        smoothing: weight of the newest loss, in (0, 1].
        period: epochs between choices.
        warmup_epochs: first epochs, on all data.
        seed: decides ties, the random part and order.

    Example:
        >>> pruner = EpsilonGreedy(10, prune_ratio=0.5, warmup_epochs=1)
        >>> [len(pruner.begin_epoch(epoch).indices) for epoch in (0, 1)]
        [10, 5]
    """

    def __init__(
        self,
        n: int,
        *,
        prune_ratio: float,
        epsilon: float = 0.1,
        smoothing: float = 0.8,
        period: int = 10,
        warmup_epochs: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n, prune_ratio=prune_ratio, smoothing=smoothing, period=period, warmup_epochs=warmup_epochs, seed=seed
        )
        self.epsilon = fraction(self, "epsilon", epsilon, zero=True, one=True)

    def choose_set(self, draw: np.random.Generator) -> Tensor:
        """round((1 - epsilon) q) by mean loss, the others of q uniformly from those not in it."""
        greedy = round((1 - self.epsilon) * self._kept_count)
        kept = top(self._mean, greedy, draw)
        rest = np.flatnonzero(~kept.numpy())
        # New keys: those of `top` are no longer uniform among samples that lost a tie.
        kept.numpy()[rest[smallest(draw.random(len(rest)), self._kept_count - greedy)]] = True
        return kept
