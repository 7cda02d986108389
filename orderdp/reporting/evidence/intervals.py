"""Estimates with 95 % intervals, each from one value per seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri, stdtr, stdtrit

from orderdp.reporting.measures import CONFIDENCE

NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number, its interval, and how improbable a threshold is.

    `low` and `high` are NaN where there are too few values. `p(threshold)` is the two-sided p-value of the hypothesis
    that the true number is the threshold; the interval holds exactly the thresholds with p >= 5 %.
    """

    label: str
    value: float
    low: float
    high: float
    count: int
    p: Callable[[float], float]


def mean(values: Sequence[float], label: str = "", least: float = 0.0) -> Estimate:
    """Arithmetic mean with its t interval.

    Args:
        values: one per seed; NaN is left out.
        label: of the comparison.
        least: standard deviation below which that of the values is not believed, in their unit; see
            `resolution.least_deviation`.
    """
    return _student(values, label, lambda x: x, lambda x: x, least)


def geometric_mean(values: Sequence[float], label: str = "") -> Estimate:
    """Geometric mean of positive values (ratios) with the t interval of their logarithms."""
    return _student(values, label, _log, math.exp)


def correlation(values: Sequence[float], label: str = "") -> Estimate:
    """Mean correlation: average and t interval of Fisher's z, so that nothing leaves [-1, 1]."""
    return _student(values, label, fisher, math.tanh)


def fisher(r: float) -> float:
    """Fisher's z = artanh R. A correlation of exactly 1 counts as 1 - 1e-12, because its z is infinite."""
    return math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r)))


def normal(value: float, half_width: float, count: int, label: str = "") -> Estimate:
    """An estimate from very many values, given with half of its 95 % interval."""
    quantile = float(ndtri(0.5 + CONFIDENCE / 2))

    def p(threshold: float) -> float:
        return (
            2 * float(ndtr(-abs(value - threshold) * quantile / half_width))
            if half_width
            else float(value == threshold)
        )

    return Estimate(label, value, value - half_width, value + half_width, count, p)


def spread_ratio(ours: Sequence[float], theirs: Sequence[float], label: str = "") -> Estimate:
    """Ratio of two sample standard deviations of paired values.

    Pitman (1939) and Morgan (1939): ours + theirs and ours - theirs are uncorrelated iff the spreads are equal. Solved
    for the ratio r: sinh(log r - log r0) sqrt((n-2)/(1-R^2)) has a t distribution with n-2 degrees of freedom, R the
    correlation of the pairs. Made for normal values; unlike the F test it knows that runs of one seed are alike.
    """
    x, y = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if len(x) < 3 or x.std() == 0 or y.std() == 0:
        return Estimate(label, NAN, NAN, NAN, len(x), lambda threshold: 1.0)
    center = math.log(x.std(ddof=1) / y.std(ddof=1))
    freedom, r = len(x) - 2, float(np.corrcoef(x, y)[0, 1])
    error = math.sqrt(max(1 - r**2, 0.0) / freedom)
    reach = math.asinh(_quantile(freedom) * error)

    def p(threshold: float) -> float:
        return _two_sided(math.sinh(center - _log(threshold)), error, freedom)

    return Estimate(label, math.exp(center), math.exp(center - reach), math.exp(center + reach), len(x), p)


def share(successes: int, trials: int, label: str = "") -> Estimate:
    """A proportion with the exact interval of Clopper and Pearson (1934)."""
    tail = (1 - CONFIDENCE) / 2
    if trials == 0:
        return Estimate(label, NAN, NAN, NAN, 0, lambda threshold: 1.0)
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return Estimate(
        label, successes / trials, low, high, trials, lambda threshold: 1.0 if low <= threshold <= high else 0.0
    )


def _student(
    values: Sequence[float],
    label: str,
    forth: Callable[[float], float],
    back: Callable[[float], float],
    least: float = 0.0,
) -> Estimate:
    x = np.array([forth(float(value)) for value in values if value == value])
    if len(x) == 0:
        return Estimate(label, NAN, NAN, NAN, 0, lambda threshold: 1.0)
    center = float(x.mean())
    if len(x) == 1:
        return Estimate(label, back(center), NAN, NAN, 1, lambda threshold: 1.0)
    # Equal values have no spread; that of rounding errors would be mistaken for certainty of the last digit.
    deviation = 0.0 if np.ptp(x) <= 1e-12 * max(1.0, abs(center)) else float(x.std(ddof=1))
    error, freedom = max(deviation, least) / math.sqrt(len(x)), len(x) - 1
    reach = _quantile(freedom) * error

    def p(threshold: float) -> float:
        return _two_sided(center - forth(threshold), error, freedom)

    return Estimate(label, back(center), back(center - reach), back(center + reach), len(x), p)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _quantile(freedom: int) -> float:
    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def _two_sided(distance: float, error: float, freedom: int) -> float:
    if error == 0:
        return 1.0 if distance == 0 else 0.0
    return 2 * float(stdtr(freedom, -abs(distance) / error))


def holm(ps: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979), in the order given."""
    order = sorted(range(len(ps)), key=lambda index: ps[index])
    adjusted, largest = [1.0] * len(ps), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - place) * ps[index]))
        adjusted[index] = largest
    return adjusted
