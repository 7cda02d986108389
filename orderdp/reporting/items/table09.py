"""Table 9: stability over repeated runs, by phase of training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from orderdp.reporting.entries import published_line, runs_text
from orderdp.reporting.items.base import Item, Table
from orderdp.reporting.measures import PHASES, in_phase, pooled, spread
from orderdp.reporting.paper import (
    is_comparable,
    printed,
    published_cells,
    published_ratios,
    published_workloads,
    workload_label,
)
from orderdp.reporting.ratios import is_other, percent
from orderdp.reporting.results import DIVERGED, FINISHED
from orderdp.reporting.sheets import Block, Entry, Sheet, with_error
from orderdp.reporting.summaries import FULL, counts

METRICS = {
    "accuracy": ("Accuracy (%)", 2),
    "gradient norm": ("Gradient norm", 3),
    "gradient norm / mean weight": ("Norm ÷ mean weight", 3),
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


def table9_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload: a block per method with a line per metric, and the published line below each."""
    return [_table9_sheet(str(workload), part) for workload, part in table.groupby("workload", sort=False)]


def _table9_sheet(workload: str, table: pd.DataFrame) -> Sheet:
    where = str(table.iloc[0]["published_on"])
    comparable = is_comparable(workload, str(table.iloc[0]["stands_for"]))
    blocks = []
    for _, part in table.groupby(["method", "prune_ratio"], sort=False, dropna=False):
        first = part.iloc[0]
        heading = f"{first['label']} (runs: {runs_text(first['runs'], first['planned'], first['diverged'])}"
        if first["prune_ratio"] == first["prune_ratio"]:
            heading += f"; requested: {percent(first['prune_ratio'])}"
        if first["realised_prune_ratio"] == first["realised_prune_ratio"]:
            heading += f"; really pruned: {100 * first['realised_prune_ratio']:.1f} %"
        blocks.append(Block(heading + ")", tuple(_table9_rows(part))))
    return Sheet(
        title=f"Accuracy and gradient norm by phase of training on {workload}",
        columns=("Share of the epochs", *(f"{name.replace('-', '–')} %" for name, _, _ in PHASES), "Final epoch"),
        blocks=tuple(blocks),
        notes=(
            f"Published: Table 9, measured on {workload_label(where)} over 10 runs of 200 epochs"
            + ("." if comparable else "; other data and network, so the two lines are not comparable."),
        ),
    )


def _table9_rows(part: pd.DataFrame) -> list[tuple[Entry, ...]]:
    rows = []
    norms, first = part[part["metric"] == "gradient norm"]["mean"].to_numpy(), part.iloc[0]
    at = percent(first["published_at"]) if is_other(first["published_at"], first["realised_prune_ratio"]) else ""
    for metric, (label, digits) in METRICS.items():
        lines = part[part["metric"] == metric]
        # Weights are all 1 but for methods that rescale: the third line would repeat the second.
        if (
            metric not in ("accuracy", "gradient norm")
            and (abs(lines["mean"].to_numpy() - norms) < 1e-6 * abs(norms)).all()
        ):
            continue
        if first_is_empty := int(lines.iloc[0]["runs"]) == 0:
            status = DIVERGED if lines.iloc[0]["diverged"] else "not run"
        if not first_is_empty or metric in ("accuracy", "gradient norm"):
            ours = [
                status if first_is_empty else with_error(m, s, digits)
                for m, s in zip(lines["mean"], lines["std"], strict=True)
            ]
            rows.append((Entry(label), *map(Entry, ours)))
        rows += published_line(label, lines, 2, at=at)
    return rows


ITEMS = {
    "table9": Item(
        caption="""
Stability over repeated runs. Accuracy: for each run the mean of its test accuracies over the epochs of a phase, then
mean and sample standard deviation over runs; "final" is the last epoch. Gradient norm: mean over all steps of the
phase, and standard deviation over these same steps, each averaged over runs; an epoch belongs to the phase in which
it ends. Norms contain the sample weights of methods that rescale; for these a further line gives the norm divided by
the mean weight of each batch. Diverged runs are counted, and left out of means.

The paper does not say how its "Grad ± Std" was formed; the spread over steps is our reading.
""",
        artifacts=(Table("table9", "Table 9", ("results", "histories"), table9, table9_sheets),),
    )
}
