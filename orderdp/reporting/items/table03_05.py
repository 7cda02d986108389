"""Tables 3, 4 and 5: accuracy and time on ImageNet-1K, at several prune ratios, and with other networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from orderdp.reporting.entries import (
    MEASURED_COLUMNS,
    NOT_COMPARABLE,
    measured,
    published_entry,
    published_heading,
    published_sheet,
    runs_entry,
)
from orderdp.reporting.items.base import Item, Table
from orderdp.reporting.measures import spread
from orderdp.reporting.paper import is_comparable, printed, published_cells, published_workloads, workload_label
from orderdp.reporting.ratios import percent
from orderdp.reporting.results import FINISHED, with_pretraining
from orderdp.reporting.sheets import Block, Entry, Sheet, duration_text, muted, number, with_error
from orderdp.reporting.summaries import FULL, SUMMARY, mark_best, summarise

PRINTED = {"accuracy": "", "gap": "/gap", "time_h": "/time", "node_hours": "/node-hours"}
"""Column `published <name>` -> the quantity in `published.csv`."""
PRINTED_COLUMNS = ("Accuracy (%)", "Time (h)", "Node hours")
COLUMNS = (
    "workload", "prune_ratio", *SUMMARY, "node_hours", "best", "published_on",
    *(f"published {name}" for name in PRINTED), "published std",
)  # fmt: skip
DELTA = (
    "Δ: points below (−) or above (+) the full data, mean of the differences paired by seed ± half of their 95 % t"
    " interval. Published: accuracy in %, in brackets the printed gap."
)


def table3(results: pd.DataFrame) -> pd.DataFrame:
    """Dynamic methods at one prune ratio.

    Args:
        results: from `results.collect`, of this experiment.

    Returns:
        One row per workload, method and prune ratio (NaN for the full data): see `summaries.summarise`; `node_hours`
        (GPUs times hours of selection and training, mean over seeds; NaN without a GPU); `best` (see
        `summaries.mark_best`); `published_on` and the printed `published accuracy`, `gap` (points below full data),
        `time_h`, `node_hours` and `std`. No rows where the scale leaves the workloads out.
    """
    return _beside_full(results, "table3")


def table4(results: pd.DataFrame) -> pd.DataFrame:
    """Several prune ratios; the columns of `table3`."""
    return _beside_full(results, "table4")


def table5(results: pd.DataFrame, pretrainings: pd.DataFrame) -> pd.DataFrame:
    """Other networks, each at the ratio that the paper prints.

    Args:
        results: from `results.collect`, of this experiment.
        pretrainings: from `results.pretrainings`, of this experiment.

    Returns:
        The columns of `table3`. Where a pre-training comes first, it is what is pruned: the realised ratio is its own,
        the time that of both.
    """
    return _beside_full(with_pretraining(results, pretrainings), "table5")


def _beside_full(results: pd.DataFrame, table: str) -> pd.DataFrame:
    published, records = published_cells(table), []
    for workload, of_workload in results.groupby("workload", sort=False):
        full = of_workload[of_workload["method"] == FULL]
        asked = of_workload["prune_ratio"]
        for ratio in [float("nan"), *sorted(asked.dropna().unique())]:
            at_ratio, block = of_workload[asked.isna() if ratio != ratio else asked == ratio], []
            for _, runs in at_ratio.groupby("method", sort=False):
                done = runs[runs["status"] == FINISHED]
                hours = spread(done["gpus"] * done["time_s"] / 3600).mean
                block.append(
                    {"workload": workload, "prune_ratio": ratio} | summarise(runs, full) | {"node_hours": hours}
                )
            mark_best(block)
            for record in block:
                records.append(record | _printed(published, record, float(ratio)))
    return pd.DataFrame(records, columns=list(COLUMNS))


def _printed(
    published: dict[tuple[str, str], tuple[float, float]], record: dict[str, Any], ratio: float
) -> dict[str, Any]:
    where, method = published_workloads(record["stands_for"])[0], record["method"]
    column = f"{where}/{0 if method == FULL else f'{100 * ratio:.6g}'}"
    values = {
        f"published {name}": printed(published, method, column + quantity)[0] for name, quantity in PRINTED.items()
    }
    return {"published_on": where, "published std": printed(published, method, column)[1]} | values


def table3_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload: all methods, with time and node hours."""
    if table.empty:
        return [left_out("table3", "Table 3")]
    sheets = []
    for workload, part in table.groupby("workload", sort=False):
        rows = []
        for row in part.to_dict("records"):
            accuracy = with_error(row["published accuracy"], row["published std"], 1)
            theirs = (accuracy, *(number(row[f"published {name}"], 1) for name in ("time_h", "node_hours")))
            time = (
                (duration_text(row["time_s"]), number(row["node_hours"], 1))
                if row["status"] == FINISHED
                else ("–", "–")
            )
            rows.append((*measured(row), *map(Entry, time), runs_entry(row), *muted(theirs)))
        sheets.append(
            Sheet(
                title=f"Accuracy and time on {workload}, mean ± standard deviation over seeds",
                columns=(
                    "Method",
                    *MEASURED_COLUMNS,
                    "Time",
                    "Node hours",
                    "Runs",
                    "Accuracy (%)",
                    "Time (h)",
                    "Node hours",
                ),
                blocks=_blocks(part, rows),
                spans=(("", 1), ("Here", 7), (published_heading(str(workload), part), 3)),
                notes=(
                    (
                        "Bold: highest mean among the pruning methods, however small its lead. Node hours: GPUs times"
                        " hours, as in the paper; a dash where no GPU was used."
                    ),
                    DELTA.split(" Published")[0],
                ),
            )
        )
    return sheets


