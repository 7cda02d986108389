"""(a) What drawing an epoch costs, for every method, over a full sort of as many scores.

The thing: `begin_epoch` with the losses of the epoch before waiting to be learnt, which are of the samples that it
kept. It learns them, chooses, brings what it chose into the epoch's order and counts it. The reference: torch's sort of
n float32 scores, values and indices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring import Took, clock, compared, in_turn
from benchmarks.methods import OPTIONS, PRUNE_RATIO, build
from orderdp.pruning import OrderDP, Pruner

KEYS = ("method", "n")
DEFAULTS: dict[str, Any] = {
    "sizes": [10_000, 100_000, 1_000_000, 10_000_000],
    "methods": [*OPTIONS, "orderdp_by_sort"],
    "repeats": 15,
}
TINY: dict[str, Any] = {"sizes": [200], "repeats": 2}


class SortedOrderDP(OrderDP):
    """OrderDP the obvious way: a permutation for the candidates, a full sort for the top."""

    def select_mask(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, None]:
        """The top q by score of s uniform candidates."""
        candidates = torch.from_numpy(draw.permutation(self.n)[: self.candidates])
        kept = torch.zeros(self.n, dtype=torch.bool)
        kept[candidates[self._scores[candidates].argsort(descending=True)[: self.kept]]] = True
        return kept, None


class Epochs:
    """A pruner's epochs, one for each call; what training would do in between is not on the clock."""

    def __init__(self, pruner: Pruner, losses: Tensor) -> None:
        self.pruner, self.losses = pruner, losses
        self.epoch = 0
        pruner.prime(torch.arange(pruner.n), losses)  # every score is known

    def __call__(self) -> Took:
        """Begins the next epoch and trains on it, so to speak."""
        took = clock(lambda: self.pruner.begin_epoch(self.epoch))
        kept = self.pruner.begin_epoch(self.epoch).indices
        self.pruner.observe(kept, self.losses[kept])
        self.epoch += 1
        return took


def run(sizes: Sequence[int], methods: Sequence[str], repeats: int) -> Iterator[dict[str, Any]]:
    """A row per size and method; sizes beyond a million take a fifth of the repeats."""
    for n in sizes:
        losses = torch.rand(n, generator=torch.Generator().manual_seed(0)) ** 3 * 4
        calls: dict[str, Any] = {"sort": lambda losses=losses: losses.sort(descending=True)}
        for name in methods:
            by_sort = name == "orderdp_by_sort"
            pruner = SortedOrderDP.at_ratio(n, PRUNE_RATIO, explore=0.5) if by_sort else build(name, n)
            calls[name] = Epochs(pruner, losses)
        times = in_turn(calls, repeats if n <= 1_000_000 else max(3, repeats // 5))
        for name in methods:
            yield {"method": name, "n": n, **compared(times[name], times["sort"])}
