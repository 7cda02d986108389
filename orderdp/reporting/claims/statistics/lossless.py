"""Claims about what is saved at the largest prune ratio without loss."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pandas as pd

from orderdp.reporting.claims.statistics.deciding import Context, Finding, decide_one_sided
from orderdp.reporting.claims.statistics.intervals import NAN, Estimate, geometric_mean
from orderdp.reporting.claims.statistics.lossless_sweep import Sweep, sweep
from orderdp.reporting.claims.statistics.runs import FULL, ORDERDP, Frames, label_of, pick
from orderdp.reporting.claims.statistics.runs import pairs as paired
from orderdp.reporting.measures import CONFIDENCE
from orderdp.reporting.ratios import percent

PARTS = 5
"""Statements that each may err with a fifth of the 5 %: two limits of the ratio for each method, and the ratio of the
times."""


def lossless_time_ratio(frames: Frames, *, rival: str, method: str = ORDERDP) -> Finding:
    """Time of `method` over that of the rival, each at its largest ratio without loss, paired by seed: below 1?

    The same means choose the largest ratio and judge it. It therefore has an interval itself, from
    `lossless_sweep.exclusions`, and the interval of the time ratio covers every pair of ratios that the two intervals
    leave. A method that has no ratio without loss trains on the full data.
    """
    rows = pick(frames, [method, rival, FULL])
    times = f"time of {label_of(rows, method)} over that of {label_of(rows, rival)}"
    context = Context(f"{times}, each at its largest ratio without loss", "×", runs=rows, favours=method)
    return decide_one_sided(_by_workload(rows, method, rival, _over_all_pairs), context, threshold=1.0, side=-1)


def lossless_saving(frames: Frames, *, most: float, method: str = ORDERDP) -> Finding:
    """Time of `method` at its largest ratio without loss over that of the full data, paired by seed: below `most`?

    Args:
        frames: limited to the claim's experiments.
        most: share of the full data's time.
        method: its name.
    """
    rows = pick(frames, [method, FULL])
    statistic = f"time of {label_of(rows, method)} at its largest ratio without loss over that of the full data"
    context = Context(statistic, "×", runs=rows, favours=method)
    return decide_one_sided(_by_workload(rows, method, FULL, _over_all_pairs), context, threshold=most, side=-1)


def lossless_ratio_higher(frames: Frames, *, rival: str, method: str = ORDERDP) -> Finding:
    """Largest ratio without loss, as really pruned, of `method` less that of the rival, in points: above 0?

    The interval reaches from the method's lower limit less the rival's upper one to the opposite, each limit at a
    quarter of the 5 %.
    """
    rows = pick(frames, [method, rival, FULL])
    ratios = f"largest ratio without loss of {label_of(rows, method)} less that of {label_of(rows, rival)}"
    context = Context(f"{ratios}, really pruned", "points", runs=rows, favours=method)
    return decide_one_sided(_by_workload(rows, method, rival, _difference), context)


def _by_workload(
    rows: pd.DataFrame, method: str, rival: str, compare: Callable[[Sweep, Sweep, str], Estimate]
) -> list[Estimate]:
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        own, other = sweep(part, method), sweep(part, rival)
        words = _words(own) if rival == FULL else f"{_words(own)} against {_words(other)}"
        estimates.append(compare(own, other, f"on {workload} ({words})"))
    return estimates


def _difference(own: Sweep, other: Sweep, label: str) -> Estimate:
    limits = 4
    apart = {(i, j): 100 * (a - b) for (i, a), (j, b) in product(enumerate(own.realised), enumerate(other.realised))}

    def beyond_all(threshold: float, side: int) -> float:
        near = [pair for pair, value in apart.items() if side * (value - threshold) <= 0]
        return min(1.0, limits * max((min(own.exclusion[i], other.exclusion[j]) for i, j in near), default=0.0))

    def p(threshold: float) -> float:
        return min(beyond_all(threshold, -1), beyond_all(threshold, 1))

    level = (1 - CONFIDENCE) / limits
    kept = [apart[pair] for pair in product(own.kept(level), other.kept(level))]
    count = min(len(own.times[0]), len(other.times[0]))
    return Estimate(label, apart[own.chosen, other.chosen], min(kept), max(kept), count, p)


def _over_all_pairs(own: Sweep, other: Sweep, label: str) -> Estimate:
    """The time ratio at the two chosen ratios, with the range of the intervals at all pairs that are not excluded.

    By Bonferroni's inequality over PARTS statements the interval misses the true time ratio with a probability of 5 %
    at most. Its p-value is the smallest level at which that range lies wholly beyond the threshold.
    """
    times = product(enumerate(own.times), enumerate(other.times))
    pairs = {(i, j): geometric_mean([x / y for x, y in paired(a, b)]) for (i, a), (j, b) in times}
    center = pairs[own.chosen, other.chosen]

    def beyond_all(threshold: float, side: int) -> float:
        def one(i: int, j: int, pair: Estimate) -> float:
            apart = pair.p(threshold) if side * (pair.value - threshold) > 0 else 1.0
            return min(own.exclusion[i], other.exclusion[j], apart)

        return min(1.0, PARTS * max(one(i, j, pair) for (i, j), pair in pairs.items()))

    def p(threshold: float) -> float:
        return min(beyond_all(threshold, -1), beyond_all(threshold, 1))

    if center.low != center.low:
        return Estimate(label, center.value, NAN, NAN, center.count, lambda threshold: 1.0)
    # The range ends at the thresholds with p = 5 %; all pairs are within a factor of 1,000 of each other.
    level = 1 - CONFIDENCE
    low = _crossing(lambda threshold: beyond_all(threshold, 1) <= level, center.value / 1e3, center.value)
    high = _crossing(lambda threshold: beyond_all(threshold, -1) <= level, center.value * 1e3, center.value)
    return Estimate(label, center.value, low, high, center.count, p)


def _crossing(outside: Callable[[float], bool], far: float, near: float) -> float:
    """Where `outside` changes from true (at `far`) to false (at `near`), found by halving the logarithm."""
    for _ in range(40):
        middle = (far * near) ** 0.5
        far, near = (middle, near) if outside(middle) else (far, middle)
    return near


def _words(swept: Sweep) -> str:
    """`30 % [none, 40 %]`."""
    low, high = swept.limits((1 - CONFIDENCE) / PARTS)
    return f"{_percent(swept.ratios[swept.chosen])} [{_percent(low)}, {_percent(high)}]"


def _percent(ratio: float) -> str:
    return percent(ratio) if ratio else "none"
