"""Claims about test accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from orderdp.reporting.claims.statistics.deciding import Context, Finding, decide_one_sided
from orderdp.reporting.claims.statistics.intervals import Estimate, mean
from orderdp.reporting.claims.statistics.power import smallest_detectable
from orderdp.reporting.claims.statistics.resolution import ACCURACY, of_workload
from orderdp.reporting.claims.statistics.runs import (
    BRIEF,
    FULL,
    ORDERDP,
    Frames,
    NotRun,
    by_seed,
    differences,
    label_of,
    opponents,
    pairs,
    pick,
    quotients,
    rival_label,
    settings,
)
from orderdp.reporting.claims.statistics.same_budget import leads_text
from orderdp.reporting.ratios import percent


def higher(
    frames: Frames,
    *,
    rivals: Sequence[str],
    method: str = ORDERDP,
    ratios: float | Sequence[float] | None = None,
    any_ratio: bool = False,
    margin: float = 0.0,
) -> Finding:
    """Final accuracy of `method` less that of each rival, paired by seed, at each ratio: above -margin?

    Args:
        frames: limited to the claim's experiments.
        rivals: methods.
        method: the method that is claimed to be higher.
        ratios: prune ratios of the grid; all when None.
        any_ratio: compare runs whatever their ratios.
        margin: points by which it may be lower, for a claim of being at least as accurate.
    """
    rows = pick(frames, [method, *rivals], ratios)
    estimates = [
        gap(runs, rival_runs, label, rows) for label, runs, rival_runs in opponents(rows, method, rivals, any_ratio)
    ]
    statistic = f"accuracy of {label_of(rows, method)} less that of {rival_label(rows, rivals)}"
    notes = (_at_equal_ratios(frames, rows, method, rivals),)
    smallest = smallest_detectable(estimates)
    context = Context(statistic, "points", runs=rows, favours=method, notes=notes, detectable=smallest)
    return decide_one_sided(estimates, context, threshold=-margin)


def not_worse(
    frames: Frames, *, margin: float, method: str = ORDERDP, ratios: float | Sequence[float] | None = None
) -> Finding:
    """Final accuracy of `method` less that of the full data, paired by seed, against -margin (points)."""
    rows = pick(frames, [method, FULL], ratios)
    estimates = [gap(runs, full, label, rows) for label, runs, full in opponents(rows, method, [FULL])]
    statistic = f"accuracy of {label_of(rows, method)} less that of the full data"
    context = Context(statistic, "points", runs=rows, favours=method, detectable=smallest_detectable(estimates))
    return decide_one_sided(estimates, context, threshold=-margin)


def all_worse(
    frames: Frames, *, rivals: Sequence[str], margin: float, ratios: float | Sequence[float] | None = None
) -> Finding:
    """Final accuracy of each rival less that of the full data, paired by seed: whether all lie below -margin
    (points)."""
    rows = pick(frames, [*rivals, FULL], ratios)
    estimates = []
    for rival in rivals:
        for label, runs, full in opponents(rows, rival, [FULL]):
            where = label.removeprefix(f"against {label_of(rows, FULL)}")
            estimates.append(gap(runs, full, f"{label_of(runs, rival)} {where}".strip(), rows))
    statistic = "accuracy of a rival less that of the full data"
    context = Context(statistic, "points", runs=rows, detectable=smallest_detectable(estimates))
    return decide_one_sided(estimates, context, threshold=-margin, side=-1)


def slower_than_time(frames: Frames, *, ratio: float, panel: str | None = None, method: str = ORDERDP) -> Finding:
    """Share of time saved less share of accuracy lost, both of the full data's and paired by seed."""
    rows = pick(frames, [method, FULL], ratio, panel)
    estimates = []
    for label, runs, full in opponents(rows, method, [FULL]):
        accuracy, time = quotients(runs, full, ACCURACY), quotients(runs, full, "time_s")
        # The relative step of a quotient of accuracies is that of its terms, each over the accuracy of the full data.
        least = of_workload(rows, runs) / float(full[ACCURACY].mean())
        estimates.append(mean([a - t for a, t in pairs(accuracy, time)], label, least))
    statistic = f"share of time saved less share of accuracy lost at {percent(ratio)}"
    return decide_one_sided(estimates, Context(statistic, "%", 100, rows, method))


def loss_steepens(
    frames: Frames, *, knee: float, end: float, panel: str | None = None, method: str = ORDERDP
) -> Finding:
    """Points of accuracy lost per 10 % pruned between `knee` and `end`, less the same between the full data and `knee`,
    by seed."""
    rows = pick(frames, [method, FULL], [knee, end], panel)
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        of_method = settings(part[part["method"] == method])
        at = {setting["prune_ratio"]: by_seed(runs, ACCURACY) for setting, runs in of_method}
        full = by_seed(part[part["method"] == FULL], ACCURACY)
        if len(at) < 2:
            raise NotRun(f"this scale has no runs at both {percent(knee)} and {percent(end)}")
        early, late = at[min(at)], at[max(at)]
        seeds = sorted(set(full) & set(early) & set(late))
        loss = [(early[s] - late[s]) / (end - knee) - (full[s] - early[s]) / knee for s in seeds]
        terms = (1 / (end - knee) + 1 / knee) ** 2 + 1 / (end - knee) ** 2 + 1 / knee**2
        estimates.append(mean([0.1 * value for value in loss], f"on {workload}", 0.1 * of_workload(rows, part, terms)))
    statistic = f"points lost per 10 % pruned beyond {percent(knee)}, less those before"
    return decide_one_sided(estimates, Context(statistic, "points", runs=rows, favours=method))


def gap(runs: pd.DataFrame, rival_runs: pd.DataFrame, label: str, rows: pd.DataFrame) -> Estimate:
    """Accuracy of one side less that of the other in points, paired by seed; the rows show how fine accuracies are on
    this workload."""
    return mean(differences(runs, rival_runs, ACCURACY), label, of_workload(rows, runs))


def _at_equal_ratios(frames: Frames, rows: pd.DataFrame, method: str, rivals: Sequence[str]) -> str:
    """The same differences at what the rivals really pruned, where the runs at other ratios and on the full data
    allow it."""
    if frames.get(BRIEF):
        return ""
    full = [FULL] if FULL in set(frames["results"]["method"]) else []
    try:
        wider = pick(frames, [method, *rivals, *full])
    except NotRun:
        return ""
    ratios = rows.loc[rows["method"].isin(list(rivals)), "prune_ratio"].dropna().unique().tolist()
    return leads_text(wider, method, rivals, ratios, ACCURACY, "points", of_workload(wider, wider, 1.5))
