"""Tables 6 and 7: the largest prune ratio without loss, found in a sweep, by data set and network and by optimizer.

Paper: does not say how its ratios were found; here: the largest realised ratio of a stated sweep at which the mean
accuracy over seeds is within 0.1 points of the full data's ("typically within 0.1%", its footnote 1), and "none" where
there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from orderdp.reporting.claims.statistics.lossless_sweep import sweep
from orderdp.reporting.entries import difference_text, published_heading, runs_text
from orderdp.reporting.items.base import Item, Table
from orderdp.reporting.items.table03_05 import left_out
from orderdp.reporting.measures import LOSSLESS_TOLERANCE, lossless_ratio
from orderdp.reporting.paper import PUBLISHED_OPTIMIZERS, PUBLISHED_WORKLOADS, printed, published_cells, workload_label
from orderdp.reporting.results import FINISHED, NOT_RUN
from orderdp.reporting.sheets import Block, Entry, Sheet, number, with_error
from orderdp.reporting.summaries import FULL, SUMMARY, summarise

COLUMNS = ("workload", "prune_ratio", *SUMMARY, "sweep", "largest", "largest_low", "largest_high")
SWEEP_COLUMNS = (
    "Largest ratio, requested (%)",
    "95 % interval",
    "Really pruned (%)",
    "Accuracy (%)",
    "Δ to full data",
    "Time saved (%)",
    "Runs",
)
RULE = (
    "Largest ratio: of those tried, the one with the most really pruned whose mean accuracy lies at most"
    f" {LOSSLESS_TOLERANCE:g} points below the full data's; none: no ratio does. It is picked from the numbers shown,"
    " and its 95 % interval takes this into account: paired tests from the smallest ratio up show which ratios are"
    " without loss, and tests from the largest ratio down show which ones lose more, at 2.5 % on each side. Really"
    " pruned is the share of sample visits saved; time is that of selection and training."
)


def table6(results: pd.DataFrame) -> pd.DataFrame:
    """The sweep of every data set and network.

    Args:
        results: from `results.collect`, of this experiment.

    Returns:
        One row per workload, method and prune ratio (the full data first, NaN): see `summaries.summarise`; `sweep`
        ("complete", or "not run" while runs of the method or of the full data are missing); `largest` (whether this is
        the method's largest ratio without loss, for which all runs must have finished), `largest_low` and
        `largest_high` (ends of its 95 % interval, ratios as requested; 0 for none); and for each of the paper's
        workloads that ours stands for `published <workload>` (accuracy) and `published saved <workload>` (%), alike in
        every row of the method.
    """
    return _sweeps(results, "table6", _by_network)


def table7(results: pd.DataFrame) -> pd.DataFrame:
    """The sweep of every optimizer; the columns of `table6`."""
    return _sweeps(results, "table7", _by_optimizer)


def _by_network(paper: str) -> tuple[str, str]:
    """(beginning, qualifier) of a workload's columns in `published.csv`."""
    return PUBLISHED_WORKLOADS[paper], ""


def _by_optimizer(paper: str) -> tuple[str, str]:
    return PUBLISHED_WORKLOADS[paper], f"/optimizer={PUBLISHED_OPTIMIZERS[paper]}"


def _sweeps(results: pd.DataFrame, table: str, place: Callable[[str], tuple[str, str]]) -> pd.DataFrame:
    published, records = published_cells(table), []
    for workload, of_workload in results.groupby("workload", sort=False):
        full = of_workload[of_workload["method"] == FULL]
        for method, runs in of_workload.groupby("method", sort=False):
            method = str(method)
            missing = (pd.concat([runs, full])["status"] == NOT_RUN).any() or full.empty
            lines = [
                {"workload": workload, "prune_ratio": ratio} | summarise(part, full)
                for ratio, part in runs.groupby("prune_ratio", dropna=False)  # ascending
            ]
            top = None if missing or method == FULL else _largest(lines, full)
            low, high = (float("nan"),) * 2 if missing or method == FULL else sweep(of_workload, method).limits()
            for line in lines:
                line |= {"sweep": NOT_RUN if missing else "complete", "largest": top is not None and line is top}
                line |= {"largest_low": low, "largest_high": high}
                records.append(line | _printed(published, method, line["stands_for"], place))
    extra = [column for record in records for column in record if column not in COLUMNS]
    return pd.DataFrame(records, columns=[*COLUMNS, *dict.fromkeys(extra)])


def _largest(lines: list[dict[str, Any]], full: pd.DataFrame) -> dict[str, Any] | None:
    done = [line for line in lines if line["seeds"] == line["planned"]]
    if not (full["status"] == FINISHED).all():
        return None
    accuracy = float(full["test_accuracy"].mean())
    ratio = lossless_ratio(
        [line["realised_prune_ratio"] for line in done], [line["accuracy"] for line in done], accuracy
    )
    return next((line for line in done if line["realised_prune_ratio"] == ratio), None)


def _printed(
    published: dict[tuple[str, str], tuple[float, float]],
    method: str,
    stands_for: str,
    place: Callable[[str], tuple[str, str]],
) -> dict[str, float]:
    found = {}
    for paper in stands_for.split(","):
        where, qualifier = place(paper)
        column = f"{where}/{0 if method == FULL else 'lossless'}{qualifier}"
        found[f"published {where}{qualifier}"], _ = printed(published, method, column)
        found[f"published saved {where}{qualifier}"], _ = printed(published, method, f"{column}/saved")
    return found


def table6_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload, published values at the right."""
    if table.empty:
        return [left_out("table6", "Table 6")]
    sheets = [
        _sheet(f"Largest prune ratio without loss on {workload}", part, _by_network)
        for workload, part in table.groupby("workload", sort=False)
    ]
    here = {PUBLISHED_WORKLOADS[paper] for papers in table["stands_for"] for paper in papers.split(",")}
    absent = dict.fromkeys("/".join(column.split("/")[:2]) for _, column in published_cells("table6"))
    return [*sheets[:-1], _with_notes(sheets[-1], [workload_label(where) for where in absent if where not in here])]


def table7_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per optimizer, published values at the right."""
    if table.empty:
        return [left_out("table7", "Table 7")]
    sheets = []
    for workload, part in table.groupby("workload", sort=False):
        optimizer = PUBLISHED_OPTIMIZERS[str(part.iloc[0]["stands_for"]).split(",")[0]]
        sheets.append(_sheet(f"Largest prune ratio without loss with {optimizer} on {workload}", part, _by_optimizer))
    here = {PUBLISHED_OPTIMIZERS[paper] for papers in table["stands_for"] for paper in papers.split(",")}
    return [*sheets[:-1], _with_notes(sheets[-1], [name for name in PUBLISHED_OPTIMIZERS.values() if name not in here])]


def _with_notes(sheet: Sheet, absent: list[str]) -> Sheet:
    """The last sheet, with what holds for all."""
    note = () if not absent else (f"Left out at this scale: {'; '.join(absent)}.",)
    notes = (RULE, "Published: accuracy in %, in brackets what is saved.", *note)
    return Sheet(sheet.title, sheet.columns, sheet.blocks, sheet.spans, notes)


def _sheet(title: str, table: pd.DataFrame, place: Callable[[str], tuple[str, str]]) -> Sheet:
    papers = str(table.iloc[0]["stands_for"]).split(",")
    places = list(dict.fromkeys(place(paper) for paper in papers))
    tried = ", ".join(f"{100 * ratio:.6g}" for ratio in sorted(table["prune_ratio"].dropna().unique()))
    rows = []
    for _, part in table.groupby("method", sort=False):
        theirs = [_published_entry(part.iloc[0], f"{where}{qualifier}") for where, qualifier in places]
        rows.append((*_measured(part), *theirs))
    return Sheet(
        title=f"{title}; tried: {tried} %",
        columns=(
            "Method",
            *SWEEP_COLUMNS,
            *(workload_label(where) + qualifier.replace("/optimizer=", ", ") for where, qualifier in places),
        ),
        blocks=(Block("", tuple(rows)),),
        spans=(
            ("", 1),
            ("Here", len(SWEEP_COLUMNS)),
            (published_heading(str(table.iloc[0]["workload"]), table), len(places)),
        ),
    )


def _measured(lines: pd.DataFrame) -> tuple[Entry, ...]:
    """Name and the columns SWEEP_COLUMNS of one method."""
    first = lines.iloc[0]
    name = Entry(first["label"])
    if first["method"] == FULL:
        accuracy = (
            with_error(first["accuracy"], first["accuracy_std"], 2)
            if first["status"] == FINISHED
            else str(first["status"])
        )
        return (name, Entry("–"), Entry("–"), Entry("–"), Entry(accuracy), Entry("–"), Entry("–"), _runs(lines))
    chosen = lines[lines["largest"]]
    if chosen.empty:
        text = NOT_RUN if first["sweep"] == NOT_RUN else "none"
        return (name, Entry(text), Entry(_interval(first)), *[Entry("–")] * 4, _runs(lines))
    row = chosen.iloc[0]
    return (
        name,
        Entry(f"{100 * row['prune_ratio']:.6g}"),
        Entry(_interval(row)),
        Entry(f"{100 * row['realised_prune_ratio']:.1f}"),
        Entry(with_error(row["accuracy"], row["accuracy_std"], 2)),
        Entry(difference_text(row.to_dict())),
        Entry(number(100 * (1 - row["time_ratio"]), 0)),
        _runs(lines),
    )


def _interval(row: pd.Series) -> str:
    """`none to 40`: the ratios that the seeds leave open, in %."""
    ends = [row["largest_low"], row["largest_high"]]
    if any(end != end for end in ends):
        return "–"
    return " to ".join(dict.fromkeys(f"{100 * end:.6g}" if end else "none" for end in ends))


def _runs(lines: pd.DataFrame) -> Entry:
    """Of all ratios together."""
    return Entry(runs_text(lines["seeds"].sum(), lines["planned"].sum(), lines["diverged"].sum()))


def _published_entry(row: pd.Series, where: str) -> Entry:
    """`95.5 (41.2)`."""
    saved = row[f"published saved {where}"]
    return Entry(number(row[f"published {where}"], 1) + ("" if saved != saved else f" ({saved:.1f})"), muted=True)


ITEMS = {
    "table6": Item(
        caption="""
The largest prune ratio without loss, by data set and network. The paper does not say how it found its ratios. Here
every method is trained at each ratio of a sweep, and its largest is the one with the most really pruned whose mean
accuracy over seeds lies at most 0.1 points below that of the full data. Where no ratio does, the table says none.
With a few seeds the mean is uncertain by more than 0.1 points: the ratio tells what was found, and the interval
beside it how firmly.
""",
        artifacts=(Table("table6", "Table 6", ("results",), table6, table6_sheets),),
    ),
    "table7": Item(
        caption="""
The largest prune ratio without loss, by optimizer, with the rule of Table 6: accuracy there, and the share of sample
visits and of time that it saves. Each optimizer has its own learning rate, given in ``params.yaml``, which the
paper does not print; the schedule and all else are alike.
""",
        artifacts=(Table("table7", "Table 7", ("results",), table7, table7_sheets),),
    ),
}
