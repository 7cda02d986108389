"""Claims about the course of training: gradient norms, fluctuation, stability over runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from orderdp.reporting.claims.statistics.accuracy import ACCURACY
from orderdp.reporting.claims.statistics.deciding import FEWEST, INCONCLUSIVE, Context, Finding, decide_one_sided
from orderdp.reporting.claims.statistics.intervals import correlation, fisher, mean, share, spread_ratio
from orderdp.reporting.claims.statistics.runs import (
    FULL,
    Frames,
    by_seed,
    differences,
    label_of,
    measured,
    opponents,
    pairs,
    pick,
    place,
    quotients,
    ratio_estimates,
    settings,
)
from orderdp.reporting.measures import PHASES, in_phase, pearson, pooled, rolling_window
from orderdp.reporting.results import DIVERGED, FINISHED

NORMS = {"raw": "grad_norm_mean", "normalised": "grad_norm_normalized_mean"}
"""What a norm is -> its column: as recorded, or divided by the mean weight of the batch."""


def norm_accuracy(frames: Frames, *, threshold: float, of: str = FULL) -> Finding:
    """Pearson's R of test accuracy and mean gradient norm over the epochs of each run, averaged by Fisher's z; below a
    threshold?"""
    rows = measured(pick(frames, [of]), frames["histories"], _pearson)
    estimates = [
        correlation(list(by_seed(runs, "value").values()), f"on {setting['workload']}")
        for setting, runs in settings(rows)
    ]
    statistic = f"Pearson's R of accuracy and gradient norm, {label_of(rows, of)}"
    return decide_one_sided(estimates, Context(statistic, "R", runs=rows, favours=of), threshold=threshold, side=-1)


def norm_accuracy_weaker(frames: Frames, *, method: str, than: str = FULL) -> Finding:
    """|Fisher's z| of that correlation under `method` less that under `than`, paired by seed: below 0 if the
    relation is weaker."""
    rows = measured(pick(frames, [method, than]), frames["histories"], lambda history: abs(fisher(_pearson(history))))
    estimates = [
        mean(differences(runs, rival_runs, "value"), label)
        for label, runs, rival_runs in opponents(rows, method, [than])
    ]
    statistic = f"|z| of the correlation, {label_of(rows, method)} less {label_of(rows, than)}"
    return decide_one_sided(estimates, Context(statistic, "z", runs=rows, favours=method), side=-1)


def norm_ratio(frames: Frames, *, method: str, than: str, norm: str) -> Finding:
    """Gradient norm over the whole training, ratio of the means over steps, paired by seed: above 1?"""
    rows = measured(pick(frames, [method, than]), frames["histories"], _mean_norm(norm))
    return _ratio(rows, method, than, f"{norm} gradient norm", above=True)


def norm_shift_larger(frames: Frames, *, method: str, than: str, norm: str) -> Finding:
    """|log of the norm over the full data's|, of `method` less that of `than`, paired by seed: above 0?"""
    rows = measured(pick(frames, [method, than, FULL]), frames["histories"], _mean_norm(norm))
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        runs, rival_runs, full = (part[part["method"] == name] for name in (method, than, FULL))
        a, b = quotients(runs, full, "value"), quotients(rival_runs, full, "value")
        estimates.append(mean([abs(math.log(x)) - abs(math.log(y)) for x, y in pairs(a, b)], f"on {workload}"))
    statistic = f"shift of the {norm} norm (log, from full data), {label_of(rows, method)} less {label_of(rows, than)}"
    return decide_one_sided(estimates, Context(statistic, runs=rows, favours=method))


def rolling_ratio(frames: Frames, *, method: str, than: str, norm: str, above: bool = True) -> Finding:
    """Mean rolling standard deviation of the norm over epochs (the window of Figure 1c), ratio paired by seed: above
    (or below) 1?"""

    def measure(history: pd.DataFrame) -> float:
        return float(history[NORMS[norm]].rolling(rolling_window(len(history))).std().mean())

    rows = measured(pick(frames, [method, than]), frames["histories"], measure)
    return _ratio(rows, method, than, f"rolling deviation of the {norm} norm", above)


def jitter_ratio(frames: Frames, *, method: str, than: str, above: bool = True) -> Finding:
    """Mean absolute second difference of the test accuracy over epochs, ratio paired by seed: above (or below) 1?

    Second differences are blind to a steady rise, and see what goes up and down.
    """

    def measure(history: pd.DataFrame) -> float:
        return float(history[ACCURACY].dropna().diff().diff().abs().mean())

    rows = measured(pick(frames, [method, than]), frames["histories"], measure)
    return _ratio(rows, method, than, "fluctuation of the accuracy from epoch to epoch", above)


