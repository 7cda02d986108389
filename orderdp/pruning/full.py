"""No pruning."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from orderdp.pruning.base import Pruner


class FullData(Pruner):
    """Every sample in every epoch: the baseline.

    Args:
        n: number of samples.
        seed: decides the order.

    Example:
        >>> pruner = FullData(4)
        >>> sorted(pruner.select(0).indices.tolist()), pruner.realised_prune_ratio
        ([0, 1, 2, 3], 0.0)
    """

    @classmethod
    def at_ratio(cls, n: int, prune_ratio: float, **options: Any) -> Self:
        """The full data, which has one ratio only: any but 0 is an error."""
        if prune_ratio != 0:
            raise ValueError(f"The 'prune_ratio' of FullData must be 0: it prunes nothing. Got {prune_ratio!r}.")
        return cls(n, **options)

    def select_mask(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, None]:
        """All samples."""
        return torch.ones(self.n, dtype=torch.bool), None
