"""A fixed subset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from orderdp.pruning.base import Pruner
from orderdp.pruning.checks import as_indices
from orderdp.pruning.ranking import budget, uniform
from orderdp.pruning.streams import generator


class StaticSubset(Pruner):
    """The same samples in every epoch: a coreset, chosen before training.

    Args:
        n: number of samples in the whole data set.
        indices: the samples to train on, each once.
        weights: one positive weight for each of them, or None.
        seed: decides the order.
    """

    def __init__(
        self, n: int, *, indices: Sequence[int] | Tensor, weights: Sequence[float] | Tensor | None = None, seed: int = 0
    ) -> None:
        super().__init__(n, seed=seed)
        chosen = as_indices(indices, n)
        if len(chosen) == 0 or len(chosen.unique()) != len(chosen):
            raise ValueError(f"The 'indices' of StaticSubset must be non-empty and unique. Got {len(chosen)}, {len(chosen.unique())} of them distinct.")
        self.indices = chosen.tolist()
        self.weights_given = None if weights is None else torch.as_tensor(weights, dtype=torch.float32)
        if self.weights_given is not None and len(self.weights_given) != len(chosen):
            raise ValueError(f"StaticSubset takes one weight per index: {len(chosen)}. Got {len(self.weights_given)}.")

    @classmethod
    def at_ratio(cls, n: int, prune_ratio: float, *, seed: int = 0, **options: Any) -> Self:
        """Static random pruning: a subset drawn once from the seed."""
        kept = uniform(n, budget(n, prune_ratio), generator(seed, "subset", 0))
        return cls(n, indices=kept.nonzero().squeeze(1), seed=seed, **options)

    def choose(self, epoch: int, draw: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """The given samples."""
        kept = torch.zeros(self.n, dtype=torch.bool)
        kept[self.indices] = True
        if self.weights_given is None:
            return kept, None
        weights = torch.ones(self.n)
        weights[self.indices] = self.weights_given
        return kept, weights

    def __repr__(self) -> str:
        """The call that builds an equal pruner."""
        weights = None if self.weights_given is None else self.weights_given.tolist()
        return f"StaticSubset({self.n}, indices={self.indices}, weights={weights}, seed={self.seed})"
