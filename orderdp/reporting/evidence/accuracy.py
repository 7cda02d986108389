"""Claims about test accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from orderdp.reporting.evidence.deciding import Context, Finding, beyond
from orderdp.reporting.evidence.intervals import Estimate, mean
from orderdp.reporting.evidence.power import smallest_found
from orderdp.reporting.evidence.resolution import ACCURACY, of_workload
from orderdp.reporting.evidence.runs import (
    BRIEF,
    FULL,
    OURS,
    Frames,
    NotRun,
    by_seed,
    differences,
    name_of,
    opponents,
    pick,
    quotients,
    rival_name,
    settings,
)
from orderdp.reporting.evidence.same_budget import leads, leads_text
from orderdp.reporting.ratios import percent


def higher(
    frames: Frames,
    *,
    rivals: Sequence[str],
    ours: str = OURS,
    ratios: float | Sequence[float] | None = None,
    any_ratio: bool = False,
    margin: float = 0.0,
) -> Finding:
    """Final accuracy of `ours` less that of each rival, paired by seed, at each ratio asked for: above -margin?

    Args:
        frames: limited to the claim's experiments.
        rivals: methods.
        ours: the method that is claimed to be higher.
        ratios: prune ratios as asked for; all when None.
        any_ratio: compare runs whatever ratio each method was asked for.
        margin: points by which it may be lower, for a claim of being at least as accurate.
    """
    rows = pick(frames, [ours, *rivals], ratios)
    estimates = [gap(mine, theirs, label, rows) for label, mine, theirs in opponents(rows, ours, rivals, any_ratio)]
    context = Context(
        f"accuracy of {name_of(rows, ours)} less that of {rival_name(rows, rivals)}",
        "points",
        runs=rows,
        favours=ours,
        notes=(_at_equal_ratios(frames, rows, ours, rivals),),
        detectable=smallest_found(estimates),
    )
    return beyond(estimates, context, threshold=-margin)


def not_worse(
    frames: Frames, *, margin: float, ours: str = OURS, ratios: float | Sequence[float] | None = None
) -> Finding:
    """Final accuracy of `ours` less that of the full data, paired by seed, against -margin (points)."""
    rows = pick(frames, [ours, FULL], ratios)
    estimates = [gap(mine, full, label, rows) for label, mine, full in opponents(rows, ours, [FULL])]
    statistic = f"accuracy of {name_of(rows, ours)} less that of the full data"
    context = Context(statistic, "points", runs=rows, favours=ours, detectable=smallest_found(estimates))
    return beyond(estimates, context, threshold=-margin)


def all_worse(
    frames: Frames, *, rivals: Sequence[str], margin: float, ratios: float | Sequence[float] | None = None
) -> Finding:
    """Final accuracy of each rival less that of the full data, paired by seed: whether all lie below -margin
    (points)."""
    rows = pick(frames, [*rivals, FULL], ratios)
    estimates = [
        gap(mine, full, f"{name_of(mine, rival)} {label.removeprefix(f'against {name_of(rows, FULL)}')}".strip(), rows)
        for rival in rivals
        for label, mine, full in opponents(rows, rival, [FULL])
    ]
    context = Context(
        "accuracy of a rival less that of the full data", "points", runs=rows, detectable=smallest_found(estimates)
    )
    return beyond(estimates, context, threshold=-margin, side=-1)


def higher_at_same_budget(frames: Frames, *, rival: str, ours: str = OURS) -> Finding:
    """Final accuracy of `ours` less that of the rival at the ratio that the rival really reached.

    The rival may prune less than asked. The accuracy of `ours` is therefore read off, seed by seed, at the rival's own
    realised ratio, on straight lines between its ratios and the full data. Of several asked ratios that came to the
    same realised one, the first counts.
    """
    rows = pick(frames, [ours, rival, FULL])
    estimates = []
    for workload, found in leads(rows, ours, rival).groupby("workload", sort=False):
        for ratio, part in found.groupby("prune_ratio"):
            where = f" on {workload}" if rows["workload"].nunique() > 1 else ""
            estimates.append(
                mean(
                    part["lead"].tolist(),
                    f"at {percent(round(part['realised'].mean(), 3))} realised ({percent(ratio)}){where}",
                    # A mean of two accuracies less a third has the least rounding where both weigh the same.
                    of_workload(rows, rows[rows["workload"] == workload], 1.5),
                )
            )
    if not estimates:
        raise NotRun(f"no realised prune ratio of {rival} lies within those of {ours}")
    return beyond(estimates, Context(f"accuracy of {name_of(rows, ours)} less that of {name_of(rows, rival)} at the same realised ratio",
                                     "points", runs=rows, favours=ours))  # fmt: skip


def lead_grows(frames: Frames, *, rival: str, ours: str = OURS) -> Finding:
    """Slope, per seed, of that difference over the realised ratio: points per 10 points of ratio."""
    rows = pick(frames, [ours, rival, FULL])
    estimates = []
    for workload, found in leads(rows, ours, rival).groupby("workload", sort=False):
        slopes = [
            0.1 * float(np.polyfit(part["realised"], part["lead"], 1)[0])
            for _, part in found.groupby("seed")
            if part["realised"].nunique() > 2
        ]
        estimates.append(
            mean(slopes, f"on {workload}", 0.1 * of_workload(rows, rows[rows["workload"] == workload], _terms(found)))
        )
    if not estimates or not any(estimate.count for estimate in estimates):
        raise NotRun(f"{rival} reached fewer than three different prune ratios")
    statistic = f"growth of the lead of {name_of(rows, ours)} over {name_of(rows, rival)} per 10 % pruned"
    return beyond(estimates, Context(statistic, "points", runs=rows, favours=ours))


def slower_than_time(frames: Frames, *, ratio: float, panel: str | None = None, ours: str = OURS) -> Finding:
    """Share of time saved less share of accuracy lost, both of the full data's and paired by seed."""
    rows = pick(frames, [ours, FULL], ratio, panel)
    estimates = []
    for label, mine, full in opponents(rows, ours, [FULL]):
        accuracy, time = quotients(mine, full, ACCURACY), quotients(mine, full, "time_s")
        # The relative step of a quotient of accuracies is that of its terms, each over the accuracy of the full data.
        least = of_workload(rows, mine) / float(full[ACCURACY].mean())
        estimates.append(
            mean([accuracy[seed] - time[seed] for seed in sorted(set(accuracy) & set(time))], label, least)
        )
    statistic = f"share of time saved less share of accuracy lost at {percent(ratio)}"
    return beyond(estimates, Context(statistic, "%", 100, rows, ours))