def oscillation_ratio(frames: Frames, *, method: str, than: str, start: float, end: float, relative: bool) -> Finding:
    """Standard deviation of the gradient norm over the steps of a phase of training, ratio paired by seed: below 1?

    Args:
        frames: limited to the claim's experiments.
        method: the method that is claimed to oscillate less.
        than: the other.
        start: of the phase, as a share of the training.
        end: of the phase.
        relative: divide by the mean over the same steps: blind to a common factor on all gradients.
    """

    def measure(history: pd.DataFrame) -> float:
        part = history[in_phase(history["progress"], start, end)]
        if part.empty:
            return float("nan")
        center, deviation = pooled(part["grad_norm_mean"], part["grad_norm_std"], part["steps"])
        return deviation / center if relative else deviation

    rows = measured(pick(frames, [method, than]), frames["histories"], measure)
    phase = f"{100 * start:g}–{100 * end:g} % of training"
    what = f"{'relative ' if relative else ''}deviation of the gradient norm over steps at {phase}"
    return _ratio(rows, method, than, what, above=False, any_ratio=True)


def spread_smaller(frames: Frames, *, method: str, than: str, phases: bool = False) -> Finding:
    """Standard deviation of the accuracy over runs, of `method` over that of `than`: below 1?

    Pitman and Morgan's paired test, see `intervals.spread_ratio`.

    Args:
        frames: limited to the claim's experiments.
        method: the method that is claimed to vary less.
        than: the other.
        phases: compare the means over each phase of Table 9 instead of the final accuracies.
    """
    rows = pick(frames, [method, than])
    measures = {"": rows.assign(value=rows[ACCURACY])}
    if phases:
        measures = {
            f"{name} % of training": measured(rows, frames["histories"], partial(_mean_accuracy, start=start, end=end))
            for name, start, end in PHASES
        }
    estimates = []
    for phase, part in measures.items():
        for label, runs, rival_runs in opponents(part, method, [than], any_ratio=True):
            both = pairs(by_seed(runs, "value"), by_seed(rival_runs, "value"))
            estimates.append(spread_ratio([a for a, _ in both], [b for _, b in both], phase or label))
    what = "accuracy in a phase of training" if phases else "final accuracy"
    statistic = f"std of the {what} over runs, {label_of(rows, method)} over {label_of(rows, than)}"
    return decide_one_sided(estimates, Context(statistic, "×", runs=rows, favours=method), threshold=1.0, side=-1)


def fails(frames: Frames, *, of: Sequence[str], never: bool, most: float = 1 / 3, least: float = 0.5) -> Finding:
    """Share of the seeds in which a run of some methods failed to converge, with Clopper and Pearson's interval.

    A run has failed if its loss became infinite or undefined, or if it ends below a share of the accuracy of the full
    data (mean over the seeds, same workload). Runs of one seed share initial weights and order, so that the seed is
    what is counted.

    Args:
        frames: limited to the claim's experiments.
        of: methods.
        never: the claim is that none fails: contradicted by any that did, supported if the interval stays below `most`.
            Otherwise that some do: supported by any that did, contradicted if the interval stays below `most` and none
            did.
        most: share of the seeds.
        least: share of the full data's accuracy.
    """
    rows = pick(frames, of)
    results = frames["results"]
    full = results[(results["method"] == FULL) & (results["status"] == FINISHED)].groupby("workload")[ACCURACY].mean()
    low = rows[ACCURACY] < least * rows["workload"].map(full)
    failed = rows[(rows["status"] == DIVERGED) | low]
    seeds, lost = rows["seed"].nunique(), failed["seed"].nunique()
    what = f"share of the seeds in which a run of {label_of(rows, of[0])} failed to converge"
    context = Context(what, "%", 100, rows, claimed="0" if never else "above 0", notes=(_failures(failed),))
    finding = decide_one_sided([share(lost, seeds)], context, 0.0 if lost else most, side=-1 if never else 1)
    if seeds < FEWEST:
        return replace(finding, verdict=INCONCLUSIVE, reason=f"too few seeds: {seeds}, at least {FEWEST} are needed")
    return finding


def _failures(failed: pd.DataFrame) -> str:
    """`failed: 2 of InfoBatch at 70 %`."""
    parts = [f"{len(runs)} of {runs.iloc[0]['label']} {place(setting, runs)}" for setting, runs in settings(failed)]
    return f"failed: {', '.join(parts)}" if parts else ""


def _mean_accuracy(history: pd.DataFrame, start: float, end: float) -> float:
    return float(history.loc[in_phase(history["progress"], start, end), ACCURACY].mean())


def _ratio(rows: pd.DataFrame, method: str, than: str, what: str, above: bool, any_ratio: bool = False) -> Finding:
    """Ratio of the `value` of two methods, paired by seed, against 1."""
    context = Context(f"{what}, {label_of(rows, method)} over {label_of(rows, than)}", "×", runs=rows, favours=method)
    estimates = ratio_estimates(rows, method, [than], any_ratio=any_ratio)
    return decide_one_sided(estimates, context, threshold=1.0, side=1 if above else -1)


def _pearson(history: pd.DataFrame) -> float:
    return pearson(history[ACCURACY], history["grad_norm_mean"])[0]


def _mean_norm(norm: str) -> Callable[[pd.DataFrame], float]:
    def measure(history: pd.DataFrame) -> float:
        known = history.dropna(subset=[NORMS[norm]])
        return float((known[NORMS[norm]] * known["steps"]).sum() / known["steps"].sum())

    return measure
