"""The stated power is that of the rule."""

import math

import numpy as np
import pytest
from scipy import stats

from orderdp.reporting.claims.statistics import intervals, power


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_detectable_difference_is_that_of_the_noncentral_t(seeds):
    smallest = power.detectable(0.3, seeds)
    assert stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, smallest * math.sqrt(seeds) / 0.3) == pytest.approx(
        0.8
    )
    assert (
        math.isnan(power.detectable(0.3, 1))
        and math.isnan(power.detectable(float("nan"), 5))
        and power.detectable(0.0, 5) == 0.0
    )


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_a_true_difference_is_found_as_often_as_stated(seeds, deviation):
    """Counted accuracies of 600 test samples; the paired difference has sqrt(2) times the deviation of each, and its
    rounding."""
    rng, worlds, step = np.random.default_rng(5), 3000, 100 / 600
    paired = math.sqrt(2 * deviation**2 + step**2 / 6)
    smallest = power.detectable(paired, seeds)
    truth = 90 + rng.uniform(0, step, (worlds, 1))
    own, other = (
        np.round((truth + shift + deviation * rng.standard_normal((worlds, seeds))) / step) * step
        for shift in (smallest, 0.0)
    )
    detected = sum(intervals.mean(values, least=step / math.sqrt(6)).low > 0 for values in own - other)
    assert abs(detected / worlds - 0.8) <= 3.3 * math.sqrt(0.16 / worlds)


def test_the_deviation_is_pooled_from_the_intervals():
    samples = [[0.1, 0.5, 0.2], [1.0, 1.4, 0.3, 0.8, 0.9]]
    by_hand = math.sqrt((2 * np.var(samples[0], ddof=1) + 4 * np.var(samples[1], ddof=1)) / 6)
    assert power.pooled_deviation([intervals.mean(values) for values in samples]) == pytest.approx(by_hand)
    assert math.isnan(power.pooled_deviation([intervals.mean([1.0])])) and math.isnan(
        power.smallest_detectable([intervals.mean([1.0])])
    )


def test_the_sentence_names_seeds_and_points():
    values = [0.3, 0.9, -0.2, 0.5, 0.7]
    sentence = "with 5 seeds, one comparison finds a difference of 0.71 points from −0.1 with 80 % probability"
    assert f"{power.detectable(float(np.std(values, ddof=1)), 5):.2f}" == "0.71"
    assert power.power_text(power.smallest_detectable([intervals.mean(values)]), 5, "−0.1") == sentence
    assert power.power_text(float("nan"), 1, "0") == ""
