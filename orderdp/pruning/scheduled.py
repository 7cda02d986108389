"""OrderDP with a prune ratio that changes over training."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from torch import Tensor

from orderdp.pruning.base import Pruner
from orderdp.pruning.checks import fraction, initial, n_kept, whole
from orderdp.pruning.ranking import top, unseen
from orderdp.pruning.schedules import SCHEDULES


class ScheduledOrderDP(Pruner):
    """OrderDP whose prune ratio rises or falls over the training, at a given mean.

    Ours: section F of the paper names adaptive schedules as future work. Epoch t of T keeps exactly q_t = round((1 -
    r_t) n) samples, with r_t the schedule's value in the epoch's middle, (t + 1/2) / T, so that the ratios average to
    `prune_ratio` whatever the shape.

    Args:
        n: number of samples.
        prune_ratio: mean of the ratios over the training, in (0, 1).
        rise: ratio at the end of the training less that at its beginning; negative falls. Both must stay in (0, 1).
        schedule: shape of the change, a name in `schedules.SCHEDULES`: "constant", "linear", "cosine" or "step".
        explore: share drawn as candidates in every epoch, at least the largest share kept; None follows the ratio,
            sqrt(1 - r_t).
        epochs: T, planned epochs; needed where the ratio changes. Later epochs keep what the last one does.
        seed: decides candidates, ties and order.
        initial_score: of samples never seen; see `OrderDP`.

    Raises:
        ValueError: a share or a schedule that does not exist, ratios that leave (0, 1), q > s, a change without
            `epochs`.

    Example:
        >>> pruner = ScheduledOrderDP(100, prune_ratio=0.5, rise=0.4, epochs=4)
        >>> [len(pruner.begin_epoch(epoch).indices) for epoch in range(4)]
        [65, 55, 45, 35]
    """

    def __init__(
        self,
        n: int,
        *,
        prune_ratio: float,
        rise: float = 0.0,
        schedule: Literal["constant", "linear", "cosine", "step"] = "linear",
        explore: float | None = None,
        epochs: int | None = None,
        seed: int = 0,
        initial_score: float = math.inf,
    ) -> None:
        super().__init__(n, seed=seed)
        n_kept(self, self.n, prune_ratio)
        self.target_ratio, self.rise = float(prune_ratio), float(rise)
        if schedule not in SCHEDULES:
            raise ValueError(f"Unknown 'schedule' {schedule!r} of ScheduledOrderDP. Known: {', '.join(SCHEDULES)}.")
        self.schedule = schedule
        self.explore = None if explore is None else fraction(self, "explore", explore, one=True)
        self.epochs = None if epochs is None else whole(self, "epochs", epochs, 1)
        if self.rise != 0 and epochs is None:
            raise ValueError("ScheduledOrderDP with 'rise' needs 'epochs', the planned number of epochs.")
        self.initial_score = initial(self, initial_score)
        self._scores = unseen(self.n, self.initial_score)
        self._check_ends()

    def ratio(self, epoch: int) -> float:
        """The prune ratio that the schedule asks of an epoch; realised to the nearest whole sample."""
        # A ratio that does not change needs no number of epochs.
        progress = 0.5 if self.epochs is None else min((epoch + 0.5) / self.epochs, 1.0)
        return SCHEDULES[self.schedule](progress, self.target_ratio - self.rise / 2, self.target_ratio + self.rise / 2)

    def sizes(self, epoch: int) -> tuple[int, int]:
        """(candidates s, kept q) of an epoch."""
        ratio = self.ratio(epoch)
        explore = math.sqrt(1 - ratio) if self.explore is None else self.explore
        return round(explore * self.n), round((1 - ratio) * self.n)

    def select_mask(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, None]:
        """The top q_t by score of s_t uniform candidates."""
        candidates, kept = self.sizes(epoch)
        return top(self._scores, kept, draw, candidates), None

    def update_scores(self, indices: Tensor, losses: Tensor) -> None:
        """A sample's score is its newest loss."""
        self._scores[indices] = losses

    def extra_state(self) -> dict[str, Any]:
        """The scores. The ratio is a function of the epoch: nothing of it to store."""
        return {"_scores": self._scores}

    def _check_ends(self) -> None:
        first, last = self.target_ratio - self.rise / 2, self.target_ratio + self.rise / 2
        if min(first, last) <= 0 or max(first, last) >= 1:
            raise ValueError(
                f"ScheduledOrderDP with 'prune_ratio' = {self.target_ratio:g} and 'rise' = {self.rise:g} goes from"
                f" {first:g} to {last:g}. Both ends must be in (0, 1): lower 'rise'."
            )
        for epoch in (0, (self.epochs or 1) - 1):
            candidates, kept = self.sizes(epoch)
            if kept < 1:
                raise ValueError(
                    f"ScheduledOrderDP keeps no sample of n = {self.n} in epoch {epoch}. Lower 'rise' or 'prune_ratio'."
                )
            if kept > candidates:
                raise ValueError(
                    f"q > s: ScheduledOrderDP with 'explore' = {self.explore:g} draws {candidates} candidates, fewer"
                    f" than the {kept} samples that epoch {epoch} keeps. Raise 'explore' to at least {kept / self.n:g}."
                )
