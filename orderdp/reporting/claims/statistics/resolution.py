"""How fine a measure is: accuracies are multiples of 100 / (number of test samples), so that equal values are no proof
of equal means."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import pandas as pd

ACCURACY = "test_accuracy"
MOST_SAMPLES = 100_000
"""Test samples up to which the step of an accuracy is looked for; a finer step does not matter beside the spread of
seeds."""


def resolution(accuracies: Iterable[float]) -> float:
    """Step of a measured accuracy in points, derived from the values themselves.

    It is 100 / N with the smallest N of which all values are whole multiples. N divides the number of test samples if
    values share a divisor by chance: the step is then too large rather than too small, which errs on the safe side.

    Args:
        accuracies: in %; missing values are left out. All that were measured on one test set, because many values show
            the step best.

    Returns:
        Points; 0 if there are no values or no N up to 100,000 fits, as with values that were not counted.

    Example:
        >>> round(resolution([95.0, 95.277777777777777, 94.7222222222222222]), 4)
        0.2778
    """
    shares = np.unique([value / 100 for value in accuracies if value == value])
    return _resolution(tuple(shares.tolist())) if len(shares) else 0.0


@lru_cache(maxsize=64)  # all comparisons of a claim ask it of the same runs
def _resolution(shares: tuple[float, ...]) -> float:
    candidates = np.arange(1, MOST_SAMPLES + 1)
    for share in shares:
        counts = share * candidates
        # Double precision is off by less than 1e-10 even in 100,000 samples; values that were not counted rarely come
        # as near.
        candidates = candidates[np.abs(counts - np.round(counts)) < 1e-8]
        if len(candidates) == 0:
            return 0.0
    return 100 / float(candidates[0])


def least_deviation(accuracies: Iterable[float], terms: float = 2.0) -> float:
    """Smallest standard deviation that a sum of accuracies can be credited with, in points.

    An accuracy is a true chance rounded to steps of `resolution`, and rounding adds a variance of step^2 / 12 (Sheppard
    1898). A sample of equal values has a deviation of 0 only because all fell into one step, so the deviation is never
    taken as less than that of the rounding alone.

    Simulated for two equal methods with 360 and 600 test samples, 3, 5 and 10 seeds and deviations of 0.1 to 1 point: a
    t test without this floor rejects up to 2.8 % of cases at the level of 0.1 % (which is what Holm's correction asks
    of 51 comparisons); with it, at most 0.12 % there and at most 5.3 % (Monte Carlo error 0.2) at the level of 5 %.

    Args:
        accuracies: of all runs on the same test set, in %.
        terms: sum of the squared coefficients of the accuracies in one value; 2 for the difference of two.

    Returns:
        Points.
    """
    return resolution(accuracies) * math.sqrt(terms / 12)


def of_workload(rows: pd.DataFrame, runs: pd.DataFrame, terms: float = 2.0) -> float:
    """`least_deviation` over all of the rows that have the workload of these runs."""
    return least_deviation(rows.loc[rows["workload"].isin(set(runs["workload"])), ACCURACY], terms)
