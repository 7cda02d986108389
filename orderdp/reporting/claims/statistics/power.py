"""How large a difference must be for the seeds of a comparison to find it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import nctdtrinc, stdtrit

from orderdp.reporting.claims.statistics.intervals import NAN, Estimate
from orderdp.reporting.measures import CONFIDENCE

POWER = 0.8


def detectable(deviation: float, seeds: int, power: float = POWER) -> float:
    """Smallest true difference whose 95 % t interval lies wholly on its side of the threshold with this probability.

    With a true difference of d, sqrt(n) times the mean over the sample deviation has the noncentral t distribution with
    n - 1 degrees of freedom and noncentrality sqrt(n) d / deviation. The function solves for the d at which it exceeds
    the t quantile with the probability `power`.

    Args:
        deviation: true standard deviation of the paired differences, at least 0.
        seeds: number of pairs.
        power: in (0, 1).

    Returns:
        In the unit of the deviation; NaN for fewer than two seeds.

    Example:
        >>> round(detectable(0.3, 5), 2)
        0.5
    """
    if seeds < 2 or not deviation >= 0:
        return NAN
    quantile = float(stdtrit(seeds - 1, 0.5 + CONFIDENCE / 2))
    return float(nctdtrinc(seeds - 1, 1 - power, quantile)) * deviation / math.sqrt(seeds)


def pooled_deviation(estimates: Sequence[Estimate]) -> float:
    """Root of the mean variance of paired differences, weighted by degrees of freedom, as the intervals of t means show
    it.

    A deviation that was raised to the resolution of the measure counts as raised. NaN if no estimate has an interval.
    """
    known = [estimate for estimate in estimates if estimate.count > 1]
    if not known:
        return NAN
    squares = 0.0
    for estimate in known:
        error = (estimate.high - estimate.low) / 2 / float(stdtrit(estimate.count - 1, 0.5 + CONFIDENCE / 2))
        squares += (estimate.count - 1) * estimate.count * error**2
    return math.sqrt(squares / sum(estimate.count - 1 for estimate in known))


def smallest_detectable(estimates: Sequence[Estimate]) -> float:
    """The difference that one of several comparisons finds with a probability of POWER, in points; NaN if no estimate
    has an interval.

    Args:
        estimates: means of paired differences in points.
    """
    return detectable(pooled_deviation(estimates), min((estimate.count for estimate in estimates), default=0))


def power_text(smallest: float, seeds: int, threshold: str) -> str:
    """`with 5 seeds, one comparison finds a difference of 0.60 points from 0 with 80 % probability`; empty where that
    is not known."""
    if not smallest > 0:
        return ""
    difference = f"a difference of {smallest:.2f} points from {threshold}"
    return f"with {seeds} seeds, one comparison finds {difference} with {100 * POWER:.0f} % probability"
