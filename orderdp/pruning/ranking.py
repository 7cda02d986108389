"""Choosing by rank or at random, in time linear in n."""

from __future__ import annotations

import torch
from torch import Tensor


def budget(n: int, prune_ratio: float) -> int:
    """Samples kept, q = round((1 - prune_ratio) n), at least one. `int` would cut 0.58 * 50,000 down to 28,999."""
    return max(1, round((1 - prune_ratio) * n))


def uniform(n: int, count: int, draw: torch.Generator) -> Tensor:
    """bool (n,): `count` of n uniformly, without replacement."""
    kept = torch.zeros(n, dtype=torch.bool)
    kept[torch.randperm(n, generator=draw)[:count]] = True
    return kept


def top(scores: Tensor, candidates: Tensor, count: int) -> Tensor:
    """bool (n,): the `count` candidates of largest score.

    Ties are broken by place among the candidates, so at random when these are a random permutation or subset.

    Args:
        scores: float32 (n,); +inf for samples never seen.
        candidates: int64 (s,), in random order.
        count: q, at most s.
    """
    kept = torch.zeros(len(scores), dtype=torch.bool)
    if count < len(candidates):
        candidates = candidates[torch.topk(scores[candidates], count, sorted=False).indices]
    kept[candidates] = True
    return kept


def unseen(n: int) -> Tensor:
    """Scores before anything is known: +inf, so that samples never seen come first and none is left out for good.

    Paper: initial scores are an input of Algorithm 1 (its code uses the constants 3 and 1); here: infinite, because a constant below
    the loss's floor (1.01 with label smoothing 0.1 and 1,000 classes) starves a part of the data for the whole training.
    """
    return torch.full((n,), torch.inf)
