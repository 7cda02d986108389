"""OrderDP, selecting once an epoch."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from orderdp.pruning.base import Pruner
from orderdp.pruning.checks import budget, fraction, initial
from orderdp.pruning.ranking import Sizes, ends, top, unseen


class OrderDP(Pruner):
    """Candidates at random, the hardest of them trained: s = explore * n uniformly, then the q = exploit * s of largest
    last loss.

    Source: Algorithm 1, applied per epoch as the released code does. Exactly q samples every epoch, unweighted.

    Paper: scores are the losses after the step (Eq. 2); here: those of the training step itself, before its update,
    because anything else costs a second forward pass (the released code does the same).

    `hardest`, `trim` and `smoothing` are ours, beyond the paper, which names such variants as future work (section F).
    All keep exactly q. With h = round(hardest q) and, once all scores are known, t = round(trim s), rank j is kept with
    probability top(t + h) - top(t) + bottom(q - h), where top(k) and bottom(k) are `theory.rank_weights(n, s, k)` with
    `hardest` = k and 0.

    Args:
        n: number of samples.
        explore: share of the samples drawn as candidates, s/n, in (0, 1]; None for 0.5, or for what `prune_ratio`
            implies.
        exploit: share of the candidates trained on, q/s, in (0, 1]; None for 0.6, or for what `prune_ratio` implies.
        prune_ratio: share left out of every epoch, in (0, 1), in place of one share or both; see `at_ratio`.
        seed: decides candidates, ties and order.
        initial_score: of samples never seen. Infinite: they come first, in random order. The released code takes 3 or
            1; a number below the losses of trained samples leaves a part of the data untrained for good.
        hardest: share of the q that are the hardest candidates, in [0, 1]; the others are the easiest. 0: the bottom q.
            Samples never seen come first at both ends.
        trim: share of the candidates of known score that is left out before, those of the highest scores, in [0, 1):
            taken for wrong labels. Samples never seen are never trimmed. A trimmed sample keeps its score, and so stays
            out until others rank above it.
        smoothing: weight of the newest loss in a sample's score, in (0, 1]; below 1 the score is a moving average of
            its losses. The first finite one counts in full.

    Raises:
        ValueError: a share outside its range, or so small that no sample is left; a `trim` that leaves fewer candidates
            than are kept, or that cannot tell unseen samples because `initial_score` is finite; a `prune_ratio` with
            both shares.

    Example:
        >>> pruner = OrderDP(50_000, prune_ratio=0.7)
        >>> len(pruner)
        15000
    """

    def __init__(
        self,
        n: int,
        *,
        explore: float | None = None,
        exploit: float | None = None,
        prune_ratio: float | None = None,
        seed: int = 0,
        initial_score: float = math.inf,
        hardest: float = 1.0,
        trim: float = 0.0,
        smoothing: float = 1.0,
    ) -> None:
        super().__init__(n, seed=seed)
        if prune_ratio is not None:
            explore, exploit = shares(self, self.n, prune_ratio, explore, exploit)
        self.target_ratio = None if prune_ratio is None else float(prune_ratio)
        self.explore = fraction(self, "explore", 0.5 if explore is None else explore, one=True)
        self.exploit = fraction(self, "exploit", 0.6 if exploit is None else exploit, one=True)
        self.candidates = round(self.explore * self.n)
        self.kept = round(self.exploit * self.candidates)
        if self.kept < 1:
            raise ValueError(
                f"OrderDP over n = {n} with explore = {explore} and exploit = {exploit} keeps no sample. Raise one of"
                " the shares."
            )
        self.initial_score = initial(self, initial_score)
        self.hardest = fraction(self, "hardest", hardest, zero=True, one=True)
        self.trim = fraction(self, "trim", trim, zero=True)
        self.smoothing = fraction(self, "smoothing", smoothing, one=True)
        self._sizes = Sizes(self.candidates, self.kept, round(self.hardest * self.kept))
        self._check_trim()
        self._scores = unseen(self.n, self.initial_score)

    @classmethod
    def at_ratio(
        cls, n: int, prune_ratio: float, *, explore: float | None = None, exploit: float | None = None, **options: Any
    ) -> Self:
        """OrderDP that leaves out exactly 1 - q/n, q = round((1 - prune_ratio) n), of every epoch.

        Args:
            n: number of samples.
            prune_ratio: share left out of every epoch, in (0, 1).
            explore: s/n, at least 1 - prune_ratio.
            exploit: q/s, at least 1 - prune_ratio, instead of `explore`. Without either, both are sqrt(1 -
                prune_ratio): an even split.
            options: `seed`, `initial_score`, `hardest`, `trim`, `smoothing`.

        Raises:
            ValueError: q > s, fewer candidates than samples to keep; both shares, which leave no ratio to choose.
        """
        explore, exploit = shares(cls, n, prune_ratio, explore, exploit)
        return cls(n, explore=explore, exploit=exploit, **options)

    def choose(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, None]:
        """The top q by score of s uniform candidates; of a variant, what is left at the two ends."""
        if self.hardest == 1 and self.trim == 0:
            return top(self._scores, self.kept, draw, self.candidates), None
        return ends(self._scores, self._sizes, draw, self.trim), None

    def learn(self, indices: Tensor, losses: Tensor) -> None:
        """A sample's score is its newest loss, or the moving average; all others keep theirs (Eq. 2)."""
        if self.smoothing < 1:
            scores = self._scores[indices]
            moved = (1 - self.smoothing) * scores + self.smoothing * losses
            losses = torch.where(
                scores.isfinite(), moved, losses
            )  # no average to move yet, or an infinite loss broke it
        self._scores[indices] = losses

    def memory(self) -> dict[str, Any]:
        """The scores."""
        return {"_scores": self._scores}

    def _check_trim(self) -> None:
        left = self.candidates - round(self.trim * self.candidates)
        if left < self.kept:
            raise ValueError(
                f"OrderDP with 'trim' = {self.trim:g} leaves {left} of its {self.candidates} candidates, fewer than the"
                f" {self.kept} that it keeps. Lower 'trim' to at most {1 - self.kept / self.candidates:.4g}, or raise"
                " 'explore'."
            )
        if self.trim > 0 and self.initial_score != math.inf:
            raise ValueError(
                f"OrderDP with 'trim' needs an infinite 'initial_score': {self.initial_score:g} could be taken for a"
                " known loss and trimmed."
            )


