"""Claims about the prune ratio, its split between exploring and exploiting, and time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from orderdp.reporting.evidence.accuracy import ACCURACY
from orderdp.reporting.evidence.deciding import Context, Finding, beyond, inside
from orderdp.reporting.evidence.intervals import geometric_mean, mean
from orderdp.reporting.evidence.runs import (
    FULL,
    OURS,
    Frames,
    NotRun,
    asked_for,
    by_seed,
    differences,
    measured,
    name_of,
    opponents,
    pairs,
    pick,
    place,
    quotients,
    rival_name,
    settings,
)  # fmt: skip
from orderdp.reporting.ratios import percent
from orderdp.reporting.results import FINISHED


def exact_ratio(frames: Frames, *, ours: str = OURS) -> Finding:
    """Largest deviation of the realised from the asked ratio over a seed's runs, in samples per epoch, against one
    sample."""
    rows = pick(frames, [ours])
    done = rows[rows["status"] == FINISHED]
    off = (done["realised_prune_ratio"] - done["prune_ratio"]).abs() * done["n"]
    off = off.round(6).groupby([done["workload"], done["seed"]]).max()
    estimates = [mean(part.tolist(), f"on {workload}") for workload, part in off.groupby(level=0)]
    if not estimates:
        raise NotRun(f"no run of {ours} finished")
    statistic = f"largest deviation of {name_of(rows, ours)} from the ratio asked for, in samples per epoch, over {len(done)} runs"
    return beyond(estimates, Context(statistic, "samples", runs=rows, favours=ours), threshold=1.0, side=-1)


def falls_short(frames: Frames, *, ours: str, ratio: float, margin: float) -> Finding:
    """Asked less realised prune ratio of a method, in points, against a margin."""
    rows = pick(frames, [ours], ratio)
    estimates = []
    for here, runs in settings(rows):
        realised = by_seed(runs, "realised_prune_ratio")
        estimates.append(mean([100 * (ratio - realised[seed]) for seed in sorted(realised)], f"on {here['workload']}"))
    statistic = f"asked ({percent(ratio)}) less realised prune ratio of {name_of(rows, ours)}"
    return beyond(estimates, Context(statistic, "points", runs=rows, favours=ours), threshold=margin)


def same_across_splits(frames: Frames, *, what: str, margin: float, panel: str, ours: str = OURS) -> Finding:
    """Equivalence of every two splits of one prune ratio, paired by seed.

    Args:
        frames: limited to the claim's experiments.
        what: "accuracy" (difference, margin in points) or "time" (ratio, margin as a share: 0.1 allows 1/1.1 to 1.1).
        margin: what still counts as the same.
        panel: of the experiment that varies the split alone.
        ours: method.
    """
    rows = pick(frames, [ours], panel=panel)
    estimates = []
    for (here, mine), (there, theirs) in combinations(settings(rows), 2):
        if here["workload"] != there["workload"] or abs(here["prune_ratio"] - there["prune_ratio"]) > 1e-9:
            continue
        label = f"s/n = {here['explore']:g} against {there['explore']:g}" + (
            f" on {here['workload']}" if rows["workload"].nunique() > 1 else ""
        )
        if what == "accuracy":
            estimates.append(mean(differences(mine, theirs, ACCURACY), label))
        else:
            estimates.append(geometric_mean(list(quotients(mine, theirs, "time_s").values()), label))
    if not estimates:
        raise NotRun("no two splits of one prune ratio are asked for at this scale")
    if what == "accuracy":
        return inside(
            estimates,
            Context("difference in accuracy between two splits", "points", runs=rows, favours=ours),
            -margin,
            margin,
        )
    return inside(
        estimates,
        Context("ratio of the times of two splits", "×", runs=rows, favours=ours),
        1 / (1 + margin),
        1 + margin,
    )


def time_falls(frames: Frames, *, panel: str | None = None, ours: str = OURS) -> Finding:
    """Slope, per seed, of time (in % of the full data's) over the realised prune ratio, the full data included: % per
    10 % pruned."""
    rows = pick(frames, [ours, FULL], panel=panel)
    estimates = []
    for workload, part in rows[rows["status"] == FINISHED].groupby("workload", sort=False):
        slopes = []
        for _, runs in part.groupby("seed"):
            full = runs.loc[runs["method"] == FULL, "time_s"]
            if len(full) and runs["realised_prune_ratio"].nunique() > 2:
                slopes.append(
                    0.1 * float(np.polyfit(runs["realised_prune_ratio"], runs["time_s"] / full.iloc[0], 1)[0])
                )
        estimates.append(mean(slopes, f"on {workload}"))
    if not estimates:
        raise NotRun("no run finished")
    context = Context("change in time per 10 % pruned, of the full data's time", "%", 100, rows, ours)
    return beyond(estimates, context, side=-1)


def time_ratio(
    frames: Frames,
    *,
    rivals: Sequence[str],
    ratios: float | Sequence[float] | None = None,
    threshold: float = 1.0,
    panel: str | None = None,
    ours: str = OURS,
) -> Finding:
    """Time (selection and training) of `ours` over that of each rival at each ratio, paired by seed: below a
    threshold?"""
    rows = pick(frames, [ours, *rivals], ratios, panel)
    estimates = [
        geometric_mean(list(quotients(mine, theirs, "time_s").values()), label)
        for label, mine, theirs in opponents(rows, ours, rivals)
    ]
    context = Context(
        f"time of {name_of(rows, ours)} over that of {rival_name(rows, rivals)}", "×", runs=rows, favours=ours
    )
    return beyond(estimates, context, threshold=threshold, side=-1)


def mean_time_ratio(frames: Frames, *, rival: str, ours: str = OURS) -> Finding:
    """Time of `ours` over that of the rival, geometric mean over the prune ratios asked for, paired by seed."""
    rows = pick(frames, [ours, rival])
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        logs: dict[int, list[float]] = {}
        for _, mine, theirs in opponents(part, ours, [rival]):
            for seed, quotient in quotients(mine, theirs, "time_s").items():
                logs.setdefault(seed, []).append(math.log(quotient))
        estimates.append(
            geometric_mean([math.exp(sum(values) / len(values)) for values in logs.values()], f"on {workload}")
        )
    statistic = f"time of {name_of(rows, ours)} over that of {name_of(rows, rival)}, geometric mean over the ratios"
    return beyond(estimates, Context(statistic, "×", runs=rows, favours=ours), threshold=1.0, side=-1)


def selection_cost(frames: Frames, *, most: float, ours: str = OURS) -> Finding:
    """Share of selection in the time of selection and training, at each ratio, against a largest share."""
    rows = pick(frames, [ours])
    rows = rows.assign(value=rows["selection_s"] / rows["time_s"])
    estimates = [mean(list(by_seed(runs, "value").values()), place(here, rows)) for here, runs in settings(rows)]
    statistic = f"share of selection in the time of {name_of(rows, ours)}"
    return beyond(estimates, Context(statistic, "%", 100, rows, ours), threshold=most, side=-1)


def time_to_accuracy(frames: Frames, *, rivals: Sequence[str], ratio: float, ours: str = OURS) -> Finding:
    """Time of `ours` over that of each rival until an accuracy that all reach: the lowest final accuracy of the seed's
    runs compared.

    Time is selection and training since the start, on straight lines between epochs.
    """
    rows = pick(frames, [ours, *rivals], ratio)
    timed = _timed(frames, rows, {ours, *rivals})
    estimates = [
        geometric_mean(list(quotients(mine, theirs, "value").values()), label)
        for label, mine, theirs in opponents(timed, ours, rivals)
    ]
    context = Context(
        f"time of {name_of(rows, ours)} to an accuracy that all reach, over that of {rival_name(rows, rivals)}",
        "×",
        runs=rows,
        favours=ours,
    )
    return beyond(estimates, context, threshold=1.0, side=-1)


def time_to_accuracy_gains(
    frames: Frames, *, rivals: Sequence[str], early: float, late: float, ours: str = OURS
) -> Finding:
    """That quotient of times at a larger prune ratio over the one at a smaller ratio, paired by seed: below 1 if the
    lead grows.

    Args:
        frames: limited to the claim's experiments.
        rivals: methods.
        early: the smaller ratio, as asked for.
        late: the larger one.
        ours: method.
    """
    rows = pick(frames, [ours, *rivals], [early, late])
    found: dict[str, dict[float, dict[int, float]]] = {}
    for ratio in (early, late):
        at = rows[asked_for(rows, ratio)]
        for label, mine, theirs in opponents(_timed(frames, at, {ours, *rivals}), ours, rivals):
            found.setdefault(label, {})[ratio] = quotients(mine, theirs, "value")
    estimates = []
    for label, of_ratio in found.items():
        both = pairs(of_ratio.get(late, {}), of_ratio.get(early, {}))
        estimates.append(geometric_mean([larger / smaller for larger, smaller in both], label))
    statistic = (
        f"time of {name_of(rows, ours)} to an accuracy that all reach, over that of {rival_name(rows, rivals)}: "
    )
    statistic += f"at {percent(late)} over that at {percent(early)}"
    return beyond(estimates, Context(statistic, "×", runs=rows, favours=ours), threshold=1.0, side=-1)


def _timed(frames: Frames, rows: pd.DataFrame, methods: set[str]) -> pd.DataFrame:
    """The runs of the seeds in which all methods finished, with the time to the lowest final accuracy among them as
    `value`."""
    parts = []
    for _, runs in rows[rows["status"] == FINISHED].groupby(["workload", "seed"], sort=False):
        if set(runs["method"]) >= methods:
            target = float(runs[ACCURACY].min())
            parts.append(measured(runs, frames["histories"], lambda history, target=target: _reached(history, target)))
    if not parts:
        raise NotRun("in no seed did all methods finish")
    return pd.concat(parts)


def _reached(history: pd.DataFrame, target: float) -> float:
    """Seconds until the accuracy first reaches the target."""
    known = history.dropna(subset=[ACCURACY])
    accuracy, time = [0.0, *known[ACCURACY]], [0.0, *known["time_s"]]
    for index in range(1, len(accuracy)):
        if accuracy[index] >= target:
            climbed = (target - accuracy[index - 1]) / max(accuracy[index] - accuracy[index - 1], 1e-12)
            return float(time[index - 1] + climbed * (time[index] - time[index - 1]))
    return float("nan")
