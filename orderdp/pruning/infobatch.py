"""InfoBatch: prune below the mean loss, and weigh up what is left there."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from orderdp.pruning.base import Pruner
from orderdp.pruning.checks import fraction, whole
from orderdp.pruning import ranking


class InfoBatch(Pruner):
    """Keeps every sample whose last loss is at least the mean; of the others a random share, weighed up so that sums stay unbiased.

    Source: Qin et al. 2024. Without annealing by default, as the paper compares it (footnote 3).

    Args:
        n: number of samples.
        prune_ratio: in (0, 1). With budget "nominal" the share pruned of the samples *below the mean*, as published: the epoch's own
            ratio is smaller. With "calibrated" the share pruned of all samples, met exactly where the samples below the mean suffice.
        budget: "nominal" or "calibrated".
        annealing: share of the epochs, in (0, 1], after which all data is used (0.875 in the original); None for never.
        epochs: planned epochs; needed with annealing.
        min_keep: least share kept below the mean (0.1 in the original), which bounds the weights by 1 / min_keep.
        seed: decides the random share and order.
    """

    def __init__(
        self,
        n: int,
        *,
        prune_ratio: float,
        budget: Literal["nominal", "calibrated"] = "nominal",
        annealing: float | None = None,
        epochs: int | None = None,
        min_keep: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(n, seed=seed)
        self.target_ratio = fraction(self, "prune_ratio", prune_ratio)
        if budget not in ("nominal", "calibrated"):
            raise ValueError(f"The 'budget' of InfoBatch must be 'nominal' or 'calibrated'. Got {budget!r}.")
        self.budget = budget
        self.annealing = None if annealing is None else fraction(self, "annealing", annealing, one=True)
        self.epochs = None if epochs is None else whole(self, "epochs", epochs, 1)
        if annealing is not None and epochs is None:
            raise ValueError("InfoBatch with 'annealing' needs 'epochs', the planned number of epochs.")
        self.min_keep = fraction(self, "min_keep", min_keep, one=True)
        self._scores = ranking.unseen(n)

    def choose(self, epoch: int, draw: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """All at or above the mean, never seen or not finite; of those below, a uniform share without replacement."""
        kept = torch.ones(self.n, dtype=torch.bool)
        if self.annealing is not None and self.epochs is not None and epoch >= self.annealing * self.epochs:
            return kept, None
        # A mask tells what was seen. The original compares with a constant, and a float32 mean of equal constants may exceed them.
        seen = self._scores.isfinite()
        if not seen.any():
            return kept, None
        low = (seen & (self._scores < self._scores[seen].double().mean())).nonzero().squeeze(1)
        count = len(low)
        if count == 0:
            return kept, None
        stay = self._stay(count)
        kept[low[torch.randperm(count, generator=draw)[stay:]]] = False
        weights = torch.ones(self.n)
        # Nominal: the published 1 / (1 - r). Calibrated: the exact inverse of the share that stays.
        weights[low] = 1 / max(1 - self.target_ratio, self.min_keep) if self.budget == "nominal" else count / stay
        return kept, weights

    def _stay(self, count: int) -> int:
        """How many of the `count` samples below the mean stay."""
        if self.budget == "nominal":
            return max(1, math.floor(max(1 - self.target_ratio, self.min_keep) * count + 1e-9))
        wanted = ranking.budget(self.n, self.target_ratio) - (self.n - count)
        return min(count, max(wanted, math.ceil(self.min_keep * count)))

    def learn(self, indices: Tensor, losses: Tensor) -> None:
        """A sample's score is its newest unweighted loss."""
        self._scores[indices] = losses

    def memory(self) -> dict[str, Any]:
        """The scores."""
        return {"_scores": self._scores}

    @property
    def feasible(self) -> bool:
        """Whether the present scores allow the calibrated ratio: enough samples lie below the mean."""
        seen = self._scores.isfinite()
        low = int((self._scores[seen] < self._scores[seen].double().mean()).sum()) if seen.any() else 0
        return self.n - low + math.ceil(self.min_keep * low) <= ranking.budget(self.n, self.target_ratio)
