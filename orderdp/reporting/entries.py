"""Entries that several sheets have: measured values, published ones, numbers of runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from orderdp.reporting.paper import is_comparable, load_published
from orderdp.reporting.results import DIVERGED, FINISHED
from orderdp.reporting.sheets import Block, Entry, Sheet, muted, number, signed, with_error

MEASURED_COLUMNS = ("Accuracy (%)", "Δ to full data", "Really pruned (%)", "Time (% of full)")
"""What `measured` gives behind the name."""
NOT_COMPARABLE = "Published (other data and network: not comparable)"


def published_heading(workload: str, table: pd.DataFrame) -> str:
    """Says over the published columns whether they are comparable."""
    return "Published" if is_comparable(workload, str(table.iloc[0]["stands_for"])) else NOT_COMPARABLE


def measured(row: Mapping[Any, Any]) -> tuple[Entry, ...]:
    """Name and the columns MEASURED_COLUMNS, from a row of `summaries.summarise` with `best`."""
    name = Entry(str(row["label"]), best=bool(row["best"]))
    if row["status"] != FINISHED:
        return (name, Entry(str(row["status"])), *[Entry("–")] * 3)
    return (
        name,
        Entry(with_error(row["accuracy"], row["accuracy_std"], 2), best=bool(row["best"])),
        Entry(difference_text(row)),
        Entry(number(100 * row["realised_prune_ratio"], 1)),
        Entry(number(100 * row["time_ratio"], 0)),
    )


def runs_entry(row: Mapping[Any, Any]) -> Entry:
    """The column "Runs", from a row of `summaries.summarise`."""
    return Entry(runs_text(row["seeds"], row["planned"], row["diverged"]))


def runs_text(finished: object, planned: object, diverged: object) -> str:
    """`3`, `2 of 3`, `2 of 3, 1 diverged`."""
    text = f"{finished}" if finished == planned else f"{finished} of {planned}"
    return text + (f", {diverged} {DIVERGED}" if diverged else "")


def difference_text(row: Mapping[Any, Any]) -> str:
    """`−0.31 ± 0.52`, from the columns `difference` and `difference_ci95`."""
    if row["difference"] != row["difference"]:
        return "–"
    error = row["difference_ci95"]
    return signed(row["difference"], 2) + ("" if error != error else f" ± {error:.2f}")


def published_entry(value: Any, gap: Any) -> Entry:
    """`94.6 (−1.0)`: accuracy with the printed gap."""
    if value is None or value != value:
        return Entry("–", muted=True)
    return Entry(f"{value:.1f}" + ("" if gap is None or gap != gap else f" ({signed(-gap, 1)})"), muted=True)


def published_line(
    label: str, lines: pd.DataFrame, digits: int, blanks: int = 0, at: str = ""
) -> list[tuple[Entry, ...]]:
    """The line below ours with what the paper prints, if it prints anything.

    Args:
        label: of our line.
        lines: the rows of our line's phases, with `published` and `published_std`.
        digits: after the point.
        blanks: empty cells at the end.
        at: the ratio that the printed values belong to, if it is another than ours.
    """
    if lines["published"].isna().all():
        return []
    texts = [
        with_error(mean, std, digits) for mean, std in zip(lines["published"], lines["published_std"], strict=True)
    ]
    return [muted((f"{label}, published" + (f" at {at}" if at else ""), *texts, *[""] * blanks))]


def published_sheet(table: str, title: str) -> Sheet:
    """A published table as it is: rows and columns of `published.csv`."""
    frame = load_published()
    frame = frame[frame["table"] == table]
    columns, rows = list(dict.fromkeys(frame["column"])), list(dict.fromkeys(frame["row"]))
    texts = {
        (r, c): text + ("" if std != std else f" ± {std:g}")
        for r, c, text, std in frame[["row", "column", "printed", "std"]].itertuples(index=False)
    }
    # A table reads best with its longer side down the page.
    if len(columns) > len(rows):
        body = tuple((Entry(c), *(Entry(texts.get((r, c), "–")) for r in rows)) for c in columns)
        return Sheet(title, ("Published", *rows), (Block("", body),))
    body = tuple((Entry(r), *(Entry(texts.get((r, c), "–")) for c in columns)) for r in rows)
    return Sheet(title, ("Published", *columns), (Block("", body),))
