"""Choosing k of n by rank or at random, in time linear in n: partial sorts only.

NumPy, because its partition takes a fraction of the time of `torch.topk` on one core (`benchmarks/selection.py`). Only
sets leave this module, as masks: the order that a partition leaves within its halves differs between processors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Sizes(NamedTuple):
    """How many samples an epoch draws and keeps."""

    candidates: int
    """s."""
    kept: int
    """q, at most s."""
    hard: int
    """How many of the q are the hardest of the candidates; the others are the easiest."""


def smallest(keys: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Indices of the `count` smallest keys, in no particular order. Of independent uniform float64 keys: a uniform draw
    of `count`."""
    if not 0 < count < len(keys):
        return np.arange(len(keys) if count > 0 else 0)
    return np.argpartition(keys, count - 1)[:count]


def largest(values: NDArray[np.float32], count: int, keys: NDArray[Any]) -> NDArray[np.bool_]:
    """Mask of the `count` largest values; of equal values that compete for the last places, those with the smallest
    keys.

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
    """bool (n,): the `count` of largest score among `candidates` uniform draws without replacement; ties are broken at
    random.

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


def ends(scores: Tensor, sizes: Sizes, draw: np.random.Generator, trim: float = 0.0) -> Tensor:
    """bool (n,): the hardest and the easiest of uniform candidates, after the highest known scores were left out; ties
    are broken at random.

    Samples never seen come first at both ends, because nothing tells yet where they belong, and are never left out as
    too hard.

    Args:
        scores: float32 (n,); +inf for samples never seen.
        sizes: how many are drawn and kept.
        draw: as in `top`; with all the kept at the hard end and nothing trimmed, both select the same.
        trim: share of the candidates of known score that is left out, those of the highest scores, rounded to a whole
            number.
    """
    n, values = len(scores), scores.numpy()
    keys = draw.random(n)
    pool = smallest(keys, sizes.candidates)
    if trim > 0:
        pool = _trimmed(values, pool, keys, trim)
    hard = largest(values[pool], sizes.hard, keys[pool])
    rest, chosen = pool[~hard], pool[hard]
    known = np.isfinite(values[rest])
    easy = largest(np.where(known, -values[rest], np.float32(np.inf)), sizes.kept - sizes.hard, keys[rest])
    return mask_at(n, np.concatenate([chosen, rest[easy]]))


def _trimmed(values: NDArray[np.float32], pool: NDArray[np.intp], keys: NDArray[Any], trim: float) -> NDArray[np.intp]:
    known = np.flatnonzero(np.isfinite(values[pool]))
    stays = np.ones(len(pool), dtype=np.bool_)
    stays[known] = ~largest(values[pool[known]], round(trim * len(known)), keys[pool[known]])
    return pool[stays]


def mask_at(n: int, indices: NDArray[np.intp]) -> Tensor:
    """bool (n,): true at the indices."""
    mask = torch.zeros(n, dtype=torch.bool)
    mask.numpy()[indices] = True
    return mask


def unseen(n: int, score: float = torch.inf) -> Tensor:
    """float32 (n,): scores before anything is known. Infinite, so that samples never seen come first and none is left
    out for good.

    Paper: initial scores are an input of Algorithm 1 (its code uses the constants 3 and 1); here: infinite, because a
    constant below the loss's floor (1.01 with label smoothing 0.1 and 1,000 classes) starves a part of the data for the
    whole training.
    """
    return torch.full((n,), score)
