"""Pruners to test and a training that needs no model: shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from orderdp.pruning import PRUNERS, Pruner

N = 1000
RATIO = 0.4
KEEP_ALL = {"full"}  # have no ratio


def build(name: str, n: int = N, seed: int = 0) -> Pruner:
    """The registered pruner at a moderate ratio."""
    cls = PRUNERS[name]
    return cls(n, seed=seed) if name in KEEP_ALL else cls.at_ratio(n, RATIO, seed=seed)


def losses_of(indices: Tensor, epoch: int, n: int = N) -> Tensor:
    """Losses that depend on sample and epoch only, skewed as in training: most are small."""
    drawn = torch.rand(n, generator=torch.Generator().manual_seed(1000 + epoch))
    return (drawn**3 * 4)[indices]


def walk(pruner: Pruner) -> Iterator[Tensor]:
    """One iteration in batches, whether the pruner yields indices or batches."""
    batch: list[int] = []
    for item in pruner:
        if isinstance(item, list):
            yield torch.tensor(item)
            continue
        batch.append(item)
        if len(batch) == 64:
            yield torch.tensor(batch)
            batch = []
    if batch:
        yield torch.tensor(batch)


def train(pruner: Pruner, epochs: range) -> list[list[int]]:
    """Walks the epochs and observes; the indices of each, in order."""
    seen = []
    for epoch in epochs:
        pruner.set_epoch(epoch)
        trained: list[int] = []
        for indices in walk(pruner):
            pruner.observe(indices, losses_of(indices, epoch, pruner.n))
            trained += indices.tolist()
        seen.append(trained)
    return seen
