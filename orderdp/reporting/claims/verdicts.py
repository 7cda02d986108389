"""Verdicts on the paper's claims, from whatever runs there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import pandas as pd

from orderdp.reporting.claims.listed import Claim, load_claims
from orderdp.reporting.claims.statistics import NOT_RUN, STATISTICS, Finding, NotRun
from orderdp.reporting.claims.statistics.deciding import FEWEST
from orderdp.reporting.claims.statistics.runs import BRIEF

STUDY = "theory"
"""The experiment that checks the theorems, which has a study and no runs."""
BY_EXPERIMENT = ("results", "histories", "diagnostics")
"""Frames that are limited to a claim's experiments before its statistic sees them."""

COLUMNS = (
    *("id", "topic", "where", "statement", "rule", "experiments"),
    *(field.name for field in fields(Finding)),
    "stability",
)


def evaluate(
    frames: Mapping[str, Any], claims: Sequence[Claim] | None = None, *, without_seeds: bool = True
) -> pd.DataFrame:
    """Decides every claim.

    Args:
        frames: "results", "histories" and "diagnostics" over all experiments of the grid, as `results` gives them;
            "study", the tables of the study of the theorems by name (empty: not run). Others are passed on.
        claims: from `load_claims`; those of the project when None.
        without_seeds: decide each claim again without each of its seeds, too, as `stability` does; this takes three to
            ten times as long.

    Returns:
        One row per claim, in their order: COLUMNS. `verdict` is one of VERDICTS; `value`, `low` and `high` are NaN
        where there are none; `comparisons` are separated by "; "; `detectable` in points; `stability` is from
        `stability`.
    """
    records = []
    for claim in load_claims() if claims is None else claims:
        own = _limited(claim, frames)
        finding = decide(claim, own)
        texts = {
            "experiments": " ".join(claim.experiments),
            "comparisons": "; ".join(finding.comparisons),
            "stability": stability(claim, own, finding) if without_seeds else "",
        }
        records.append(asdict(claim) | asdict(finding) | texts)
    return pd.DataFrame(records, columns=list(COLUMNS))


def decide(claim: Claim, frames: Mapping[str, Any]) -> Finding:
    """One claim's finding."""
    try:
        return STATISTICS[claim.statistic](_limited(claim, frames), **claim.arguments)
    except NotRun as missing:
        return Finding(NOT_RUN, "", reason=_because(str(missing), claim, frames))


STABLE = "the same without any one seed"
GROUPS = 10
"""Into how many groups more seeds than these are put, of which each is left out as a whole. A single one of many seeds
decides little, and each decision takes time."""
UNCHECKED = "not checked: the seeds are too few to leave one out"


def stability(claim: Claim, frames: Mapping[str, Any], finding: Finding) -> str:
    """What becomes of a verdict when one seed is left out, each in turn; of more than GROUPS seeds, one group of them.

    Args:
        claim: of `frames`.
        frames: as for `evaluate`.
        finding: of the claim, on all seeds.

    Returns:
        STABLE; `inconclusive without seed 0 or 3`, or `without seed 0, 10 or 3, 13` where those are left out together;
        UNCHECKED, where fewer than four seeds would leave too few for any verdict; "" for a claim without seeds: one
        that arithmetic decides, or from independent draws, or that has not been run.
    """
    limited = _limited(claim, frames)
    seeds = _seeds(claim, limited)
    if finding.verdict == NOT_RUN or not seeds:
        return ""
    if len(seeds) <= FEWEST:
        return UNCHECKED
    changed: dict[str, list[str]] = {}
    for group in [seeds[first::GROUPS] for first in range(min(GROUPS, len(seeds)))]:
        verdict = decide(claim, _without(limited, group)).verdict  # which may find that too little is left
        if verdict != finding.verdict:
            changed.setdefault(verdict, []).append(", ".join(map(str, group)))
    texts = [f"{verdict} without seed {' or '.join(left_out)}" for verdict, left_out in changed.items()]
    return "; ".join(texts) or STABLE


def _limited(claim: Claim, frames: Mapping[str, Any]) -> dict[str, Any]:
    """The frames with what belongs to the claim's experiments alone."""
    limited = dict(frames)
    for name in BY_EXPERIMENT:
        frame = frames.get(name)
        if frame is not None and "experiment" in frame:
            limited[name] = frame[frame["experiment"].isin(claim.experiments)]
    return limited


def _seeds(claim: Claim, limited: Mapping[str, Any]) -> list[int]:
    """The seeds that a claim is decided from."""
    if not claim.experiments:
        return []
    if STUDY in claim.experiments:
        tables = [table for table in (limited.get("study") or {}).values() if "seed" in table]
        # Theorem 1 is checked from independent draws at one point, not from seeds.
        return [] if claim.id.startswith("thm1") or not tables else sorted(set(tables[0]["seed"].astype(int)))
    results = limited.get("results")
    return [] if results is None or results.empty else sorted(set(results["seed"].astype(int)))


def _without(limited: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """The frames without the runs, and the runs of the study, of these seeds."""
    results: pd.DataFrame = limited["results"]
    gone = set(results.loc[results["seed"].isin(seeds), "run"])
    less: dict[str, Any] = dict(limited) | {BRIEF: True}
    for name in BY_EXPERIMENT:
        if less.get(name) is not None and "run" in less[name]:
            less[name] = less[name][~less[name]["run"].isin(gone)]
    tables = (less.get("study") or {}).items()
    less["study"] = {name: table[~table["seed"].isin(seeds)] if "seed" in table else table for name, table in tables}
    return less


def _because(reason: str, claim: Claim, frames: Mapping[str, Any]) -> str:
    results = frames.get("results")
    known = set() if results is None else set(results["experiment"])
    absent = [name for name in claim.experiments if name not in known and name != STUDY]
    if absent and len(absent) == len(claim.experiments):
        return f"this scale has no runs of {' or '.join(absent)}"
    return reason
