"""Claims about the kept sets: coverage, similarity of successive sets, direction of their gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from orderdp.reporting.evidence.deciding import Context, Finding, NotRun, beyond
from orderdp.reporting.evidence.intervals import Estimate, mean
from orderdp.reporting.evidence.runs import OURS, Frames, by_seed, differences, measured, name_of, opponents, percent, pick, place, settings
from orderdp.reporting.measures import FIFTHS, in_phase, taken_in_phase


def never_used(frames: Frames, *, ratios: Sequence[float], ours: str = OURS) -> Finding:
    """Share of the samples that a whole run never kept, at each ratio: 0 in every run?"""
    rows = measured(
        pick(frames, [ours], ratios), frames["histories"], lambda history: 1.0 - float(history["coverage"].iloc[-1]), "coverage"
    )
    estimates = [mean([max(0.0, value) for value in by_seed(runs, "value").values()], place(here, rows)) for here, runs in settings(rows)]
    if any(estimate.count == 0 for estimate in estimates):
        raise NotRun("the runs do not say how many samples they have used")
    statistic = f"share of the samples that {name_of(rows, ours)} never used"
    # Less than half a sample of the largest data set here: 0 but for rounding.
    return beyond(estimates, Context(statistic, "%", 100, rows, ours, claimed="0"), threshold=1e-8, side=-1)


def jaccard_higher(frames: Frames, *, rival: str, ratio: float, ours: str = OURS) -> Finding:
    """Similarity of an epoch's kept set to the epoch before, ours less the rival's, mean over each fifth of training and at its end."""
    rows = pick(frames, [ours, rival], ratio)
    phases = {f"{100 * start:g}–{100 * end:g} %": _phase(start, end) for start, end in FIFTHS}
    phases["last epoch"] = lambda history: float(history["jaccard"].iloc[-1])
    measures = {name: measured(rows, frames["histories"], measure, "jaccard") for name, measure in phases.items()}
    statistic = f"Jaccard similarity of successive sets, {name_of(rows, ours)} less {name_of(rows, rival)} at {percent(ratio)}"
    return beyond(_by_phase(measures, ours, rival), Context(statistic, runs=rows, favours=ours))


def jaccard_rises(frames: Frames, *, ours: str = OURS) -> Finding:
    """Similarity of successive sets in the last fifth of training less that in the second: the first holds the start."""
    second, last = _phase(*FIFTHS[1]), _phase(*FIFTHS[4])
    rows = measured(pick(frames, [ours]), frames["histories"], lambda history: last(history) - second(history), "jaccard")
    estimates = [mean(list(by_seed(runs, "value").values()), place(here, rows)) for here, runs in settings(rows)]
    statistic = f"Jaccard similarity of {name_of(rows, ours)}'s successive sets, last fifth of training less second"
    return beyond(estimates, Context(statistic, runs=rows, favours=ours))


def cosine_higher(frames: Frames, *, rival: str, ratio: float, ours: str = OURS) -> Finding:
    """Cosine of the pruned to the full gradient at the same weights, ours less the rival's, in each fifth of training and at its end."""
    rows, taken = pick(frames, [ours, rival], ratio), frames.get("diagnostics")
    if taken is None or taken.empty:
        raise NotRun("the gradients have not been measured")
    taken = taken.drop_duplicates(["cell", "epoch"])
    measures = {}
    for start, end in (*FIFTHS, (1.0, math.inf)):
        part = taken[taken_in_phase(taken["progress"], start, end)].groupby("cell")["cosine"].mean()
        if len(part):
            name = "after the last epoch" if start == 1 else f"{100 * start:g}–{100 * end:g} %"
            measures[name] = rows.assign(value=rows["cell"].map(part))
    statistic = f"cosine to the full gradient, {name_of(rows, ours)} less {name_of(rows, rival)} at {percent(ratio)}"
    return beyond(_by_phase(measures, ours, rival), Context(statistic, runs=rows, favours=ours))


def _phase(start: float, end: float) -> Callable[[pd.DataFrame], float]:
    """Mean Jaccard similarity over the epochs that end in (start, end]; the first epoch has none."""
    return lambda history: float(history.loc[in_phase(history["progress"], start, end), "jaccard"].mean())


def _by_phase(measures: Mapping[str, pd.DataFrame], ours: str, rival: str) -> list[Estimate]:
    estimates = []
    for name, rows in measures.items():
        if rows["value"].isna().all():  # a training too short for epochs in every phase
            continue
        for _, mine, theirs in opponents(rows, ours, [rival]):
            where = f" on {mine.iloc[0]['workload']}" if rows["workload"].nunique() > 1 else ""
            estimates.append(mean(differences(mine, theirs, "value"), f"{name}{where}"))
    if not estimates:
        raise NotRun("nothing was recorded in any phase of training")
    return estimates
