import math

import numpy as np
import pandas as pd
import pytest

from orderdp.reporting import measures


def test_spread_is_the_sample_deviation():
    assert measures.spread([1.0, 2.0, 3.0]) == (2.0, 1.0, 3)
    mean, std, count = measures.spread([5.0, float("nan")])
    assert (mean, count) == (5.0, 1) and math.isnan(std)
    assert measures.spread([])[2] == 0


def test_differences_are_paired_by_seed():
    ours, full = {0: 90.0, 1: 92.0, 2: 94.0, 7: 10.0}, {2: 96.0, 1: 92.0, 0: 91.0, 8: 99.0}
    mean, half_width, pairs = measures.paired_difference(ours, full)
    # Differences -1, 0, -2; t quantile with 2 degrees of freedom 4.302653.
    assert (mean, pairs) == (-1.0, 3)
    assert half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert math.isnan(measures.paired_difference({0: 1.0}, {0: 2.0}).half_width)


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [([95.0, 94.95, 94.0], 0.5), ([94.9, 94.0, 94.0], 0.3), ([94.89, 94.0, 94.0], None), ([94.0, 94.0, 95.3], 0.7)],
)
def test_lossless_ratio_is_the_largest_within_a_tenth_of_a_point(accuracies, expected):
    assert measures.lossless_ratio([0.3, 0.5, 0.7], accuracies, full=95.0) == expected


@pytest.mark.parametrize("epochs", [10, 15, 200])
def test_phases_part_the_epochs(epochs):
    progress = pd.Series([(epoch + 1) / epochs for epoch in range(epochs)])
    sizes = {name: int(measures.in_phase(progress, start, end).sum()) for name, start, end in measures.PHASES}
    assert sum(sizes.values()) == epochs
    assert {10: [3, 2, 2, 3], 15: [4, 3, 3, 5], 200: [60, 40, 40, 60]}[epochs] == list(sizes.values())


def test_pooled_equals_the_statistics_of_all_steps():
    rng = np.random.default_rng(0)
    epochs = [rng.standard_normal(size) + shift for size, shift in ((4, 0.0), (9, 2.0), (2, -1.0))]
    means, stds, steps = (pd.Series([f(epoch) for epoch in epochs]) for f in (np.mean, np.std, len))
    together = np.concatenate(epochs)
    assert measures.pooled(means, stds, steps) == pytest.approx((together.mean(), together.std()))


def test_pearson():
    x = pd.Series([1.0, 2.0, 3.0, np.nan])
    assert measures.pearson(x, pd.Series([2.0, 4.0, 6.0, 1.0])) == (pytest.approx(1.0), 3)
    assert math.isnan(measures.pearson(x, pd.Series([1.0, 1.0, 1.0, 1.0]))[0])


def test_window_grows_with_the_training():
    assert [measures.rolling_window(epochs) for epochs in (4, 10, 60, 200)] == [3, 3, 3, 10]
