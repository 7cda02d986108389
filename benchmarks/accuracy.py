"""(e) Time to a fixed accuracy, end to end: every method over the full data set.

All runs of a seed train in turn, an epoch each, in one process, and differ by the method alone. Time is the training
clock: selection, augmentation and steps, without evaluation. A run reaches an accuracy with the first epoch whose test
accuracy is at least that. The ratio is the median over seeds of its time over that of the full data set; it is empty
where either did not get there.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.measuring import quartiles, rounded
from benchmarks.workload import spec, training
from orderdp.training.device import keep_freed_memory
from orderdp.training.engine import Training

KEYS = ("scale", "method", "prune_ratio", "samples", "epochs", "accuracy", "reached", "final_accuracy")
DEFAULTS: dict[str, Any] = {
    "scale": "fashion",
    "samples": None,
    "runs": [["random", 0.5], ["infobatch", 0.5], ["orderdp", 0.5]],
    "epochs": 5,
    "seeds": [0],
    "accuracies": [86.0, 88.0, 90.0],
}
TINY: dict[str, Any] = {
    "scale": "quick",
    "samples": 300,
    "runs": [["orderdp", 0.5]],
    "epochs": 2,
    "accuracies": [1.0, 100.1],
}


class Paused(Exception):
    """An epoch is over."""


def run(
    scale: str,
    samples: int | None,
    runs: Sequence[tuple[str, float]],
    epochs: int,
    seeds: Sequence[int],
    accuracies: Sequence[float],
) -> Iterator[dict[str, Any]]:
    """A row per method and accuracy."""
    names: list[tuple[str, float | None]] = [("full", None), *((method, ratio) for method, ratio in runs)]
    histories: dict[Any, list[list[dict[str, Any]]]] = {name: [] for name in names}
    for seed in seeds:
        trained = {name: training(spec(scale, *name, seed=seed, epochs=epochs), samples) for name in names}
        n = trained["full", None].n
        while not all(one.done for one in trained.values()):
            for one in trained.values():
                advance(one)
        for name, one in trained.items():
            histories[name].append(one.history)
    for accuracy in accuracies:
        full = [seconds_to(history, accuracy) for history in histories["full", None]]
        for method, ratio in names:
            taken = [seconds_to(history, accuracy) for history in histories[method, ratio]]
            finals = [history[-1]["test_accuracy"] for history in histories[method, ratio]]
            facts = {
                "scale": scale,
                "method": method,
                "prune_ratio": ratio,
                "samples": n,
                "epochs": epochs,
                "accuracy": accuracy,
            }
            facts |= {
                "reached": sum(value is not None for value in taken),
                "final_accuracy": rounded(statistics.mean(finals)),
            }
            yield facts | over_full(taken, full)


def advance(one: Training) -> None:
    """One epoch and its evaluation, unless the run is over."""

    def pause(training: Training) -> None:
        raise Paused

    keep_freed_memory()
    if not one.done:
        try:
            one.fit(pause)
        except Paused:
            return


def seconds_to(history: Sequence[dict[str, Any]], accuracy: float) -> float | None:
    """The training clock at the end of the first epoch that is at least so accurate; None if there is none."""
    total = 0.0
    for row in history:
        total += row["selection_s"] + row["training_s"]
        if row["test_accuracy"] >= accuracy:
            return total
    return None


def over_full(taken: Sequence[float | None], full: Sequence[float | None]) -> dict[str, Any]:
    """The columns `MEASURED`, with seeds for repeats."""
    pairs = [(a, b) for a, b in zip(taken, full, strict=True) if a is not None and b is not None]
    known = [value for value in taken if value is not None]
    row: dict[str, Any] = {"seconds": rounded(statistics.median(known)) if known else None, "repeats": len(taken)}
    if not pairs:
        return row
    ratios = [a / b for a, b in pairs]
    low, high = quartiles(ratios)
    return row | {
        "reference_seconds": rounded(statistics.median(b for _, b in pairs)),
        "ratio": rounded(statistics.median(ratios)),
        "ratio_low": rounded(low),
        "ratio_high": rounded(high),
    }
