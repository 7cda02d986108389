"""The resolution of accuracies: equal differences are no certainty, and the t test holds its level on counted
accuracies."""

import math

import numpy as np
import pandas as pd
import pytest

from orderdp.reporting.claims.statistics import accuracy, intervals, resolution
from orderdp.reporting.claims.statistics.deciding import INCONCLUSIVE


@pytest.mark.parametrize("samples", [360, 600, 10_000, 50_000])
def test_the_step_is_found_in_counted_accuracies(samples):
    counts = np.random.default_rng(1).integers(int(0.8 * samples), samples, 30)
    assert resolution.resolution([100 * int(count) / samples for count in counts]) == pytest.approx(100 / samples)


def test_the_step_is_never_too_small_and_none_without_counting():
    few = resolution.resolution([100 * count / 600 for count in (570, 576, 582)])
    assert few >= 100 / 600 and (few * 600 / 100) == pytest.approx(round(few * 6))
    assert resolution.resolution([]) == resolution.resolution([float("nan")]) == 0.0
    assert resolution.resolution(90 + np.random.default_rng(1).random(5)) == 0.0


def test_three_equal_differences_decide_nothing():
    step = 100 / 360
    least = resolution.least_deviation([100 * count / 360 for count in range(300, 360)])
    assert least == pytest.approx(step / math.sqrt(6))
    estimate = intervals.mean([-step] * 3, least=least)
    # t = step / (step / sqrt(6) / sqrt(3)) = sqrt(18) with 2 degrees of freedom
    assert estimate.low < -step < estimate.high and estimate.p(0.0) == pytest.approx(1 - math.sqrt(18) / math.sqrt(20))
    rows = [
        {
            "run": f"{method}-{seed}",
            "workload": "digits",
            "method": method,
            "label": method,
            "prune_ratio": 0.3,
            "explore": 0.5,
            "panel": "",
            "seed": seed,
            "status": "finished",
            "test_accuracy": 100 * (count + seed) / 360,
            "realised_prune_ratio": 0.3,
        }
        for method, count in (("orderdp", 340), ("random", 341))
        for seed in range(3)
    ]
    finding = accuracy.higher({"results": pd.DataFrame(rows)}, rivals=["random"])
    assert finding.verdict == INCONCLUSIVE and finding.low < finding.value < finding.high


@pytest.mark.parametrize("samples", [360, 600])
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("deviation", [0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("level", [0.05, 0.05 / 51])
def test_the_level_holds_on_counted_accuracies(samples, seeds, deviation, level):
    """Two equal methods; 0.05 / 51 is what Holm's correction asks of the smallest of 51 comparisons."""
    worlds, rng = 2000, np.random.default_rng(seeds)
    step = 100 / samples
    truth = 90 + rng.uniform(0, step, (worlds, 1))
    own, other = (np.round((truth + deviation * rng.standard_normal((worlds, seeds))) / step) * step for _ in range(2))
    least = resolution.least_deviation([100 * count / samples for count in range(samples)])
    wrong = sum(intervals.mean(values, least=least).p(0.0) <= level for values in own - other)
    assert wrong <= worlds * level + 3 * math.sqrt(worlds * level)
