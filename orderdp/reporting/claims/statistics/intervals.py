"""Estimates with 95 % intervals, each from one value per seed, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri, stdtr, stdtrit

from orderdp.reporting.measures import CONFIDENCE

NAN = float("nan")
DIGITS = {"points": (2, True), "%": (1, False), "R": (2, True), "z": (2, True), "×": (2, False)}
"""Unit -> digits after the point, and whether a sign is always shown. Other numbers have three or four significant
digits."""

SILENT = ("R", "z")
"""Units that only choose the digits."""


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


def spread_ratio(method: Sequence[float], rival_runs: Sequence[float], label: str = "") -> Estimate:
    """Ratio of two sample standard deviations of paired values.

    Pitman (1939) and Morgan (1939): the sum and the difference of a pair are uncorrelated iff the spreads are equal.
    Solved for the ratio r: sinh(log r - log r0) sqrt((n-2)/(1-R^2)) has a t distribution with n-2 degrees of freedom, R
    the correlation of the pairs. The test assumes normal values; unlike the F test it knows that runs of one seed are
    alike.
    """
    x, y = np.asarray(method, dtype=float), np.asarray(rival_runs, dtype=float)
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


def number_text(value: float, unit: str) -> str:
    """A number with the digits that its unit deserves, and a true minus; a dash for none."""
    if value != value:
        return "–"
    digits, always = DIGITS.get(unit, (None, False))
    size = abs(value)
    plain = ",.0f" if size >= 1000 else ".4g" if size >= 1 else ".3g"
    text = f"{size:{plain}}" if digits is None else f"{size:.{digits}f}"
    sign = "" if float(text.replace(",", "")) == 0 else "−" if value < 0 else "+" if always else ""
    return sign + text


def interval_text(value: float, low: float, high: float, unit: str) -> str:
    """`−0.31 [−1.90, +1.28] points`, `×0.85 [0.81, 0.90]`."""
    if value != value:
        return "–"
    interval = "" if low != low else f" [{number_text(low, unit)}, {number_text(high, unit)}]"
    if unit == "×":
        return "×" + number_text(value, unit) + interval
    return number_text(value, unit) + interval + ("" if unit in SILENT or not unit else f" {unit}")
