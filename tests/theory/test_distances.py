"""Distances of the weights from uniform, against literal twins and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orderdp.theory import rank_weights, sup_gap, total_variation, wasserstein
from tests.theory.test_weights import IMAGENET, sizes
from tests.theory.twins import enumerated_weights, printed_weights


@pytest.mark.parametrize(
    ("q", "tv", "c_s"), [(30, 0.662, 2.333), (50, 0.472, 1), (80, 0.190, 1), (99, 0.0097, 1), (100, 0, 0)]
)
def test_figure_6(q, tv, c_s):
    # n = 200, s = 100. The paper says that C_s vanishes as q -> s: it stays at 1 and jumps. The total variation
    # vanishes.
    n, s = 200, 100
    density = [n * gamma / q for gamma in printed_weights(n, s, q)]
    assert sup_gap(n, s, q) == pytest.approx(float(max(abs(x - 1) for x in density)), abs=1e-12)
    assert total_variation(n, s, q) == pytest.approx(float(sum(abs(x - 1) for x in density) / n / 2), abs=1e-12)
    assert (round(sup_gap(n, s, q), 3), round(total_variation(n, s, q), 4 if q == 99 else 3)) == (c_s, tv)


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_all_sets_of_a_few_samples(n):
    for s in range(1, n + 1):
        for (q, hardest), gamma in enumerated_weights(n, s).items():
            excess = [float(x / q) - 1 / n for x in gamma]
            size = (n, s, q)
            assert sup_gap(*size, n_hard=hardest) == pytest.approx(n * max(map(abs, excess)), abs=1e-12)
            assert total_variation(*size, n_hard=hardest) == pytest.approx(sum(map(abs, excess)) / 2, abs=1e-12)
            moved = sum(abs(sum(excess[:j])) for j in range(1, n + 1)) / n
            assert wasserstein(*size, n_hard=hardest) == pytest.approx(moved, abs=1e-12)


@given(sizes())
def test_against_scipy_and_closed_forms(size):
    n, s, q, hardest = size
    ranks = np.arange(1, n + 1) / n
    gamma = rank_weights(n, s, q, n_hard=hardest)
    assert wasserstein(n, s, q, n_hard=hardest) == pytest.approx(
        stats.wasserstein_distance(ranks, ranks, gamma, np.ones(n)), abs=1e-10
    )
    assert wasserstein(n, s, q) == pytest.approx((n + 1) * (s - q) / (2 * n * (s + 1)), abs=1e-12)
    assert sup_gap(n, s, q) == pytest.approx(max(s / q - 1, 1) if q < s else 0, abs=1e-10)
    for distance in (sup_gap, total_variation, wasserstein):
        assert distance(n, s, q, n_hard=0) == pytest.approx(distance(n, s, q), abs=1e-12)
        assert distance(n, s, s, n_hard=min(hardest or 0, s)) == 0


@given(st.integers(2, 200), st.data())
def test_total_variation_and_wasserstein_fall_in_q(n, data):
    s = data.draw(st.integers(2, n))
    q = data.draw(st.integers(1, s - 1))
    assert total_variation(n, s, q + 1) <= total_variation(n, s, q) + 1e-12
    assert wasserstein(n, s, q + 1) <= wasserstein(n, s, q) + 1e-12


def test_the_size_of_imagenet():
    n, s = IMAGENET, round(0.75 * IMAGENET)
    q = round(0.8 * s)
    assert wasserstein(n, s, q) == pytest.approx((n + 1) * (s - q) / (2 * n * (s + 1)), rel=1e-10)
    assert total_variation(n, s, q) == pytest.approx(1 - q / s, abs=1e-3)  # s in proportion to n: a step at rank q/s


@pytest.mark.parametrize("distance", [sup_gap, total_variation, wasserstein])
def test_errors(distance):
    with pytest.raises(
        ValueError, match=rf"The 'q' of {distance.__name__} must be an integer in \[1, s\] = \[1, 5\]. Got 6."
    ):
        distance(10, 5, 6)
