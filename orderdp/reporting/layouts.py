"""How the numbers of `tables.py` are arranged for readers: DataFrame -> sheets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from orderdp.reporting.measures import PHASES
from orderdp.reporting.paper import is_comparable, load_published, published_workloads, workload_label
from orderdp.reporting.ratios import is_other, percent
from orderdp.reporting.results import DIVERGED, FINISHED
from orderdp.reporting.sheets import Block, Entry, Sheet, muted, number, signed, with_error

OURS = ("Accuracy (%)", "Δ to full data", "Really pruned (%)", "Time (% of full)")
"""What `measured` gives behind the name."""
NOT_COMPARABLE = "Published (other data and network: not comparable)"


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
        columns=("Method", *OURS, "Runs", *(workload_label(where) for where in papers)),
        blocks=tuple(blocks),
        spans=(("", 1), ("Here", len(OURS) + 1), (published_heading(workload, table), len(papers))),
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


def published_heading(workload: str, table: pd.DataFrame) -> str:
    """Says over the published columns whether they are comparable."""
    return "Published" if is_comparable(workload, str(table.iloc[0]["stands_for"])) else NOT_COMPARABLE


def _table2_row(row: Mapping[Any, Any], papers: list[str]) -> tuple[Entry, ...]:
    published = [published_entry(row.get(f"published {where}"), row.get(f"published gap {where}")) for where in papers]
    return (*measured(row), runs_entry(row), *published)


def measured(row: Mapping[Any, Any]) -> tuple[Entry, ...]:
    """Name and the columns OURS, from a row of `tables.summarise` with `best`."""
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
    """The column "Runs", from a row of `tables.summarise`."""
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


METRICS = {
    "accuracy": ("Accuracy (%)", 2),
    "gradient norm": ("Gradient norm", 3),
    "gradient norm / mean weight": ("Norm ÷ mean weight", 3),
}


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
            heading += f"; asked for: {percent(first['prune_ratio'])}"
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
