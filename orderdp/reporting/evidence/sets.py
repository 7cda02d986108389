"""Claims about the kept sets: coverage, similarity of successive sets, direction of their gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import pandas as pd

from orderdp.reporting.evidence.deciding import Context, Finding, beyond
from orderdp.reporting.evidence.intervals import Estimate, mean
from orderdp.reporting.evidence.runs import (
    BRIEF,
    OURS,
    Frames,
    NotRun,
    asked_for,
    by_seed,
    differences,
    leads_by_seed,
    measured,
    name_of,
    opponents,
    pairs,
    pick,
    place,
    settings,
)  # fmt: skip
from orderdp.reporting.evidence.same_budget import leads_text
from orderdp.reporting.measures import FIFTHS, in_phase, taken_in_phase
from orderdp.reporting.ratios import percent


def never_used(frames: Frames, *, ratios: Sequence[float], ours: str = OURS) -> Finding:
    """Share of the samples that a whole run never kept, at each ratio: 0 in every run?"""
    rows = measured(
        pick(frames, [ours], ratios),
        frames["histories"],
        lambda history: 1.0 - float(history["coverage"].iloc[-1]),
        "coverage",
    )
    estimates = [
        mean([max(0.0, value) for value in by_seed(runs, "value").values()], place(here, rows))
        for here, runs in settings(rows)
    ]
    if any(estimate.count == 0 for estimate in estimates):
        raise NotRun("the runs do not say how many samples they have used")
    statistic = f"share of the samples that {name_of(rows, ours)} never used"
    # Less than half a sample of the largest data set here: 0 but for rounding.
    return beyond(estimates, Context(statistic, "%", 100, rows, ours, claimed="0"), threshold=1e-8, side=-1)


def jaccard_higher(frames: Frames, *, rival: str, ratio: float, ours: str = OURS) -> Finding:
    """Similarity of an epoch's kept set to the epoch before, ours less the rival's, mean over each fifth of training
    and at its end."""
    rows = _at_any_ratio(frames, ours, rival, ratio)
    phases = {_name(start, end): _phase(start, end) for start, end in FIFTHS}
    phases["last epoch"] = lambda history: float(history["jaccard"].iloc[-1])
    measures = {name: measured(rows, frames["histories"], measure, "jaccard") for name, measure in phases.items()}
    statistic = (
        f"Jaccard similarity of successive sets, {name_of(rows, ours)} less {name_of(rows, rival)} at {percent(ratio)}"
    )
    return _by_phase(measures, ours, rival, ratio, statistic, bool(frames.get(BRIEF)))


def jaccard_rises(frames: Frames, *, ours: str = OURS) -> Finding:
    """Similarity of successive sets in the last fifth of training less that in the second: the first holds the
    start."""
    second, last = _phase(*FIFTHS[1]), _phase(*FIFTHS[4])
    rows = measured(
        pick(frames, [ours]), frames["histories"], lambda history: last(history) - second(history), "jaccard"
    )
    estimates = [mean(list(by_seed(runs, "value").values()), place(here, rows)) for here, runs in settings(rows)]
    statistic = f"Jaccard similarity of {name_of(rows, ours)}'s successive sets, last fifth of training less second"
    return beyond(estimates, Context(statistic, runs=rows, favours=ours))


def cosine_higher(frames: Frames, *, rival: str, ratio: float, ours: str = OURS) -> Finding:
    """Cosine of the pruned to the full gradient at the same weights, ours less the rival's, in each fifth of training
    and at its end."""
    rows, taken = _at_any_ratio(frames, ours, rival, ratio), _gradients(frames)
    measures = {}
    for start, end in (*FIFTHS, (1.0, math.inf)):
        part = taken[taken_in_phase(taken["progress"], start, end)].groupby("cell")["cosine"].mean()
        if len(part):
            measures["after the last epoch" if start == 1 else _name(start, end)] = rows.assign(
                value=rows["cell"].map(part)
            )
    statistic = f"cosine to the full gradient, {name_of(rows, ours)} less {name_of(rows, rival)} at {percent(ratio)}"
    return _by_phase(measures, ours, rival, ratio, statistic, bool(frames.get(BRIEF)))


def cosine_lead_grows(frames: Frames, *, rival: str, early: float, late: float, ours: str = OURS) -> Finding:
    """That cosine, mean over training: lead of ours over the rival at a larger ratio less the lead at a smaller one, by
    seed: above 0?"""
    rows, taken = pick(frames, [ours, rival], [early, late]), _gradients(frames)
    rows = rows.assign(value=rows["cell"].map(taken.groupby("cell")["cosine"].mean()))
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        at = {ratio: part[asked_for(part, ratio)] for ratio in (early, late)}
        leads = {
            ratio: leads_by_seed(runs[runs["method"] == ours], runs[runs["method"] == rival], "value")
            for ratio, runs in at.items()
        }
        estimates.append(
            mean([larger - smaller for larger, smaller in pairs(leads[late], leads[early])], f"on {workload}")
        )
    statistic = f"lead of {name_of(rows, ours)} over {name_of(rows, rival)} in that cosine, at {percent(late)} less at {percent(early)}"
    return beyond(estimates, Context(statistic, runs=rows, favours=ours))


def _gradients(frames: Frames) -> pd.DataFrame:
    taken = frames.get("diagnostics")
    if taken is None or taken.empty:
        raise NotRun("the gradients have not been measured")
    return taken.drop_duplicates(["cell", "epoch"])


def _at_any_ratio(frames: Frames, ours: str, rival: str, ratio: float) -> pd.DataFrame:
    """The runs of both at every ratio, for what can be read between them; at this one alone while others are
    missing."""
    rows = pick(frames, [ours, rival], ratio)
    try:
        return pick(frames, [ours, rival])
    except NotRun:
        return rows


def _name(start: float, end: float) -> str:
    return f"{100 * start:g}–{100 * end:g} %"


def _phase(start: float, end: float) -> Callable[[pd.DataFrame], float]:
    """Mean Jaccard similarity over the epochs that end in (start, end]; the first epoch has none."""
    return lambda history: float(history.loc[in_phase(history["progress"], start, end), "jaccard"].mean())


def _by_phase(
    measures: Mapping[str, pd.DataFrame], ours: str, rival: str, ratio: float, statistic: str, brief: bool
) -> Finding:
    """Ours less the rival's `value` in every phase: above 0?

    Args:
        measures: phase -> runs at every ratio with a `value`.
        ours: method.
        rival: method.
        ratio: of the claim, as asked for.
        statistic: in words.
        brief: leave out the comparison at equal ratios.
    """
    estimates: dict[str, list[Estimate]] = {}
    fair, runs = [], None
    for name, rows in measures.items():
        runs = here = rows[asked_for(rows, ratio)]
        if here["value"].isna().all():  # a training too short for epochs in every phase
            continue
        for _, mine, theirs in opponents(here, ours, [rival]):
            where = f" on {mine.iloc[0]['workload']}" if rows["workload"].nunique() > 1 else ""
            estimates.setdefault(name, []).append(mean(differences(mine, theirs, "value"), f"{name}{where}"))
        if brief:
            continue
        if text := leads_text(rows, ours, [rival], [ratio], "value"):
            fair.append(f"{name}: {text}" if not fair else f"{name}: {text.split(': ', 1)[1]}")
    if not estimates:
        raise NotRun("nothing was recorded in any phase of training")
    context = Context(statistic, runs=runs, favours=ours, notes=tuple(fair))
    finding = beyond(list(chain(*estimates.values())), context)
    first, *later = estimates
    if (
        later
        and (without := beyond(list(chain(*(estimates[name] for name in later))), context).verdict) != finding.verdict
    ):
        note = (
            f"the first phase, {first}, decides: without it, this would be {without}. In the first epochs InfoBatch comes from keeping all data "
            "and OrderDP takes unseen samples; the shorter the training, the larger is their share of the phase"
        )
        return replace(finding, reason="; ".join(filter(None, [note, finding.reason])))
    return finding
