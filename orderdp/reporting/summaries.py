"""What several tables say of a method at one setting over its seeds, next to the full data and the paper's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from orderdp.reporting.measures import paired_difference, spread
from orderdp.reporting.paper import PUBLISHED_ROWS, printed, published_workloads
from orderdp.reporting.results import DIVERGED, FINISHED, NOT_RUN

FULL = "full"
SUMMARY = (
    "stands_for", "method", "label", "group", "planned", "seeds", "diverged", "status", "accuracy", "accuracy_std",
    "difference",
    "difference_ci95", "pairs", "realised_prune_ratio", "time_s", "time_s_std", "time_ratio",
)  # fmt: skip
"""What `summarise` gives, in its order: the columns of a table that may have no rows."""
TIE = 1e-6
"""Points of accuracy within which two means are equal. Means over seeds of right answers that differ at all differ by
100 / (test samples x seeds) or more, which is larger; what floating point adds, in an order that depends on the seeds,
is smaller."""


def summarise(runs: pd.DataFrame, full: pd.DataFrame) -> dict[str, Any]:
    """One method at one setting over its seeds.

    Args:
        runs: its rows of `results.collect`.
        full: rows of the full data on the same workload.

    Returns:
        stands_for, method, label, group; `planned`, `seeds` (finished) and `diverged` runs; `status` ("finished" if at
        least one did, else "diverged" or "not run"); `accuracy` and `accuracy_std` (%, sample standard deviation over
        seeds); `difference` to full data in points with `difference_ci95` (half of the 95 % interval of the differences
        paired by seed) and `pairs`; `realised_prune_ratio`; `time_s`, `time_s_std` (selection and training) and
        `time_ratio` (mean time over that of full data).
    """
    first = runs.iloc[0]
    done, done_full = runs[runs["status"] == FINISHED], full[full["status"] == FINISHED]
    accuracy, time = spread(done["test_accuracy"]), spread(done["time_s"])
    difference = paired_difference(_by_seed(done), _by_seed(done_full))
    is_full = first["method"] == FULL
    return {
        "stands_for": first["stands_for"],
        "method": first["method"],
        "label": first["label"],
        "group": "full" if is_full else "paper" if first["method"] in PUBLISHED_ROWS else "added",
        "planned": len(runs),
        "seeds": len(done),
        "diverged": int((runs["status"] == DIVERGED).sum()),
        "status": FINISHED if len(done) else DIVERGED if (runs["status"] == DIVERGED).any() else NOT_RUN,
        "accuracy": accuracy.mean,
        "accuracy_std": accuracy.std,
        "difference": float("nan") if is_full else difference.mean,
        "difference_ci95": float("nan") if is_full else difference.half_width,
        "pairs": 0 if is_full else difference.pairs,
        "realised_prune_ratio": spread(done["realised_prune_ratio"]).mean,
        "time_s": time.mean,
        "time_s_std": time.std,
        "time_ratio": time.mean / spread(done_full["time_s"]).mean,
    }


def _by_seed(runs: pd.DataFrame) -> dict[int, float]:
    return dict(zip(runs["seed"], runs["test_accuracy"], strict=True))


def competes(record: dict[str, Any]) -> bool:
    """Half-run or diverged methods cannot be best: a mean over the seeds that went well is no fair rival."""
    return record["group"] == "paper" and record["seeds"] == record["planned"]


def mark_best(block: list[dict[str, Any]]) -> None:
    """Sets `best` in the records of one ratio: the highest mean among the paper's pruning methods all of whose runs
    finished.

    Methods whose means differ by no more than floating point are best together. A method without a rival is not marked.

    Args:
        block: records of :func:`summarise`.
    """
    rivals = [record["accuracy"] for record in block if competes(record)]
    for record in block:
        record["best"] = competes(record) and len(rivals) > 1 and record["accuracy"] >= max(rivals) - TIE


def distinct_methods(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each method at one setting. A method whose runs are those of one before it, under another name, is
    left out."""
    seen = set()
    for _, runs in rows.groupby("method", sort=False):
        if (names := frozenset(runs["run"])) not in seen:
            seen.add(names)
            yield runs


def published_of(
    published: dict[tuple[str, str], tuple[float, float]], method: str, stands_for: str, ratio: float
) -> dict[str, float]:
    """`published <workload>` and `published gap <workload>` of a method at a ratio, NaN where nothing is printed."""
    found = {}
    for where in published_workloads(stands_for):
        column = f"{where}/0" if method == FULL else f"{where}/{100 * ratio:.6g}"
        found[f"published {where}"], _ = printed(published, str(method), column)
        found[f"published gap {where}"], _ = printed(published, method, f"{column}/gap")
    return found


def counts(runs: pd.DataFrame) -> dict[str, int]:
    """How many runs of a method are `planned`, how many are finished (`runs`), and how many `diverged`."""
    return {"planned": len(runs)} | {
        name: int((runs["status"] == status).sum()) for name, status in (("runs", FINISHED), ("diverged", DIVERGED))
    }


def legend_entries(results: pd.DataFrame) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """(legend, finished runs, coordinates) per method; the legend says what is missing."""
    for _, runs in results.groupby(["workload", "method", "prune_ratio"], sort=False, dropna=False):
        done = runs[runs["status"] == FINISHED]
        keys = ("workload", "stands_for", "method", "label", "seed")
        first: dict[str, Any] = {key: runs.iloc[0][key] for key in keys}
        missing = [f"{count} {status}" for status, count in runs["status"].value_counts().items() if status != FINISHED]
        yield first["label"] + (f" ({', '.join(missing)})" if missing else ""), list(done["run"]), first