def shares(
    owner: object, n: int, prune_ratio: float, explore: float | None, exploit: float | None
) -> tuple[float, float]:
    """(explore, exploit) = (s/n, q/s) that leave out 1 - q/n with q = round((1 - prune_ratio) n).

    Raises:
        ValueError: a share outside its range, both shares, or q > s.
    """
    kept = budget(owner, n, prune_ratio)
    if explore is not None and exploit is not None:
        raise ValueError(
            f"'prune_ratio' = {prune_ratio:g} of OrderDP contradicts 'explore' = {explore!r} with 'exploit' ="
            f" {exploit!r}, which fix the ratio already. Leave out one of the three."
        )
    if exploit is not None:
        candidates = round(kept / fraction(owner, "exploit", exploit, one=True))
        if candidates > n:
            raise ValueError(
                f"s > n: OrderDP with 'exploit' = {exploit:g} needs {candidates} candidates for the {kept} samples that"
                f" 'prune_ratio' = {prune_ratio:g} keeps, more than n = {n}. Raise 'exploit' to at least {kept / n:g}."
            )
    else:
        explore = math.sqrt(1 - prune_ratio) if explore is None else fraction(owner, "explore", explore, one=True)
        candidates = round(explore * n)
        if kept > candidates:
            raise ValueError(
                f"q > s: OrderDP with 'explore' = {explore:g} draws {candidates} candidates, fewer than the {kept}"
                f" samples that 'prune_ratio' = {prune_ratio:g} keeps. Raise 'explore' to at least {kept / n:g}."
            )
    # The rounded shares: multiplied back, they give s and q exactly.
    return candidates / n, kept / candidates
