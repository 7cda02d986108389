"""Claims about the kept sets: coverage, similarity of successive sets, direction of their gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import pandas as pd

from orderdp.reporting.claims.statistics.deciding import Context, Finding, decide_one_sided
from orderdp.reporting.claims.statistics.intervals import Estimate, mean
from orderdp.reporting.claims.statistics.runs import (
    BRIEF,
    ORDERDP,
    Frames,
    NotRun,
    by_seed,
    differences,
    has_ratio,
    label_of,
    leads_by_seed,
    measured,
    opponents,
    pairs,
    pick,
    place,
    settings,
)
from orderdp.reporting.claims.statistics.same_budget import leads_text
from orderdp.reporting.measures import FIFTHS, in_phase, taken_in_phase
from orderdp.reporting.ratios import percent


def never_used(frames: Frames, *, ratios: Sequence[float], method: str = ORDERDP) -> Finding:
    """Share of the samples that a whole run never kept, at each ratio: 0 in every run?"""
    rows = measured(
        pick(frames, [method], ratios),
        frames["histories"],
        lambda history: 1.0 - float(history["coverage"].iloc[-1]),
        "coverage",
    )
    estimates = [
        mean([max(0.0, value) for value in by_seed(runs, "value").values()], place(setting, rows))
        for setting, runs in settings(rows)
    ]
    if any(estimate.count == 0 for estimate in estimates):
        raise NotRun("the runs do not say how many samples they have used")
    statistic = f"share of the samples that {label_of(rows, method)} never used"
    # Less than half a sample of the largest data set: 0 but for rounding.
    return decide_one_sided(estimates, Context(statistic, "%", 100, rows, method, claimed="0"), threshold=1e-8, side=-1)


def jaccard_higher(frames: Frames, *, rival: str, ratio: float, method: str = ORDERDP) -> Finding:
    """Similarity of an epoch's kept set to that of the epoch before, `method` less the rival: mean over each fifth of
    training, and at its end."""
    rows = _at_any_ratio(frames, method, rival, ratio)
    phases = {_name(start, end): _phase(start, end) for start, end in FIFTHS}
    phases["last epoch"] = lambda history: float(history["jaccard"].iloc[-1])
    measures = {name: measured(rows, frames["histories"], measure, "jaccard") for name, measure in phases.items()}
    sides = f"{label_of(rows, method)} less {label_of(rows, rival)}"
    statistic = f"Jaccard similarity of successive sets, {sides} at {percent(ratio)}"
    return _by_phase(measures, method, rival, ratio, statistic, bool(frames.get(BRIEF)))


def jaccard_rises(frames: Frames, *, method: str = ORDERDP) -> Finding:
    """Similarity of successive sets in the last fifth of training less that in the second: the first holds the
    start."""
    second, last = _phase(*FIFTHS[1]), _phase(*FIFTHS[4])
    rows = measured(
        pick(frames, [method]), frames["histories"], lambda history: last(history) - second(history), "jaccard"
    )
    estimates = [mean(list(by_seed(runs, "value").values()), place(setting, rows)) for setting, runs in settings(rows)]
    statistic = f"Jaccard similarity of {label_of(rows, method)}'s successive sets, last fifth of training less second"
    return decide_one_sided(estimates, Context(statistic, runs=rows, favours=method))


def cosine_higher(frames: Frames, *, rival: str, ratio: float, method: str = ORDERDP) -> Finding:
    """Cosine of the pruned to the full gradient at the same weights, `method` less the rival, in each fifth of training
    and at its end."""
    rows, taken = _at_any_ratio(frames, method, rival, ratio), _gradients(frames)
    measures = {}
    for start, end in (*FIFTHS, (1.0, math.inf)):
        part = taken[taken_in_phase(taken["progress"], start, end)].groupby("run")["cosine"].mean()
        if len(part):
            measures["after the last epoch" if start == 1 else _name(start, end)] = rows.assign(
                value=rows["run"].map(part)
            )
    statistic = (
        f"cosine to the full gradient, {label_of(rows, method)} less {label_of(rows, rival)} at {percent(ratio)}"
    )
    return _by_phase(measures, method, rival, ratio, statistic, bool(frames.get(BRIEF)))


def cosine_lead_grows(frames: Frames, *, rival: str, early: float, late: float, method: str = ORDERDP) -> Finding:
    """That cosine, mean over training: lead of `method` over the rival at a larger ratio less that at a smaller one, by
    seed: above 0?"""
    rows, taken = pick(frames, [method, rival], [early, late]), _gradients(frames)
    rows = rows.assign(value=rows["run"].map(taken.groupby("run")["cosine"].mean()))
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        at = {ratio: part[has_ratio(part, ratio)] for ratio in (early, late)}
        leads = {
            ratio: leads_by_seed(runs[runs["method"] == method], runs[runs["method"] == rival], "value")
            for ratio, runs in at.items()
        }
        estimates.append(
            mean([larger - smaller for larger, smaller in pairs(leads[late], leads[early])], f"on {workload}")
        )
    lead = f"lead of {label_of(rows, method)} over {label_of(rows, rival)} in that cosine"
    statistic = f"{lead}, at {percent(late)} less at {percent(early)}"
    return decide_one_sided(estimates, Context(statistic, runs=rows, favours=method))


def _gradients(frames: Frames) -> pd.DataFrame:
    taken = frames.get("diagnostics")
    if taken is None or taken.empty:
        raise NotRun("the gradients have not been measured")
    return taken.drop_duplicates(["run", "epoch"])


def _at_any_ratio(frames: Frames, method: str, rival: str, ratio: float) -> pd.DataFrame:
    """The runs of both at every ratio, for what can be read between them; at this one alone while others are
    missing."""
    rows = pick(frames, [method, rival], ratio)
    try:
        return pick(frames, [method, rival])
    except NotRun:
        return rows


def _name(start: float, end: float) -> str:
    return f"{100 * start:g}–{100 * end:g} %"


def _phase(start: float, end: float) -> Callable[[pd.DataFrame], float]:
    """Mean Jaccard similarity over the epochs that end in (start, end]; the first epoch has none."""
    return lambda history: float(history.loc[in_phase(history["progress"], start, end), "jaccard"].mean())


def _by_phase(
    measures: Mapping[str, pd.DataFrame], method: str, rival: str, ratio: float, statistic: str, brief: bool
) -> Finding:
    """The method's `value` less that of the rival in every phase: above 0?

    Args:
        measures: phase -> runs at every ratio with a `value`.
        method: its name.
        rival: the other method.
        ratio: of the claim, as in the grid.
        statistic: in words.
        brief: leave out the comparison at equal ratios.
    """
    estimates: dict[str, list[Estimate]] = {}
    fair: list[str] = []
    selected = None
    for name, rows in measures.items():
        selected = rows[has_ratio(rows, ratio)]
        if selected["value"].isna().all():  # a training too short for epochs in every phase
            continue
        for _, runs, rival_runs in opponents(selected, method, [rival]):
            where = f" on {runs.iloc[0]['workload']}" if rows["workload"].nunique() > 1 else ""
            estimates.setdefault(name, []).append(mean(differences(runs, rival_runs, "value"), f"{name}{where}"))
        if brief:
            continue
        if text := leads_text(rows, method, [rival], [ratio], "value"):
            fair.append(f"{name}: {text}" if not fair else f"{name}: {text.split(': ', 1)[1]}")
    if not estimates:
        raise NotRun("nothing was recorded in any phase of training")
    context = Context(statistic, runs=selected, favours=method, notes=tuple(fair))
    finding = decide_one_sided(list(chain(*estimates.values())), context)
    first, *later = estimates
    rest = list(chain(*(estimates[name] for name in later)))
    without = decide_one_sided(rest, context).verdict if rest else finding.verdict
    if without == finding.verdict:
        return finding
    note = (
        f"the first phase, {first}, decides: without it, this would be {without}. In the first epochs InfoBatch comes "
        "from keeping all data and OrderDP takes unseen samples; the shorter the training, the larger is their share "
        "of the phase"
    )
    return replace(finding, reason="; ".join(filter(None, [note, finding.reason])))
