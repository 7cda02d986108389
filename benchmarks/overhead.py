"""(b) What a pruned epoch costs beside its share of the work: its wall time over k times that of a full epoch, k being
what it kept.

Both are epochs of the engine as the workflow runs it, with all records, without evaluation. Subset, learning the
losses, augmentation drawn for samples that are left out, the last batch that is not full: all of it is in the ratio.
The epochs of a repeat run side by side, a step of whichever is least far, so that a machine whose speed changes
meanwhile changes the ratio by little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet
from torch import Tensor

from benchmarks.measuring import Took, clock, compared
from benchmarks.workload import one_epoch, spec, training
from orderdp.training.engine import Training

KEYS = ("scale", "method", "prune_ratio", "samples", "kept", "steps", "full_steps")
GOAL = 1.02
DEFAULTS: dict[str, Any] = {
    "scale": "fashion",
    "samples": None,
    "runs": [["orderdp", 0.3], ["orderdp", 0.5], ["orderdp", 0.7]],
    "repeats": 3,
}
TINY: dict[str, Any] = {"scale": "quick", "samples": 300, "runs": [["orderdp", 0.5]], "repeats": 2}
Name = tuple[str, float | None]


class Epoch(NamedTuple):
    """One epoch of one run."""

    took: Took
    kept: int
    steps: int


def run(scale: str, samples: int | None, runs: Sequence[tuple[str, float]], repeats: int) -> Iterator[dict[str, Any]]:
    """A row per method and ratio; all share the full epoch of their repeat."""
    names: list[Name] = [("full", None), *((method, ratio) for method, ratio in runs)]
    trained = {name: training(spec(scale, *name), samples) for name in names}
    side_by_side({name: training(spec(scale, *name), 300) for name in names})  # warms up
    rounds = [side_by_side(trained) for _ in range(repeats)]
    n = trained["full", None].n
    full = [found["full", None] for found in rounds]
    for name in names[1:]:
        own = [found[name] for found in rounds]
        reference = [all_of_it.took.times(epoch.kept / n) for epoch, all_of_it in zip(own, full, strict=True)]
        facts = {"scale": scale, "method": name[0], "prune_ratio": name[1], "samples": n, "kept": own[-1].kept}
        facts |= {"steps": own[-1].steps, "full_steps": full[-1].steps}
        yield facts | compared([epoch.took for epoch in own], reference, GOAL)


def side_by_side(runs: Mapping[Name, Training]) -> dict[Name, Epoch]:
    """An epoch of each run; each starts or goes on with one step when it is the least far of all, and is timed while it
    does."""
    here = getcurrent()
    progress, took = dict.fromkeys(runs, 0.0), dict.fromkeys(runs, Took(0.0, 0.0))
    kept: dict[Name, int] = {}
    steps: dict[Name, int] = {}

    def paced(name: Name) -> tuple[Iterator[Tensor], int]:
        """The run's batches; before it is given the next, the others have their turn."""
        batches, steps[name] = type(runs[name])._begin_epoch(runs[name])

        def walk() -> Iterator[Tensor]:
            for number, batch in enumerate(batches, 1):
                yield batch
                progress[name] = number / steps[name]
                here.switch()

        return walk(), steps[name]

    def train(name: Name) -> None:
        kept[name] = one_epoch(runs[name])

    tasks = {}
    for name, one in runs.items():
        one._begin_epoch = lambda name=name: paced(name)  # type: ignore[method-assign,misc]
        tasks[name] = greenlet(lambda name=name: train(name))  # type: ignore[misc]
    while waiting := [name for name in runs if not tasks[name].dead]:
        name = min(waiting, key=progress.__getitem__)
        spent = clock(tasks[name].switch)
        took[name] = Took(took[name].wall + spent.wall, took[name].cpu + spent.cpu)
    return {name: Epoch(took[name], kept[name], steps[name]) for name in runs}
