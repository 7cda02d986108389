"""InfoBatch: prune below the mean loss, and weigh up what is left there."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orderdp.compat import renamed_arguments, renamed_attribute
from orderdp.pruning import checks
from orderdp.pruning.base import Pruner
from orderdp.pruning.checks import fraction, whole
from orderdp.pruning.ranking import smallest, unseen
from orderdp.pruning.subset import Subset


class InfoBatch(Pruner):
    """Keeps every sample whose last loss is at least the mean; of the others a random share, weighed up so that sums
    stay unbiased.

    Source: Qin et al. 2024. Without annealing by default, as the paper compares it (footnote 3).

    Args:
        n: number of samples.
        prune_ratio: r, in (0, 1). With `ratio_of` "below_mean" the share pruned of the samples *below the mean*, as
            published: the epoch's own ratio is smaller. With "all" the share pruned of all samples: r is set for each
            epoch so that it is met exactly, where the samples below the mean suffice (`feasible` tells).
        ratio_of: what `prune_ratio` is a share of: "below_mean" or "all".
        annealing: share of the epochs, in (0, 1], after which all data is used (0.875 in the original); None for never.
        epochs: planned epochs; needed with annealing.
        min_keep: least share kept below the mean (0.1 in the original), in (0, 1], which bounds the weights by 1 /
            min_keep.
        seed: decides the random share and order.

    Example:
        >>> import torch
        >>> pruner = InfoBatch(10, prune_ratio=0.5)
        >>> pruner.prime(torch.arange(10), torch.arange(10.0))  # the mean is 4.5
        >>> len(pruner.select(0).indices)  # five at or above it, and half of the others
        7
    """

    budget = renamed_attribute("budget", "ratio_of")

    @renamed_arguments(budget=("ratio_of", {"nominal": "below_mean", "calibrated": "all"}))
    def __init__(
        self,
        n: int,
        *,
        prune_ratio: float = 0.5,
        ratio_of: Literal["below_mean", "all"] = "below_mean",
        annealing: float | None = None,
        epochs: int | None = None,
        min_keep: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(n, seed=seed)
        self._target_count = checks.n_kept(self, self.n, prune_ratio)
        self.target_ratio = float(prune_ratio)
        if ratio_of not in ("below_mean", "all"):
            raise ValueError(f"The 'ratio_of' of InfoBatch must be 'below_mean' or 'all'. Got {ratio_of!r}.")
        self.ratio_of = ratio_of
        self.annealing = None if annealing is None else fraction(self, "annealing", annealing, one=True)
        self.epochs = None if epochs is None else whole(self, "epochs", epochs, 1)
        if annealing is not None and epochs is None:
            raise ValueError("InfoBatch with 'annealing' needs 'epochs', the planned number of epochs.")
        self.min_keep = fraction(self, "min_keep", min_keep, one=True)
        self.clamped_epochs: list[int] = []
        """Epochs begun that kept more than the target, although scores were known."""
        self._scores = unseen(self.n)

    @property
    def feasible(self) -> bool:
        """Whether every epoch begun so far met its prune ratio. Epochs before any score is known, and annealed ones, do
        not count."""
        return not self.clamped_epochs

    def select_mask(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """All at or above the mean and all never seen; of those below, a uniform share without replacement."""
        kept = torch.ones(self.n, dtype=torch.bool)
        low = np.empty(0, dtype=np.intp) if self._annealed(epoch) else self._below_mean()
        if len(low) == 0:
            return kept, None
        stay, weight = self._stay(len(low))
        kept.numpy()[low] = False
        kept.numpy()[low[smallest(draw.random(len(low)), stay)]] = True
        weights = torch.ones(self.n)
        weights.numpy()[low] = weight
        return kept, weights

    def _below_mean(self) -> NDArray[np.intp]:
        """Samples whose last loss is below the mean of all that are known."""
        # A mask tells what was seen. The original compares with a constant, and a float32 mean of equal constants may
        # exceed them.
        scores = self._scores.numpy()
        seen = np.isfinite(scores)
        if not seen.any():
            return np.empty(0, dtype=np.intp)
        return np.flatnonzero(scores < scores[seen].mean(dtype=np.float64))

    def _stay(self, count: int) -> tuple[int, float]:
        """How many of `count` samples below the mean stay, and the weight of each."""
        share = max(1 - self.target_ratio, self.min_keep)
        if self.ratio_of == "below_mean":
            return math.floor(
                share * count + 1e-9
            ), 1 / share  # the published weight, though the floor keeps slightly less
        least = max(1, math.ceil(self.min_keep * count - 1e-9))
        stay = max(least, self._target_count - (self.n - count))
        return stay, count / stay

    def _annealed(self, epoch: int) -> bool:
        return (
            self.annealing is not None
            and self.epochs is not None
            and epoch >= math.floor(self.annealing * self.epochs + 1e-9)
        )

    def on_begin(self, epoch: int, selection: Subset) -> None:
        """Records an epoch that could not be pruned as asked."""
        if self._annealed(epoch) or not bool(self._scores.isfinite().any()):
            return
        if self.ratio_of == "all":
            clamped = len(selection.indices) != self._target_count
        else:
            clamped = 1 - self.target_ratio < self.min_keep - 1e-9
        if clamped:
            self.clamped_epochs.append(epoch)

    def update_scores(self, indices: Tensor, losses: Tensor) -> None:
        """A sample's score is its newest unweighted loss."""
        self._scores[indices] = losses

    def extra_state(self) -> dict[str, Any]:
        """The scores, and which epochs missed their prune ratio."""
        return {"_scores": self._scores, "clamped_epochs": self.clamped_epochs}
