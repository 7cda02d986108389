"""(d) A pruner in an ordinary `DataLoader`, over the same loader with `RandomSampler`, at equal numbers of samples.

The thing: `Indexed`, the pruner as sampler, and `update`. The reference: the plain data set, a `RandomSampler` that
draws as many samples, and the mean loss. "training" is the customary loop with transforms; the "loading" rows train
nothing and so show the overhead alone: of transformed images, and of rows that are ready in memory, where there is
nothing else to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset

from benchmarks.customary import Loop, Pictures
from benchmarks.measuring import compared, in_turn, one_core
from benchmarks.workload import data, spec
from orderdp.pruning import Indexed, OrderDP

KEYS = ("scale", "case", "workers", "samples", "kept")
GOAL = 1.01
DEFAULTS: dict[str, Any] = {"scale": "fashion", "samples": 5120, "prune_ratio": 0.5, "workers": [0, 2], "repeats": 11}
TINY: dict[str, Any] = {"scale": "quick", "samples": 256, "prune_ratio": 0.5, "workers": [0], "repeats": 2}


def run(scale: str, samples: int, prune_ratio: float, workers: list[int], repeats: int) -> Iterator[dict[str, Any]]:
    """A row per case."""
    chosen = spec(scale, "full")
    images = data(chosen.dataset.name, samples)
    loop, pictures = Loop(chosen, images), Pictures(images, chosen)
    rows = TensorDataset(images.train_images.flatten(1), images.train_labels)
    cases: list[tuple[str, Dataset[Any], int, bool]] = [("training", pictures, count, True) for count in workers]
    cases += [("loading, transforms", pictures, 0, False), ("loading, rows in memory", rows, 0, False)]
    for name, dataset, count, trains in cases:
        pruner = OrderDP.at_ratio(samples, prune_ratio)
        calls = pair(dataset, pruner, loop if trains else None, batch_size=chosen.recipe.batch_size, workers=count)
        with one_core():
            times = in_turn(calls, repeats)
        facts = {"scale": scale, "case": name, "workers": count, "samples": samples, "kept": pruner.kept}
        yield facts | compared(times["pruner"], times["plain"], GOAL if trains else None)


def pair(
    dataset: Dataset[Any], pruner: OrderDP, loop: Loop | None, *, batch_size: int, workers: int
) -> dict[str, Callable[[], object]]:
    """An epoch of each loader, trained on by the loop or, without one, only loaded (the pruner then learns made-up
    losses)."""
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    plain = DataLoader(dataset, batch_size, sampler=RandomSampler(dataset, num_samples=pruner.kept), **options)  # type: ignore[arg-type]
    pruned = DataLoader(Indexed(dataset), batch_size, sampler=pruner, **options)
    losses = torch.rand(batch_size)
    if loop is not None:
        return {"plain": lambda: loop.epoch(plain), "pruner": lambda: loop.pruned_epoch(pruned, pruner)}
    return {
        "plain": lambda: [losses.mean() for _ in plain],
        "pruner": lambda: [pruner.update(index, losses[: len(index)]) for index, _ in pruned],
    }
