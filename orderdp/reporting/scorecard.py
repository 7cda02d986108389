"""How the verdicts on the paper's claims are shown: HTML for the page, sheets for Markdown, numbers for `dvc
metrics`."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from orderdp.reporting.claims import STABLE, UNCHECKED
from orderdp.reporting.claims.statistics import CONTRADICTED, INCONCLUSIVE, NOT_RUN, SUPPORTED, VERDICTS
from orderdp.reporting.claims.statistics.intervals import interval_text
from orderdp.reporting.html import render
from orderdp.reporting.sheets import Block, Entry, Sheet

MARKS = {SUPPORTED: "✓", CONTRADICTED: "✗", INCONCLUSIVE: "?", NOT_RUN: "–"}
"""So that no verdict is shown by its colour alone."""

SCOPE = (
    "Each claim of the paper, in the words of this project, is decided by its rule, which is shown with it. A "
    "scaled-down run never claims to confirm a number measured on CIFAR or ImageNet: a verdict is about direction and "
    "size at this scale, with this data and this network. Inconclusive means that these seeds cannot tell, not that "
    "there is nothing."
)
METHOD = (
    "In brackets: 95 % intervals over seeds, of differences or ratios paired by seed. Nothing is decided by fewer "
    "than three seeds, nor while runs are missing. Where a claim makes several comparisons, the least favourable "
    "is shown, and a contradiction holds after Holm's correction within the claim. Across claims nothing is "
    "corrected: where there is nothing to find, about one in twenty is decided all the same."
)


def power_text(table: pd.DataFrame) -> str:
    """How large a difference in accuracy the seeds can see; empty if no claim about it was decided from runs.

    Args:
        table: from `claims.evaluate`, or read back from its CSV.
    """
    points = table["detectable"].dropna()
    if points.empty:
        return ""
    return (
        f"Power: with these seeds, a comparison of two accuracies finds a true difference of {points.median():.1f} "
        f"points with 80 % probability (median of the claims; from {points.min():.1f} to {points.max():.1f}, as each "
        "of them notes). Smaller ones stay inconclusive."
    )


def stability_text(table: pd.DataFrame) -> str:
    """How many verdicts hang on one seed; empty if none could be checked.

    Args:
        table: from `claims.evaluate`, or read back from its CSV.
    """
    checked = [text for text in map(_text, table["stability"]) if text not in ("", UNCHECKED)]
    if not checked:
        return ""
    moved = sum(text != STABLE for text in checked)
    return (
        f"How far a verdict is stable: {moved} of the {len(checked)} verdicts that more than three seeds decide change "
        "when one of the seeds is left out, and another processor or version of a library can change as many. Each "
        "such claim says so."
    )


def tally(table: pd.DataFrame) -> dict[str, int]:
    """Verdict -> number of claims, all verdicts in their order."""
    counts = table["verdict"].value_counts()
    return {verdict: int(counts.get(verdict, 0)) for verdict in VERDICTS}


def claim_metrics(table: pd.DataFrame) -> dict[str, Any]:
    """The scorecard as metrics: how many claims have each verdict, and each claim's verdict, value and interval.

    Args:
        table: from `claims.evaluate`, or read back from its CSV.
    """
    claims = {
        row["id"]: {"verdict": row["verdict"]}
        | {key: float(f"{row[key]:.6g}") for key in ("value", "low", "high") if math.isfinite(row[key])}
        for row in table.to_dict("records")
    }
    return {"counts": {verdict.replace(" ", "_"): count for verdict, count in tally(table).items()}, "claims": claims}


def scorecard_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet, a block per topic: for Markdown, which breaks long lines.

    Args:
        table: from `claims.evaluate`, or read back from its CSV.
    """
    blocks = []
    for topic, claims in table.groupby("topic", sort=False):
        rows = tuple(
            (
                Entry(str(row["statement"])),
                Entry(f"{MARKS[row['verdict']]} {row['verdict']}", best=row["verdict"] in (SUPPORTED, CONTRADICTED)),
                Entry(_number(row)),
                Entry(_text(row["claimed"]) or "–"),
                Entry(_text(row["decided_from"]) or _text(row["reason"])),
                Entry(str(row["where"])),
            )
            for row in claims.to_dict("records")
        )
        blocks.append(Block(str(topic), rows))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in tally(table).items())
    columns = ("Claim", "Verdict", "Number [95 % interval]", "Claimed", "Decided from", "In the paper")
    notes = tuple(filter(None, (SCOPE, power_text(table), METHOD, stability_text(table))))
    return [Sheet(f"The paper's claims at this scale: {counts}", columns, tuple(blocks), notes=notes)]


def scorecard_html(table: pd.DataFrame) -> Markup:
    """The section that opens the report: counts, then every claim with its verdict first; how it was decided folds
    away.

    Args:
        table: from `claims.evaluate`, or read back from its CSV.
    """
    topics = [
        {
            "name": topic,
            "counts": ", ".join(f"{count} {verdict}" for verdict, count in tally(claims).items() if count),
            "claims": [
                {key: _text(value) for key, value in row.items()} | {"number": _number(row)}
                for row in claims.to_dict("records")
            ],
        }
        for topic, claims in table.groupby("topic", sort=False)
    ]
    return render(
        "claims.html.j2",
        tally=tally(table),
        marks=MARKS,
        scope=SCOPE,
        power=power_text(table),
        computed=_computed(table),
        topics=topics,
        method=METHOD,
        stability=stability_text(table),
    )


def _computed(table: pd.DataFrame) -> str:
    """What holds at every scale."""
    computed = table[table["decided_from"] == "computed"]
    if computed.empty:
        return ""
    counts = " and ".join(f"{count} are {verdict}" for verdict, count in tally(computed).items() if count)
    share = f"{len(computed)} of the {len(table)} claims"
    return f"{share} need no runs but arithmetic, and are the same at every scale: {counts}."


def _number(row: Mapping[Hashable, Any]) -> str:
    return interval_text(row["value"], row["low"], row["high"], _text(row["unit"]))


def _text(value: Any) -> str:
    """Empty cells come back from a CSV as NaN."""
    return value if isinstance(value, str) else "" if value is None or value != value else f"{value:g}"
