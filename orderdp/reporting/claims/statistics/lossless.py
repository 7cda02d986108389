"""Claims about what is saved at the largest prune ratio without loss."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from orderdp.reporting.claims.statistics.deciding import Context, Finding, decide_one_sided
from orderdp.reporting.claims.statistics.intervals import NAN, Estimate, geometric_mean
from orderdp.reporting.claims.statistics.lossless_sweep import Sweep, sweep
from orderdp.reporting.claims.statistics.runs import FULL, ORDERDP, Frames, NotRun, by_seed, label_of, pick
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
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        own_sweep, rival_sweep = sweep(part, method), sweep(part, rival)
        estimates.append(
            _over_all_pairs(
                own_sweep, rival_sweep, f"on {workload} ({_words(own_sweep)} against {_words(rival_sweep)})"
            )
        )
    if not estimates:
        raise NotRun(f"no runs of {method} and {rival} that could be compared")
    statistic = (
        f"time of {label_of(rows, method)} over that of {label_of(rows, rival)}, each at its largest ratio without loss"
    )
    return decide_one_sided(estimates, Context(statistic, "×", runs=rows, favours=method), threshold=1.0, side=-1)


def lossless_saving(frames: Frames, *, most: float, method: str = ORDERDP) -> Finding:
    """Time of `method` at its largest ratio without loss over that of the full data, paired by seed: below `most`?

    Args:
        frames: limited to the claim's experiments.
        most: share of the full data's time.
        method: its name.
    """
    rows = pick(frames, [method, FULL])
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        own_sweep, full = sweep(part, method), by_seed(part[part["method"] == FULL], "time_s")
        whole = Sweep([0.0], [0.0], [full], [1.0], 0)
        estimates.append(_over_all_pairs(own_sweep, whole, f"on {workload} ({_words(own_sweep)})"))
    statistic = f"time of {label_of(rows, method)} at its largest ratio without loss over that of the full data"
    return decide_one_sided(estimates, Context(statistic, "×", runs=rows, favours=method), threshold=most, side=-1)


def lossless_ratio_higher(frames: Frames, *, rival: str, method: str = ORDERDP) -> Finding:
    """Largest ratio without loss, as really pruned, of `method` less that of the rival, in points: above 0?

    The interval reaches from the method's lower limit less the rival's upper one to the opposite, each limit at a
    quarter of the 5 %.
    """
    rows = pick(frames, [method, rival, FULL])
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        own_sweep, rival_sweep = sweep(part, method), sweep(part, rival)
        estimates.append(
            _difference(own_sweep, rival_sweep, f"on {workload} ({_words(own_sweep)} against {_words(rival_sweep)})")
        )
    statistic = (
        f"largest ratio without loss of {label_of(rows, method)} less that of {label_of(rows, rival)}, really pruned"
    )
    return decide_one_sided(estimates, Context(statistic, "points", runs=rows, favours=method))


def _difference(own_sweep: Sweep, rival_sweep: Sweep, label: str) -> Estimate:
    limits = 4
    apart = {
        (i, j): 100 * (a - b)
        for (i, a), (j, b) in product(enumerate(own_sweep.realised), enumerate(rival_sweep.realised))
    }

    def beyond_all(threshold: float, side: int) -> float:
        left = [
            min(own_sweep.exclusion[i], rival_sweep.exclusion[j])
            for (i, j), value in apart.items()
            if side * (value - threshold) <= 0
        ]
        return min(1.0, limits * max(left, default=0.0))

    count = min(len(times) for times in (own_sweep.times[0], rival_sweep.times[0]))
    level = (1 - CONFIDENCE) / limits
    kept = [apart[i, j] for i, j in product(own_sweep.kept(level), rival_sweep.kept(level))]
    value = apart[own_sweep.chosen, rival_sweep.chosen]
    return Estimate(
        label,
        value,
        min(kept),
        max(kept),
        count,
        lambda threshold: min(beyond_all(threshold, -1), beyond_all(threshold, 1)),
    )


def _over_all_pairs(own_sweep: Sweep, rival_sweep: Sweep, label: str) -> Estimate:
    """The time ratio at the two chosen ratios, with the range of the intervals at all pairs that are not excluded.

    By Bonferroni's inequality over PARTS statements the interval misses the true time ratio with a probability of 5 %
    at most. Its p-value is the smallest level at which that range lies wholly beyond the threshold.
    """
    times = product(enumerate(own_sweep.times), enumerate(rival_sweep.times))
    pairs = {(i, j): geometric_mean([x / y for x, y in paired(a, b)]) for (i, a), (j, b) in times}
    center = pairs[own_sweep.chosen, rival_sweep.chosen]

    def beyond_all(threshold: float, side: int) -> float:
        def one(i: int, j: int, pair: Estimate) -> float:
            apart = pair.p(threshold) if side * (pair.value - threshold) > 0 else 1.0
            return min(own_sweep.exclusion[i], rival_sweep.exclusion[j], apart)

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
