"""Theorems 3 and 4: the formulas as printed (but for what the modules say), and cases small enough to average over all
draws."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderdp.theory import (
    constant_rate,
    convergence_bound,
    generalization_bound,
    rank_weights,
    sup_gap,
    surrogate_gap,
    surrogate_loss,
)

positive = st.floats(0.01, 100)


@given(positive, positive, st.lists(positive, min_size=1, max_size=20))
def test_eq_6_and_eq_18(radius, lipschitz, rates):
    eq_18 = (radius**2 + lipschitz**2 * sum(rate**2 for rate in rates)) / (2 * sum(rates))
    assert convergence_bound(radius, lipschitz, rates, averaged=True) == pytest.approx(eq_18)
    assert convergence_bound(radius, lipschitz, rates) == pytest.approx(max(rates) / min(rates) * eq_18)


@given(positive, positive, st.integers(1, 1000))
def test_the_constant_rate_gives_gr_over_root_t(radius, lipschitz, steps):
    rate = constant_rate(radius, lipschitz, steps)
    assert rate == pytest.approx(radius / (lipschitz * math.sqrt(steps)))
    bound = convergence_bound(radius, lipschitz, [rate] * steps)
    assert bound == pytest.approx(lipschitz * radius / math.sqrt(steps))
    assert bound <= convergence_bound(radius, lipschitz, [1.1 * rate] * steps)
    assert bound <= convergence_bound(radius, lipschitz, [0.9 * rate] * steps)


@pytest.mark.parametrize("rates", [[0.5, 0.5, 0.5, 0.5], [0.8, 0.4, 0.3, 0.2]])
def test_theorem_3_over_all_runs_of_a_small_problem(rates):
    # L_i = |theta - a_i|: convex, 1-Lipschitz. s = 3 of 4 candidates and q = 2 kept: 4 draws a step, 256 runs of 4
    # steps.
    targets, s, q = np.array([0.0, 1.0, 2.5, 4.3]), 3, 2

    def surrogate(theta):
        return surrogate_loss(np.abs(theta - targets), s, q)

    grid = np.linspace(-1, 6, 2801)
    minimizer = grid[np.argmin([surrogate(theta) for theta in grid])]
    runs = []
    for draws in product(list(combinations(range(4), s)), repeat=len(rates)):
        thetas = [-1.03]
        for candidates, rate in zip(draws, rates, strict=True):
            kept = sorted(candidates, key=lambda sample: -abs(thetas[-1] - targets[sample]))[:q]
            thetas.append(thetas[-1] - rate * np.mean(np.sign(thetas[-1] - targets[kept])))
        runs.append(thetas[: len(rates)])
    runs = np.array(runs)
    gaps = np.mean([[surrogate(theta) - surrogate(minimizer) for theta in run] for run in runs], axis=0)
    averaged = np.mean([surrogate(theta) - surrogate(minimizer) for theta in np.average(runs, axis=1, weights=rates)])
    assert 0 < gaps.min() <= convergence_bound(abs(runs[0, 0] - minimizer), 1, rates)
    assert 0 < averaged <= convergence_bound(abs(runs[0, 0] - minimizer), 1, rates, averaged=True)


def test_terms_of_theorem_4():
    n, s, q = 200, 100, 30
    bound = generalization_bound(n, s, q, largest_loss=2.0, gap=0.1, optimization=0.5)
    c_s = max(abs(n * gamma / q - 1) for gamma in rank_weights(n, s, q))
    deviation = math.sqrt(2) * c_s * 2.0 * math.sqrt((n - s) / (s * (n - 1)))
    assert bound._replace(c_s=c_s, deviation=deviation) == pytest.approx((c_s, 2.0, 0.1, deviation, 0.5))
    assert (bound.c_s, bound.deviation) == pytest.approx((c_s, deviation))
    assert bound.bias == pytest.approx(deviation - 0.1)
    assert bound.total == pytest.approx(deviation - 0.1 + 0.5)


def test_terms_vanish_where_they_should():
    for n, s, q in [
        (1, 1, 1),
        (10, 10, 4),
        (10, 4, 4),
    ]:  # no second sample; all are candidates; all candidates are kept
        assert generalization_bound(n, s, q, largest_loss=1, gap=0, optimization=0).total == 0
    assert generalization_bound(10, 10, 4, largest_loss=1, gap=0.2, optimization=0).bias == -0.2


@pytest.mark.parametrize(("n", "s", "q"), [(8, 4, 1), (8, 4, 3), (9, 6, 2), (7, 2, 1), (6, 5, 3)])
def test_deviation_bounds_the_estimate_of_a_mini_batch(n, s, q):
    # The proof's step, averaged over all mini-batches: spectral risk of s samples minus that of all n, less the same
    # for the mean. With C_s un-squared; for q = 3 of 4 and 3 of 5 the supremum is 1 and its square no different, for
    # the others larger.
    rng = np.random.default_rng(n)
    losses = np.sort(rng.exponential(size=n))[::-1]
    gamma = rank_weights(n, s, q)
    edges = np.arange(n + 1) / n

    def spectral(values):  # the density gamma integrated against the quantile function, hardest first
        cumulated = np.interp(np.arange(len(values) + 1) / len(values), edges, np.r_[0, np.cumsum(gamma / q)])
        return np.diff(cumulated) @ values

    batches = [losses[list(batch)] for batch in combinations(range(n), s)]
    left = abs(np.mean([spectral(batch) - spectral(losses) - (batch.mean() - losses.mean()) for batch in batches]))
    repeated = [
        np.abs(np.repeat(batch, n) - np.repeat(losses, s)).mean() for batch in batches
    ]  # W1 of the quantile functions
    bound = generalization_bound(n, s, q, largest_loss=losses.max(), gap=0, optimization=0)
    assert left <= sup_gap(n, s, q) * np.mean(repeated) + 1e-12
    assert np.mean(repeated) <= math.sqrt(2) * losses.max() * math.sqrt((n - s) / (s * (n - 1)))
    assert left <= bound.deviation


def test_the_surrogate_itself_differs_by_the_gap_alone():
    losses = np.random.default_rng(0).exponential(size=30)
    assert losses.mean() - surrogate_loss(losses, 12, 5) == pytest.approx(-surrogate_gap(losses, 12, 5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: constant_rate(0, 1, 1), "The 'radius' of constant_rate must be a finite number above 0. Got 0."),
        (
            lambda: constant_rate(1, math.inf, 1),
            "The 'lipschitz' of constant_rate must be a finite number above 0. Got inf.",
        ),
        (lambda: constant_rate(1, 1, 0), "The 'steps' of constant_rate must be an integer of at least 1. Got 0."),
        (
            lambda: convergence_bound(-1, 1, [1]),
            "The 'radius' of convergence_bound must be a finite number of at least 0. Got -1.",
        ),
        (lambda: convergence_bound(1, 1, [1, 0]), "The 'rates' of convergence_bound must be above 0. Got 0."),
        (
            lambda: convergence_bound(1, 1, []),
            "The 'rates' of convergence_bound must be a 1-d array of at least one number.",
        ),
        (
            lambda: generalization_bound(9, 5, 6, largest_loss=1, gap=0, optimization=0),
            "The 'q' of generalization_bound",
        ),
        (
            lambda: generalization_bound(9, 5, 4, largest_loss=-1, gap=0, optimization=0),
            "The 'largest_loss' of generalization_bound",
        ),
        (
            lambda: generalization_bound(9, 5, 4, largest_loss=1, gap=math.nan, optimization=0),
            "The 'gap' of generalization_bound",
        ),
        (
            lambda: generalization_bound(9, 5, 4, largest_loss=1, gap=0, optimization=-1),
            "The 'optimization' of generalization_bound",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)
