"""The few numbers to read first, and the same numbers for `dvc metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from orderdp.reporting.entries import difference_text
from orderdp.reporting.ratios import percent
from orderdp.reporting.results import FINISHED
from orderdp.reporting.sheets import Block, Entry, Sheet, number, with_error
from orderdp.reporting.summaries import FULL

ORDERDP = "orderdp"


def headline_sheets(table2: pd.DataFrame) -> list[Sheet]:
    """Per workload: the full data, OrderDP, and the best of the paper's other pruning methods, at the largest prune
    ratio.

    Args:
        table2: from `items.table02.table2`.
    """
    largest = [
        rows[rows["prune_ratio"] == rows["prune_ratio"].max()] for _, rows in table2.groupby("workload", sort=False)
    ]
    return [_headline_sheet(str(rows.iloc[0]["workload"]), rows) for rows in largest if len(rows)]


def _headline_sheet(workload: str, rows: pd.DataFrame) -> Sheet:
    others = rows[(rows["group"] == "paper") & (rows["method"] != ORDERDP) & (rows["status"] == FINISHED)]
    best = others.nlargest(1, "accuracy")
    chosen = [
        *rows[rows["method"] == FULL].to_dict("records"),
        *rows[rows["method"] == ORDERDP].to_dict("records"),
        *best.to_dict("records"),
    ]
    return Sheet(
        title=f"At a prune ratio of {percent(rows['prune_ratio'].max())} on {workload}",
        columns=("", "Accuracy (%)", "Δ to full data", "Really pruned (%)", "Time saved (%)", "Runs"),
        blocks=(Block("", tuple(_row(row, row["method"] in set(best["method"])) for row in chosen)),),
        notes=(
            (
                "Accuracy: mean ± standard deviation over seeds. Δ: points, mean of the differences paired by seed ±"
                " half of their 95 % t interval. Time: selection and training. Best other: highest mean among the"
                " paper's other pruning methods, chosen after the fact."
            ),
        ),
    )


def _row(row: Mapping[Any, Any], is_best_other: bool) -> tuple[Entry, ...]:
    name = Entry(f"{row['label']}{' (best other)' if is_best_other else ''}")
    runs = Entry(f"{row['seeds']} of {row['planned']}")
    if row["status"] != FINISHED:
        return (name, Entry(str(row["status"])), *[Entry("–")] * 3, runs)
    return (
        name,
        Entry(with_error(row["accuracy"], row["accuracy_std"], 2)),
        Entry(difference_text(row)),
        Entry(number(100 * row["realised_prune_ratio"], 1)),
        Entry("–" if row["method"] == FULL else number(100 * (1 - row["time_ratio"]), 0)),
        runs,
    )


def metrics(table2: pd.DataFrame) -> dict[str, Any]:
    """Workload -> method -> ratio in % -> accuracy (%), difference to full data (points) and time ratio; None where not
    finished."""
    found: dict[str, Any] = {}
    for row in table2.to_dict("records"):
        of_workload = found.setdefault(row["workload"], {})
        if row["method"] == FULL:
            of_workload["full"] = {"accuracy": _rounded(row["accuracy"])}
        else:
            of_workload.setdefault(row["method"], {})[f"p{100 * row['prune_ratio']:.6g}"] = {
                "accuracy": _rounded(row["accuracy"]),
                "difference": _rounded(row["difference"]),
                "time_ratio": _rounded(row["time_ratio"]),
            }
    return found


def _rounded(value: float) -> float | None:
    return None if value != value else round(float(value), 4)