def loss_steepens(frames: Frames, *, knee: float, end: float, panel: str | None = None, ours: str = OURS) -> Finding:
    """Points of accuracy lost per 10 % pruned between `knee` and `end`, less the same between the full data and `knee`,
    by seed."""
    rows = pick(frames, [ours, FULL], [knee, end], panel)
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        at = {here["prune_ratio"]: by_seed(runs, ACCURACY) for here, runs in settings(part) if here["method"] == ours}
        full = by_seed(part[part["method"] == FULL], ACCURACY)
        if len(at) < 2:
            raise NotRun(f"no runs at both {percent(knee)} and {percent(end)} are asked for at this scale")
        early, late = at[min(at)], at[max(at)]
        seeds = sorted(set(full) & set(early) & set(late))
        loss = [(early[s] - late[s]) / (end - knee) - (full[s] - early[s]) / knee for s in seeds]
        terms = (1 / (end - knee) + 1 / knee) ** 2 + 1 / (end - knee) ** 2 + 1 / knee**2
        estimates.append(mean([0.1 * value for value in loss], f"on {workload}", 0.1 * of_workload(rows, part, terms)))
    statistic = f"points lost per 10 % pruned beyond {percent(knee)}, less those before"
    return beyond(estimates, Context(statistic, "points", runs=rows, favours=ours))


def gap(mine: pd.DataFrame, theirs: pd.DataFrame, label: str, rows: pd.DataFrame) -> Estimate:
    """Accuracy of one side less that of the other in points, paired by seed; the rows show how fine accuracies are on
    this workload."""
    return mean(differences(mine, theirs, ACCURACY), label, of_workload(rows, mine))


def _at_equal_ratios(frames: Frames, rows: pd.DataFrame, ours: str, rivals: Sequence[str]) -> str:
    """The same differences at what the rivals really pruned, where our runs at other ratios and on the full data allow
    it."""
    if frames.get(BRIEF):
        return ""
    full = [FULL] if FULL in set(frames["results"]["method"]) else []
    try:
        wider = pick(frames, [ours, *rivals, *full])
    except NotRun:
        return ""
    ratios = rows.loc[rows["method"].isin(list(rivals)), "prune_ratio"].dropna().unique()
    return leads_text(wider, ours, rivals, ratios, ACCURACY, "points", of_workload(wider, wider, 1.5))


def _terms(found: pd.DataFrame) -> float:
    """Sum of the squared coefficients of the accuracies in the slope of a line through the leads over their ratios, two
    per lead."""
    realised = found.groupby("prune_ratio")["realised"].mean()
    return 2.0 / float(((realised - realised.mean()) ** 2).sum()) if realised.nunique() > 1 else 0.0
