"""(b) What a pruned epoch costs beside its share of the work: its wall time over k times that of a full epoch, k being what it kept.

Both are epochs of the engine as the workflow runs it, with all records, without evaluation. Selection, learning the losses, augmentation
drawn for samples that are left out, the last batch that is not full: all of it is in the ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.measuring import compared, in_turn
from benchmarks.workload import one_epoch, spec, training

KEYS = ("scale", "method", "prune_ratio", "samples", "kept")
GOAL = 1.02
DEFAULTS: dict[str, Any] = {
    "scale": "fashion",
    "samples": None,
    "runs": [["orderdp", 0.3], ["orderdp", 0.5], ["orderdp", 0.7]],
    "repeats": 5,
}
TINY: dict[str, Any] = {"scale": "quick", "samples": 300, "runs": [["orderdp", 0.5]], "repeats": 2}


def run(scale: str, samples: int | None, runs: Sequence[tuple[str, float]], repeats: int) -> Iterator[dict[str, Any]]:
    """A row per method and ratio; all share the full epoch of their repeat."""
    full = training(spec(scale, "full"), samples)
    pruned = {(method, ratio): training(spec(scale, method, ratio), samples) for method, ratio in runs}
    kept: dict[tuple[str, float], list[int]] = {name: [] for name in pruned}
    calls: dict[Any, Any] = {name: lambda name=name: kept[name].append(one_epoch(pruned[name])) for name in pruned}
    times: dict[Any, Any] = in_turn({"full": lambda: one_epoch(full), **calls}, repeats)
    for name in pruned:
        # InfoBatch keeps another share in every epoch.
        shares = [count / full.n for count in kept[name][1:]]
        reference = [took.times(share) for took, share in zip(times["full"], shares, strict=True)]
        facts = {
            "scale": scale,
            "method": name[0],
            "prune_ratio": name[1],
            "samples": full.n,
            "kept": round(full.n * sum(shares) / len(shares)),
        }
        yield facts | compared(times[name], reference, GOAL)
