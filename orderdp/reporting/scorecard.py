"""How the verdicts on the paper's claims are shown: HTML for the page, sheets for Markdown, numbers for `dvc
metrics`."""

from __future__ import annotations

import html
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd

from orderdp.reporting import sections
from orderdp.reporting.claims import STABLE, UNCHECKED
from orderdp.reporting.evidence import CONTRADICTED, INCONCLUSIVE, NOT_RUN, SUPPORTED, VERDICTS
from orderdp.reporting.evidence.wording import interval_text
from orderdp.reporting.sheets import Block, Entry, Sheet

CSS = Path(__file__).with_name("scorecard.css")
"""Rules for what `scorecard_html` returns; to be put after those of the page."""

MARKS = {SUPPORTED: "✓", CONTRADICTED: "✗", INCONCLUSIVE: "?", NOT_RUN: "–"}
"""So that no verdict is told by its colour alone."""

SCOPE = (
    "Each claim of the paper, put in our words, is decided by a rule of its own, which stands with it. A scaled-down run never claims to "
    "confirm a number measured on CIFAR or ImageNet: a verdict is about direction and size at this scale, with this data and this network. "
    "Inconclusive means that these seeds cannot tell, not that there is nothing."
)
METHOD = (
    "In brackets: 95 % intervals over seeds, of differences or ratios paired by seed. Nothing is decided by fewer than three seeds, nor while "
    "runs are missing. Where a claim makes several comparisons, the least favourable is shown, and a contradiction holds after Holm's "
    "correction within the claim. Across claims nothing is corrected: where there is nothing to find, about one in twenty is decided all the "
    "same."
)


def power_text(table: pd.DataFrame) -> str:
    """How large a difference in accuracy the seeds can see; empty if no claim about it was decided from runs.

    Args:
        table: from `claims.evaluate`, or read back from its CSV.
    """
    found = table["detectable"].dropna()
    if found.empty:
        return ""
    return (
        f"Power: with these seeds, a comparison of two accuracies finds a true difference of {found.median():.1f} points with 80 % probability "
        f"(median of the claims; from {found.min():.1f} to {found.max():.1f}, as each of them notes). Smaller ones stay inconclusive."
    )


def stability_text(table: pd.DataFrame) -> str:
    """How many verdicts hang on one seed; empty if none could be checked.

    Args:
        table: from `claims.evaluate`, or read back from its CSV.
    """
    found = [text for text in map(_text, table["stability"]) if text not in ("", UNCHECKED)]
    if not found:
        return ""
    moved = sum(text != STABLE for text in found)
    return (
        f"How far a verdict is stable: {moved} of the {len(found)} verdicts that more than three seeds decide change when one of the seeds is "
        "left out, and another processor or version of a library can change as many. Each such claim says so."
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


def scorecard_html(table: pd.DataFrame) -> str:
    """The section that opens the report: counts, then every claim with its verdict first; how it was decided folds
    away.

    Args:
        table: from `claims.evaluate`, or read back from its CSV.
    """
    topics = "".join(_topic(str(topic), claims) for topic, claims in table.groupby("topic", sort=False))
    return (
        f'<section id="claims">\n<h2>The paper’s claims at this scale</h2>\n{_tally(table)}'
        f"<p>{_escape(SCOPE)} {_escape(power_text(table))} {_escape(_computed(table))}</p>\n{topics}"
        f'<div class="notes"><p>{_escape(METHOD)} {_escape(stability_text(table))}</p></div>\n</section>\n'
    )


def _tally(table: pd.DataFrame) -> str:
    items = "".join(
        f'<li class="{_class(verdict)}"><b>{count}</b> {_badge(verdict)}</li>'
        for verdict, count in tally(table).items()
    )
    return f'<ul class="tally">{items}</ul>\n'


def _computed(table: pd.DataFrame) -> str:
    """What holds at every scale."""
    computed = table[table["decided_from"] == "computed"]
    if computed.empty:
        return ""
    counts = " and ".join(f"{count} are {verdict}" for verdict, count in tally(computed).items() if count)
    return f"{len(computed)} of the {len(table)} claims need no runs but arithmetic, and are the same at every scale: {counts}."


def _topic(topic: str, claims: pd.DataFrame) -> str:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in tally(claims).items() if count)
    rows = "".join(_claim(row) for row in claims.to_dict("records"))
    return f'<h3 class="topic">{_escape(topic)} <span>{_escape(counts)}</span></h3>\n<ul class="claims">\n{rows}</ul>\n'


def _claim(row: dict[str, Any]) -> str:
    number = _number(row)
    if number == "–":
        summary = _escape(_text(row["reason"]))
    else:
        claimed, source = _escape(_text(row["claimed"])), _escape(_text(row["decided_from"]))
        summary = f'<b>{_escape(number)}</b> · claimed: {claimed} · {source} <span class="what">{_escape(row["statistic"])}</span>'
    return (
        f'<li id="claim-{html.escape(row["id"])}" class="claim {_class(row["verdict"])}"><div class="verdict">{_badge(row["verdict"])}</div>'
        f'<div><p class="statement">{_escape(row["statement"])} <span class="where">{_escape(row["where"])}</span></p>'
        f"<details><summary>{summary}</summary>{_details(row)}</details></div></li>\n"
    )


def _details(row: dict[str, Any]) -> str:
    terms = [("Rule", _escape(row["rule"]))]
    reason = _text(row["reason"])
    if reason and row["verdict"] != NOT_RUN:
        terms.append(("Note", _escape(reason)))
    if comparisons := _text(row["comparisons"]):
        items = "".join(f"<li>{_escape(line)}</li>" for line in comparisons.split("; "))
        terms.append(("All comparisons", f"<ul>{items}</ul>"))
    if stability := _text(row["stability"]):
        terms.append(("Verdict without one seed", _escape(stability)))
    terms.append(
        ("Runs of", f"<code>{_escape(row['experiments'])}</code>" if _text(row["experiments"]) else "none: computed")
    )
    terms.append(("Claim", f"<code>{_escape(row['id'])}</code>"))
    body = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in terms)
    return f"<dl>{body}</dl>"


def _badge(verdict: str) -> str:
    return f'<span class="badge"><span aria-hidden="true">{MARKS[verdict]}</span> {verdict}</span>'


def _class(verdict: str) -> str:
    return verdict.replace(" ", "-")


def _number(row: dict[str, Any]) -> str:
    return interval_text(row["value"], row["low"], row["high"], _text(row["unit"]))


def _text(value: Any) -> str:
    """Empty cells come back from a CSV as NaN."""
    return value if isinstance(value, str) else "" if value is None or value != value else f"{value:g}"


def _escape(text: object) -> str:
    """Text for HTML, in which C_s gets its index."""
    return re.sub(r"\b([A-Z])_([a-z])\b", r"\1<sub>\2</sub>", sections.escape(text))
