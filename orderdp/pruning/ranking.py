"""Choosing k of n by rank or at random, in time linear in n: partial sorts only.

NumPy, because its partition takes a fraction of the time of `torch.topk` on one core (`benchmarks/selection.py`). Only sets leave this
module, as masks: the order that a partition leaves within its halves differs between processors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def smallest(keys: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Indices of the `count` smallest keys, in no particular order. Of independent uniform float64 keys: a uniform draw of `count`."""
    if not 0 < count < len(keys):
        return np.arange(len(keys) if count > 0 else 0)
    return np.argpartition(keys, count - 1)[:count]


def largest(values: NDArray[np.float32], count: int, keys: NDArray[Any]) -> NDArray[np.bool_]:
    """Mask of the `count` largest values; of equal values that compete for the last places, those with the smallest keys.

    Args:
        values: (m,), infinite ones allowed, no NaN.
        count: 0..m.
        keys: (m,), distinct.
    """
    if not 0 < count < len(values):
        return np.full(len(values), count > 0)
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    mask = values > threshold
    level = np.flatnonzero(values == threshold)
    mask[level[smallest(keys[level], count - int(np.count_nonzero(mask)))]] = True
    return mask


def uniform(n: int, count: int, draw: np.random.Generator) -> Tensor:
    """bool (n,): `count` of n uniformly, without replacement."""
    return mask_at(n, smallest(draw.random(n), count))


def top(scores: Tensor, count: int, draw: np.random.Generator, candidates: int | None = None) -> Tensor:
    """bool (n,): the `count` of largest score among `candidates` uniform draws without replacement; ties are broken at random.

    Args:
        scores: float32 (n,); +inf for samples never seen.
        count: q, at most s.
        draw: one key per sample decides who is a candidate and, independently of that, who wins a tie.
        candidates: s; None for all n.
    """
    n, values = len(scores), scores.numpy()
    keys = draw.random(n)
    if candidates is None or candidates == n:
        return torch.from_numpy(largest(values, count, keys))
    pool = smallest(keys, candidates)
    return mask_at(n, pool[largest(values[pool], count, keys[pool])])


def mask_at(n: int, indices: NDArray[np.intp]) -> Tensor:
    """bool (n,): true at the indices."""
    mask = torch.zeros(n, dtype=torch.bool)
    mask.numpy()[indices] = True
    return mask


def unseen(n: int, score: float = torch.inf) -> Tensor:
    """float32 (n,): scores before anything is known. Infinite, so that samples never seen come first and none is left out for good.

    Paper: initial scores are an input of Algorithm 1 (its code uses the constants 3 and 1); here: infinite, because a constant below
    the loss's floor (1.01 with label smoothing 0.1 and 1,000 classes) starves a part of the data for the whole training.
    """
    return torch.full((n,), score)
