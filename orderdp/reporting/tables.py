"""The numbers of the paper's tables: tidy results in, one row per number of the table out. `layouts.py` arranges them
for readers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from orderdp.reporting.measures import PHASES, in_phase, paired_difference, pooled, spread
from orderdp.reporting.paper import PUBLISHED_ROWS, printed, published_cells, published_ratios, published_workloads
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


def table2(results: pd.DataFrame) -> pd.DataFrame:
    """Dynamic pruning methods at several prune ratios.

    Args:
        results: from `results.collect`, of this experiment.

    Returns:
        One row per workload, prune ratio and method, the full data first (repeated at every ratio): `group` ("full",
        "paper" or "added" for a row that the paper does not have), see :func:`summarise` for the measured columns,
        `best` (see :func:`mark_best`), and for each of the paper's workloads that ours stands for `published
        <workload>` and `published gap <workload>` (points below full data).
    """
    published = published_cells("table2")
    records = []
    for workload, of_workload in results.groupby("workload", sort=False):
        full = of_workload[of_workload["method"] == FULL]
        for ratio in sorted(of_workload["prune_ratio"].dropna().unique()):
            block = [{"prune_ratio": ratio} | summarise(full, full)] if len(full) else []
            for runs in distinct_methods(of_workload[of_workload["prune_ratio"] == ratio]):
                block.append({"prune_ratio": ratio} | summarise(runs, full))
            mark_best(block)
            for record in block:
                record |= published_of(published, record["method"], record["stands_for"], ratio)
                records.append({"workload": workload} | record)
    return pd.DataFrame(records)


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
        if (cells := frozenset(runs["run"])) not in seen:
            seen.add(cells)
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


def table9(results: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and gradient norm by phase of training.

    Args:
        results: from `results.collect`, of this experiment.
        histories: from `results.histories`, of this experiment.

    Returns:
        One row per workload, method, metric ("accuracy", "gradient norm", "gradient norm / mean weight") and phase
        ("0-30", ..., "final"), over the finished runs: `mean`; `std` (of the accuracy: over runs; of the gradient norm:
        over the steps of the phase, averaged over runs; none for the normalised norm, whose steps are not recorded);
        `planned`, `runs`, `diverged`; `realised_prune_ratio`; `published` and `published_std` with `published_on` and
        `published_at` (the printed ratio that is nearest to the realised one, in [0, 1]; 0 for the full data).
    """
    published = published_cells("table9")
    records = []
    for (workload, method, ratio), runs in results.groupby(
        ["workload", "method", "prune_ratio"], sort=False, dropna=False
    ):
        done = runs[runs["status"] == FINISHED]
        mine = histories[(histories["workload"] == workload) & histories["run"].isin(done["run"])]
        base = {
            "workload": workload,
            "stands_for": runs.iloc[0]["stands_for"],
            "method": method,
            "label": runs.iloc[0]["label"],
            "prune_ratio": ratio,
            **counts(runs),
            "realised_prune_ratio": spread(done["realised_prune_ratio"]).mean,
        }
        where = published_workloads(base["stands_for"])[0]
        at = 0.0 if method == FULL else _nearest(published_ratios(published, where), base["realised_prune_ratio"])
        for phase, values in _phase_statistics(mine):
            column = f"{where}/{100 * at:.6g}/progress={phase}"
            column += {"accuracy": "", "gradient norm": "/gradient-norm"}.get(values["metric"], "/none")
            theirs = dict(zip(("published", "published_std"), printed(published, str(method), column), strict=True))
            records.append(base | {"phase": phase} | values | theirs | {"published_on": where, "published_at": at})
    return pd.DataFrame(records)


def _nearest(ratios: list[float], realised: float) -> float:
    """NaN if there are none; the smallest while the realised ratio is unknown."""
    return min(ratios, key=lambda ratio: 0.0 if realised != realised else abs(ratio - realised), default=float("nan"))


def _phase_statistics(histories: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    """(phase, metric with mean and std) over the runs of one method."""
    runs = [history for _, history in histories.groupby("run", sort=False)]
    for metric in ("accuracy", "gradient norm", "gradient norm / mean weight"):
        for phase, start, end in (*PHASES, ("final", None, None)):
            parts = [
                run.tail(1) if start is None or end is None else run[in_phase(run["progress"], start, end)]
                for run in runs
            ]
            parts = [part for part in parts if len(part)]
            yield phase, {"metric": metric, **_statistic(metric, parts)}


def _statistic(metric: str, parts: list[pd.DataFrame]) -> dict[str, float]:
    if metric == "accuracy":
        mean, std, _ = spread(part["test_accuracy"].mean() for part in parts)
        return {"mean": mean, "std": std}
    if metric == "gradient norm":
        pairs = [pooled(part["grad_norm_mean"], part["grad_norm_std"], part["steps"]) for part in parts]
        return {"mean": spread(mean for mean, _ in pairs).mean, "std": spread(std for _, std in pairs).mean}
    normalized = (pooled(part["grad_norm_normalized_mean"], 0 * part["steps"], part["steps"])[0] for part in parts)
    return {"mean": spread(normalized).mean, "std": float("nan")}
