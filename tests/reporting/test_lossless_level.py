"""The largest ratio without loss is chosen from noisy means: its interval and the claims about it hold their level all
the same."""

import math

import numpy as np
import pytest

from orderdp.reporting.claims.statistics import deciding, intervals, lossless, resolution
from orderdp.reporting.claims.statistics.lossless_sweep import Sweep, exclusions

RATIOS = [0.0, 0.2, 0.3, 0.4]
STEP = 100 / 600
WORLDS = 200


def counted(rng, deviation, losses, seeds):
    """Accuracy on the full data and at the ratios, (1 + ratios, seeds), in steps of the test set."""
    truth = 92 + rng.uniform(0, STEP) - np.array([0.0, *losses])
    return np.round((truth[:, None] + deviation * rng.standard_normal((len(truth), seeds))) / STEP) * STEP


def swept(rng, full, accuracies):
    least = resolution.least_deviation(STEP * np.arange(500, 600))
    gaps = [intervals.mean(row - full, least=least) for row in accuracies]
    within = [index for index, gap in enumerate(gaps, 1) if gap.value >= -0.1 - 1e-9]
    times = 100 * (1 - np.array(RATIOS))[:, None] * (1 + 0.01 * rng.standard_normal((len(RATIOS), len(full))))
    return Sweep(RATIOS, RATIOS, [dict(enumerate(row)) for row in times], exclusions(gaps), max(within, default=0))


def allowed(worlds, level):
    """Errors that a procedure of this level exceeds with a probability of about one in a thousand."""
    return worlds * level + 3.1 * math.sqrt(worlds * level)


@pytest.mark.parametrize("losses", [(0.0, 0.0, 0.0), (0.05, 0.2, 1.0), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("deviation", [0.1, 0.3, 0.6, 1.0])
def test_two_equal_methods_are_not_told_apart(losses, seeds, deviation):
    rng, decided = np.random.default_rng(1), 0
    for _ in range(WORLDS):
        accuracies = [counted(rng, deviation, losses, seeds) for _ in range(2)]
        own, other = (swept(rng, accuracies[0][0], one[1:]) for one in accuracies)
        finding = deciding.decide_one_sided(
            [lossless._over_all_pairs(own, other, "")], deciding.Context(""), threshold=1.0, side=-1
        )
        decided += finding.verdict != deciding.INCONCLUSIVE
    assert decided <= allowed(WORLDS, 0.05)


@pytest.mark.parametrize("losses", [(0.0, 0.0, 0.0), (0.1, 0.1, 0.1001), (0.0, 0.1001, 0.1001), (0.2, 0.0, 0.3)])
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("deviation", [0.1, 0.3, 1.0])
def test_the_interval_holds_the_true_largest_ratio(losses, seeds, deviation):
    true = max((ratio for ratio, loss in zip(RATIOS[1:], losses, strict=True) if loss <= 0.1), default=0.0)
    rng, missed = np.random.default_rng(2), 0
    for _ in range(WORLDS):
        full, *accuracies = counted(rng, deviation, losses, seeds)
        low, high = swept(rng, full, accuracies).limits()
        missed += not low <= true <= high
    assert missed <= allowed(WORLDS, 0.05)


def test_a_clear_advantage_is_found():
    rng, supported = np.random.default_rng(3), 0
    for _ in range(100):
        full, *accuracies = counted(rng, 0.3, (-1.0, -1.0, -1.0), 5)
        lossy = counted(rng, 0.3, (5.0, 5.0, 5.0), 5)[1:]
        pair = lossless._over_all_pairs(swept(rng, full, accuracies), swept(rng, full, lossy), "")
        supported += (
            deciding.decide_one_sided([pair], deciding.Context(""), threshold=1.0, side=-1).verdict
            == deciding.SUPPORTED
        )
    assert supported >= 80


def test_limits_by_literal_tests():
    """Steps up and down through the ratios, one test at a time."""
    rng = np.random.default_rng(4)
    for _ in range(200):
        gaps = [intervals.mean(rng.normal(shift, 0.3, 4)) for shift in (0.3, 0.0, -0.6)]
        ups = [gap.p(-0.1) / 2 if gap.value > -0.1 else 1 - gap.p(-0.1) / 2 for gap in gaps]
        for level in (0.01, 0.025, 0.2):
            low = 0
            while low < 3 and ups[low] <= level:
                low += 1
            high = 3
            while high > 0 and 1 - ups[high - 1] <= level:
                high -= 1
            exact_sweep = Sweep(RATIOS, RATIOS, [], exclusions(gaps), 0)
            assert exact_sweep.kept(level) == list(range(low, high + 1))
