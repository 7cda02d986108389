"""Table 2: dynamic pruning methods by prune ratio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from orderdp.reporting.entries import MEASURED_COLUMNS, measured, published_entry, published_heading, runs_entry
from orderdp.reporting.items.base import Item, Table
from orderdp.reporting.paper import published_cells, published_workloads, workload_label
from orderdp.reporting.sheets import Block, Entry, Sheet
from orderdp.reporting.summaries import FULL, distinct_methods, mark_best, published_of, summarise


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


def table2_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload: blocks of one prune ratio each, published values at the right."""
    return [_table2_sheet(str(workload), part) for workload, part in table.groupby("workload", sort=False)]


def _table2_sheet(workload: str, table: pd.DataFrame) -> Sheet:
    papers = published_workloads(str(table.iloc[0]["stands_for"]))
    blocks = []
    for ratio, block in table.groupby("prune_ratio"):
        for group, heading in (
            ("paper", f"Prune ratio {100 * float(str(ratio)):.6g} %"),
            ("added", "Rows that the paper does not have"),
        ):
            chosen = block[block["group"].isin(["full", "paper"] if group == "paper" else [group])]
            if len(chosen):
                blocks.append(Block(heading, tuple(_table2_row(row, papers) for row in chosen.to_dict("records"))))
    return Sheet(
        title=f"Test accuracy on {workload}, mean ± standard deviation over seeds",
        columns=("Method", *MEASURED_COLUMNS, "Runs", *(workload_label(where) for where in papers)),
        blocks=tuple(blocks),
        spans=(("", 1), ("Here", len(MEASURED_COLUMNS) + 1), (published_heading(workload, table), len(papers))),
        notes=(
            (
                "Bold: highest mean at this ratio among the paper's pruning methods, however small its lead; methods of"
                " equal mean are bold together."
            ),
            (
                "Δ: points below (−) or above (+) the full data, mean of the differences paired by seed ± half of their"
                " 95 % t interval (runs of one seed share initial weights, order and augmentation). Published: accuracy"
                " in %, in brackets the printed gap."
            ),
        ),
    )


def _table2_row(row: Mapping[Any, Any], papers: list[str]) -> tuple[Entry, ...]:
    published = [published_entry(row.get(f"published {where}"), row.get(f"published gap {where}")) for where in papers]
    return (*measured(row), runs_entry(row), *published)


ITEMS = {
    "table2": Item(
        caption="""
Test accuracy after the last epoch (not the best epoch), mean and sample standard deviation over seeds. The difference
to the full data is the mean of differences paired by seed, because runs of one seed share initial weights, order and
augmentation; after it comes half of the 95 % t interval of that mean, which is wide for few seeds and honestly so.
"Really pruned" is the share of sample visits that the run saved, as counted; time is that of selection and training
without evaluation, as a share of the full data's mean.

Rows that the paper does not have are kept apart: training on the full data for as many steps as the pruned runs take,
random pruning whose losses are rescaled, InfoBatch as its authors publish it (nominal ratio, all data in the last
12.5 % of the epochs), and ε-greedy and UCB with a full first epoch where the scale leaves it out above. A method
whose loss became infinite is shown as diverged; a mean over the seeds that went well never competes for the best.
""",
        artifacts=(Table("table2", "Table 2", ("results",), table2, table2_sheets),),
    )
}
