"""Dynamic random pruning."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from orderdp.pruning.base import Pruner
from orderdp.pruning.checks import n_kept
from orderdp.pruning.ranking import uniform


class RandomPruning(Pruner):
    """A fresh uniform subset every epoch, without replacement: the paper's "Dynamic Random".

    Args:
        n: number of samples.
        prune_ratio: share left out of every epoch, in (0, 1).
        rescale: weigh every kept sample by n / q, so that the summed gradient estimates the full one.
        seed: decides selection and order.

    Example:
        >>> pruner = RandomPruning(10, prune_ratio=0.7)
        >>> len(pruner.select(0).indices)
        3
    """

    def __init__(self, n: int, *, prune_ratio: float, rescale: bool = False, seed: int = 0) -> None:
        super().__init__(n, seed=seed)
        self._kept_count = n_kept(self, self.n, prune_ratio)
        self.target_ratio = float(prune_ratio)
        self.rescale = rescale

    def select_mask(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """Uniformly q = round((1 - prune_ratio) n) of n."""
        kept = uniform(self.n, self._kept_count, draw)
        return kept, torch.full((self.n,), self.n / self._kept_count) if self.rescale else None