def table4_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload: a block per prune ratio."""
    if table.empty:
        return [left_out("table4", "Table 4")]
    return [
        Sheet(
            title=f"Test accuracy on {workload} by prune ratio, mean ± standard deviation over seeds",
            columns=("Method", *MEASURED_COLUMNS, "Runs", workload_label(part.iloc[0]["published_on"])),
            blocks=_blocks(part, [_short(row) for row in part.to_dict("records")]),
            spans=(("", 1), ("Here", 5), (published_heading(str(workload), part), 1)),
            notes=("Bold: highest mean at this ratio, however small its lead.", DELTA),
        )
        for workload, part in table.groupby("workload", sort=False)
    ]


def table5_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet, a block per network."""
    if table.empty:
        return [left_out("table5", "Table 5")]
    blocks = []
    for workload, part in table.groupby("workload", sort=False):
        asked = sorted(part["prune_ratio"].dropna().unique())
        heading = workload_label(part.iloc[0]["published_on"])
        heading += "" if is_comparable(str(workload), part.iloc[0]["stands_for"]) else f"; here {workload}"
        rows = part.to_dict("records")
        if len(asked) > 1:
            rows = [
                row if row["method"] == FULL else row | {"label": f"{row['label']}, {percent(row['prune_ratio'])}"}
                for row in rows
            ]
        heading += f"; {' and '.join(map(percent, asked))} requested"
        blocks.append(Block(heading, tuple(map(_short, rows))))
    heading = "Published" if all(map(is_comparable, table["workload"], table["stands_for"])) else NOT_COMPARABLE
    return [
        Sheet(
            title="Other networks, mean ± standard deviation over seeds",
            columns=("Method", *MEASURED_COLUMNS, "Runs", "Accuracy (%)"),
            blocks=tuple(blocks),
            spans=(("", 1), ("Here", 5), (heading, 1)),
            notes=(
                (
                    "A masked autoencoder is pruned while it is pre-trained, and fine-tuned on all data: what is really"
                    " pruned is a share of the pre-training, the time is that of both."
                ),
                DELTA,
            ),
        )
    ]


def left_out(table: str, name: str) -> Sheet:
    """What a table shows where a scale has no runs for it: the published numbers, and why."""
    return published_sheet(
        table, f"{name} as published; left out at this scale, which has nothing that stands for its data and networks"
    )


def _blocks(part: pd.DataFrame, rows: list[tuple[Entry, ...]]) -> tuple[Block, ...]:
    """The full data under no heading, then a block per ratio, in their order."""
    grouped: dict[str, list[tuple[Entry, ...]]] = {}
    for ratio, row in zip(part["prune_ratio"], rows, strict=True):
        grouped.setdefault("" if ratio != ratio else f"Prune ratio {100 * ratio:.6g} %", []).append(row)
    return tuple(Block(heading, tuple(lines)) for heading, lines in grouped.items())


def _short(row: Mapping[Any, Any]) -> tuple[Entry, ...]:
    return (*measured(row), runs_entry(row), published_entry(row["published accuracy"], row["published gap"]))


ITEMS = {
    "table3": Item(
        caption="""
Test accuracy after the last epoch and time of the dynamic methods at 40 % pruned. Time is that of selection and
training, without evaluation, in hours where there are any and as a share of the full data's mean; node hours are GPUs
times hours, as the paper counts them. The paper trains ResNet-50 on ImageNet-1K on two GPUs; at the scales below, the
small network that stands for it shares its runs with Table 2.
""",
        artifacts=(Table("table3", "Table 3", ("results",), table3, table3_sheets),),
    ),
    "table4": Item(
        caption="""
OrderDP and InfoBatch at three prune ratios against the full data. The difference is the mean of differences paired by
seed, with half of the 95 % t interval of that mean. "Really pruned" is the share of sample visits that the run saved,
as counted: InfoBatch may fall short of what was asked.
""",
        artifacts=(Table("table4", "Table 4", ("results",), table4, table4_sheets),),
    ),
    "table5": Item(
        caption="""
OrderDP against the full data with other networks and recipes, each at the ratio that the paper prints as saved:
ResNet-50 with timm's recipe (LAMB, MixUp, CutMix, random erasing), a Swin Transformer, and a Vision Transformer
behind a masked autoencoder. A sample's score is its own loss in each, against its mixed target or as its
reconstruction error. The masked autoencoder is pruned during its pre-training; fine-tuning sees all data.

The paper states no constants of these recipes; ours are those of the works it names, and ``params.yaml`` says so. At
the quick scale small relatives (a narrow ResNet-18 with timm's recipe, a Swin Transformer, a masked autoencoder)
train for 10 or 20 epochs on digits: they show that each path works and learns, not what it would save on ImageNet.
""",
        artifacts=(Table("table5", "Table 5", ("results", "pretrainings"), table5, table5_sheets),),
    ),
}
