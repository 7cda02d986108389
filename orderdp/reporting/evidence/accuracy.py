"""Claims about test accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from orderdp.reporting.evidence.deciding import Context, Finding, NotRun, beyond
from orderdp.reporting.evidence.intervals import Estimate, mean
from orderdp.reporting.evidence.power import power_text
from orderdp.reporting.evidence.resolution import ACCURACY, of_workload
from orderdp.reporting.evidence.runs import (
    FULL,
    OURS,
    Frames,
    by_seed,
    differences,
    name_of,
    opponents,
    percent,
    pick,
    quotients,
    rival_name,
    settings,
)
from orderdp.reporting.results import FINISHED

SAME_RATIO = 0.01
"""Realised prune ratios that are this near count as the same."""


def higher(
    frames: Frames, *, rivals: Sequence[str] | str, ours: str = OURS, ratios: float | Sequence[float] | None = None, any_ratio: bool = False
) -> Finding:
    """Final accuracy of `ours` less that of each rival, paired by seed, at each ratio asked for: above 0?

    Args:
        frames: limited to the claim's experiments.
        rivals: methods, or "others" for every other method that prunes.
        ours: the method that is claimed to be higher.
        ratios: prune ratios as asked for; all when None.
        any_ratio: compare runs whatever ratio each method was asked for.
    """
    if isinstance(rivals, str):
        rivals = sorted(set(frames["results"]["method"]) - {ours, FULL})
        if not rivals:
            raise NotRun("no runs of other methods are asked for at this scale")
    rows = pick(frames, [ours, *rivals], ratios)
    estimates = [gap(mine, theirs, label, rows) for label, mine, theirs in opponents(rows, ours, rivals, any_ratio)]
    context = Context(
        f"accuracy of {name_of(rows, ours)} less that of {rival_name(rows, rivals)}",
        "points",
        runs=rows,
        favours=ours,
        note=_notes(shortfalls(rows), power_text(estimates)),
    )
    return beyond(estimates, context)


def not_worse(frames: Frames, *, margin: float, ours: str = OURS, ratios: float | Sequence[float] | None = None) -> Finding:
    """Final accuracy of `ours` less that of the full data, paired by seed, against -margin (points)."""
    rows = pick(frames, [ours, FULL], ratios)
    estimates = [gap(mine, full, label, rows) for label, mine, full in opponents(rows, ours, [FULL])]
    statistic = f"accuracy of {name_of(rows, ours)} less that of the full data"
    context = Context(statistic, "points", runs=rows, favours=ours, note=power_text(estimates, "from the margin"))
    return beyond(estimates, context, threshold=-margin)


def all_worse(frames: Frames, *, rivals: Sequence[str], margin: float, ratios: float | Sequence[float] | None = None) -> Finding:
    """Final accuracy of each rival less that of the full data, paired by seed: whether all lie below -margin (points)."""
    rows = pick(frames, [*rivals, FULL], ratios)
    estimates = [
        gap(mine, full, f"{name_of(mine, rival)} {label.removeprefix(f'against {name_of(rows, FULL)}')}".strip(), rows)
        for rival in rivals
        for label, mine, full in opponents(rows, rival, [FULL])
    ]
    note = _notes(shortfalls(rows), power_text(estimates, "from the margin"))
    context = Context("accuracy of a rival less that of the full data", "points", runs=rows, note=note)
    return beyond(estimates, context, threshold=-margin, side=-1)


def higher_at_same_budget(frames: Frames, *, rival: str, ours: str = OURS) -> Finding:
    """Final accuracy of `ours` less that of the rival at the ratio that the rival really reached.

    The rival may prune less than asked. The accuracy of `ours` is therefore read off, seed by seed, at the rival's own realised ratio, on
    straight lines between its ratios and the full data. Of several asked ratios that came to the same realised one, the first counts.
    """
    rows = pick(frames, [ours, rival, FULL])
    estimates = []
    for workload, leads in _leads(rows, ours, rival).groupby("workload", sort=False):
        for ratio, part in leads.groupby("prune_ratio"):
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
    for workload, leads in _leads(rows, ours, rival).groupby("workload", sort=False):
        slopes = [
            0.1 * float(np.polyfit(part["realised"], part["lead"], 1)[0])
            for _, part in leads.groupby("seed")
            if part["realised"].nunique() > 2
        ]
        estimates.append(mean(slopes, f"on {workload}", 0.1 * of_workload(rows, rows[rows["workload"] == workload], _terms(leads))))
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
        estimates.append(mean([accuracy[seed] - time[seed] for seed in sorted(set(accuracy) & set(time))], label, least))
    statistic = f"share of time saved less share of accuracy lost at {percent(ratio)}"
    return beyond(estimates, Context(statistic, "%", 100, rows, ours))


def loss_steepens(frames: Frames, *, knee: float, end: float, panel: str | None = None, ours: str = OURS) -> Finding:
    """Points of accuracy lost per 10 % pruned between `knee` and `end`, less the same between the full data and `knee`, by seed."""
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
    """Accuracy of one side less that of the other in points, paired by seed; the rows show how fine accuracies are on this workload."""
    return mean(differences(mine, theirs, ACCURACY), label, of_workload(rows, mine))


def _notes(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _terms(leads: pd.DataFrame) -> float:
    """Sum of the squared coefficients of the accuracies in the slope of a line through the leads over their ratios, two per lead."""
    realised = leads.groupby("prune_ratio")["realised"].mean()
    return 2.0 / float(((realised - realised.mean()) ** 2).sum()) if realised.nunique() > 1 else 0.0


def shortfalls(rows: pd.DataFrame) -> str:
    """Which methods pruned less or more than asked: unequal budgets are unequal chances."""
    missed = []
    for here, runs in settings(rows[rows["status"] == FINISHED]):
        realised = float(runs["realised_prune_ratio"].mean())
        if here["prune_ratio"] == here["prune_ratio"] and abs(realised - here["prune_ratio"]) > SAME_RATIO:
            missed.append(f"{runs.iloc[0]['label']} {100 * realised:.1f} % of {percent(here['prune_ratio'])}")
    return "really pruned: " + ", ".join(missed) if missed else ""


def _leads(rows: pd.DataFrame, ours: str, rival: str) -> pd.DataFrame:
    """workload, prune_ratio (the rival's, as asked for), seed, realised (the rival's), lead (points, read off our own curve)."""
    done = rows[rows["status"] == FINISHED]
    records = []
    for workload, part in done.groupby("workload", sort=False):
        reached: list[float] = []
        for here, runs in settings(part[part["method"] == rival].sort_values("prune_ratio")):
            realised = float(runs["realised_prune_ratio"].mean())
            if any(abs(realised - other) < SAME_RATIO for other in reached):
                continue
            reached.append(realised)
            for run in runs.to_dict("records"):
                curve = part[part["method"].isin([ours, FULL]) & (part["seed"] == run["seed"])].sort_values("realised_prune_ratio")
                x, y = curve["realised_prune_ratio"].to_numpy(), curve[ACCURACY].to_numpy()
                if len(x) > 1 and x[0] <= run["realised_prune_ratio"] <= x[-1] and FULL in set(curve["method"]):
                    lead = float(np.interp(run["realised_prune_ratio"], x, y)) - run[ACCURACY]
                    at = {"workload": workload, "prune_ratio": here["prune_ratio"], "seed": run["seed"]}
                    records.append(at | {"realised": run["realised_prune_ratio"], "lead": lead})
    return pd.DataFrame(records, columns=["workload", "prune_ratio", "seed", "realised", "lead"])
