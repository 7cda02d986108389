"""Claims about the time of a training, and the time to an accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from orderdp.reporting.claims.statistics.accuracy import ACCURACY
from orderdp.reporting.claims.statistics.deciding import Context, Finding, decide_one_sided
from orderdp.reporting.claims.statistics.intervals import geometric_mean, mean
from orderdp.reporting.claims.statistics.runs import (
    FULL,
    ORDERDP,
    Frames,
    NotRun,
    by_seed,
    has_ratio,
    label_of,
    measured,
    opponents,
    pairs,
    pick,
    place,
    quotients,
    ratio_estimates,
    rival_label,
    settings,
)
from orderdp.reporting.ratios import percent
from orderdp.reporting.results import FINISHED


def time_falls(frames: Frames, *, panel: str | None = None, method: str = ORDERDP) -> Finding:
    """Slope, per seed, of time (in % of the full data's) over the realised prune ratio, the full data included: % per
    10 % pruned."""
    rows = pick(frames, [method, FULL], panel=panel)
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
    context = Context("change in time per 10 % pruned, of the full data's time", "%", 100, rows, method)
    return decide_one_sided(estimates, context, side=-1)


def time_ratio(
    frames: Frames,
    *,
    rivals: Sequence[str],
    ratios: float | Sequence[float] | None = None,
    threshold: float = 1.0,
    panel: str | None = None,
    method: str = ORDERDP,
) -> Finding:
    """Time (selection and training) of `method` over that of each rival at each ratio, paired by seed: below a
    threshold?"""
    rows = pick(frames, [method, *rivals], ratios, panel)
    statistic = f"time of {label_of(rows, method)} over that of {rival_label(rows, rivals)}"
    context = Context(statistic, "×", runs=rows, favours=method)
    estimates = ratio_estimates(rows, method, rivals, "time_s")
    return decide_one_sided(estimates, context, threshold=threshold, side=-1)


def mean_time_ratio(frames: Frames, *, rival: str, method: str = ORDERDP) -> Finding:
    """Time of `method` over that of the rival, geometric mean over the prune ratios of the grid, paired by seed."""
    rows = pick(frames, [method, rival])
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        logs: dict[int, list[float]] = {}
        for _, runs, rival_runs in opponents(part, method, [rival]):
            for seed, quotient in quotients(runs, rival_runs, "time_s").items():
                logs.setdefault(seed, []).append(math.log(quotient))
        estimates.append(
            geometric_mean([math.exp(sum(values) / len(values)) for values in logs.values()], f"on {workload}")
        )
    statistic = f"time of {label_of(rows, method)} over that of {label_of(rows, rival)}, geometric mean over the ratios"
    return decide_one_sided(estimates, Context(statistic, "×", runs=rows, favours=method), threshold=1.0, side=-1)


def selection_cost(frames: Frames, *, most: float, method: str = ORDERDP) -> Finding:
    """Share of selection in the time of selection and training, at each ratio, against a largest share."""
    rows = pick(frames, [method])
    rows = rows.assign(value=rows["selection_s"] / rows["time_s"])
    estimates = [mean(list(by_seed(runs, "value").values()), place(setting, rows)) for setting, runs in settings(rows)]
    statistic = f"share of selection in the time of {label_of(rows, method)}"
    return decide_one_sided(estimates, Context(statistic, "%", 100, rows, method), threshold=most, side=-1)


def time_to_accuracy(frames: Frames, *, rivals: Sequence[str], ratio: float, method: str = ORDERDP) -> Finding:
    """Time of `method` over that of each rival until an accuracy that all reach: the lowest final accuracy of the
    seed's runs compared.

    Time is selection and training since the start, on straight lines between epochs.
    """
    rows = pick(frames, [method, *rivals], ratio)
    estimates = ratio_estimates(_timed(frames, rows, {method, *rivals}), method, rivals)
    context = Context(_time_to_accuracy(rows, method, rivals), "×", runs=rows, favours=method)
    return decide_one_sided(estimates, context, threshold=1.0, side=-1)


def time_to_accuracy_gains(
    frames: Frames, *, rivals: Sequence[str], early: float, late: float, method: str = ORDERDP
) -> Finding:
    """That quotient of times at a larger prune ratio over the one at a smaller ratio, paired by seed: below 1 if the
    lead grows.

    Args:
        frames: limited to the claim's experiments.
        rivals: methods.
        early: the smaller ratio, as in the grid.
        late: the larger one.
        method: its name.
    """
    rows = pick(frames, [method, *rivals], [early, late])
    of_label: dict[str, dict[float, dict[int, float]]] = {}
    for ratio in (early, late):
        at = rows[has_ratio(rows, ratio)]
        for label, runs, rival_runs in opponents(_timed(frames, at, {method, *rivals}), method, rivals):
            of_label.setdefault(label, {})[ratio] = quotients(runs, rival_runs, "value")
    estimates = []
    for label, of_ratio in of_label.items():
        both = pairs(of_ratio.get(late, {}), of_ratio.get(early, {}))
        estimates.append(geometric_mean([larger / smaller for larger, smaller in both], label))
    statistic = f"{_time_to_accuracy(rows, method, rivals)}: at {percent(late)} over that at {percent(early)}"
    return decide_one_sided(estimates, Context(statistic, "×", runs=rows, favours=method), threshold=1.0, side=-1)


def _time_to_accuracy(rows: pd.DataFrame, method: str, rivals: Sequence[str]) -> str:
    return f"time of {label_of(rows, method)} to an accuracy that all reach, over that of {rival_label(rows, rivals)}"


def _timed(frames: Frames, rows: pd.DataFrame, methods: set[str]) -> pd.DataFrame:
    """The runs of the seeds in which all methods finished, with the time to the lowest final accuracy among them as
    `value`."""
    parts = []
    for _, runs in rows[rows["status"] == FINISHED].groupby(["workload", "seed"], sort=False):
        if set(runs["method"]) >= methods:
            target = float(runs[ACCURACY].min())
            parts.append(measured(runs, frames["histories"], partial(_reached, target=target)))
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
