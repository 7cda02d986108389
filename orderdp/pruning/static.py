"""A fixed subset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from orderdp.pruning.base import Pruner
from orderdp.pruning.checks import as_indices, n_kept
from orderdp.pruning.ranking import mask_at, uniform
from orderdp.pruning.rng import numpy_generator


class StaticSubset(Pruner):
    """The same samples in every epoch: a coreset, chosen before training.

    Args:
        n: number of samples in the whole data set.
        indices: the samples to train on, each once.
        weights: one positive weight for each of them, used as given (a mean of 1 keeps the learning rate's meaning), or
            None.
        seed: decides the order.

    Example:
        >>> pruner = StaticSubset(10, indices=[7, 2, 5])
        >>> sorted(pruner.select(0).indices.tolist())
        [2, 5, 7]
    """

    def __init__(
        self, n: int, *, indices: Sequence[int] | Tensor, weights: Sequence[float] | Tensor | None = None, seed: int = 0
    ) -> None:
        super().__init__(n, seed=seed)
        chosen = as_indices(indices, self.n)
        distinct = len(chosen.unique())
        if len(chosen) == 0 or distinct != len(chosen):
            raise ValueError(
                f"The 'indices' of StaticSubset must be non-empty and unique. Got {len(chosen)}, {distinct} distinct."
            )
        self._chosen = chosen.cpu().clone()
        self._given = None if weights is None else torch.as_tensor(weights, dtype=torch.float32).detach().cpu().clone()
        if self._given is not None and self._given.shape != chosen.shape:
            raise ValueError(
                f"StaticSubset takes one weight per index: {len(chosen)}. Got shape {tuple(self._given.shape)}."
            )
        if self._given is not None and not bool((self._given.isfinite() & (self._given > 0)).all()):
            raise ValueError("The 'weights' of StaticSubset must be positive and finite.")

    @classmethod
    def at_ratio(cls, n: int, prune_ratio: float, *, seed: int = 0, **options: Any) -> Self:
        """Static random pruning: a subset drawn once from the seed."""
        kept = uniform(n, n_kept(cls, n, prune_ratio), numpy_generator(seed, "subset", 0))
        return cls(n, indices=kept.nonzero().squeeze(1), seed=seed, **options)

    @property
    def indices(self) -> list[int]:
        """The samples trained on, in the order given."""
        return self._chosen.tolist()

    def select_mask(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """The given samples."""
        kept = mask_at(self.n, self._chosen.numpy())
        if self._given is None:
            return kept, None
        weights = torch.ones(self.n)
        weights[self._chosen] = self._given
        return kept, weights

    def _options(self) -> dict[str, Any]:
        return {
            "indices": self.indices,
            "weights": None if self._given is None else self._given.tolist(),
            "seed": self.seed,
        }
