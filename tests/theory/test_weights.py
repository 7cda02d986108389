"""The weights against enumeration, against Eq. 3 in exact fractions, at full size, and in the limit."""

from __future__ import annotations

import time
from fractions import Fraction
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from orderdp.theory import limit_weights, rank_weights, selection_probabilities, surrogate_gap, surrogate_loss
from orderdp.theory.weights import running_sum
from tests.theory.twins import enumerated_probabilities, enumerated_weights, kept_sets, printed_weights

IMAGENET = 1_281_167
LARGE = [
    (IMAGENET // 2, round(0.6 * (IMAGENET // 2))), (round(0.75 * IMAGENET), round(0.8 * round(0.75 * IMAGENET))),
    (100, 30), (2, 1), (3, 1),
    (10, 9), (1000, 999), (IMAGENET, 384_350), (IMAGENET, IMAGENET), (IMAGENET // 2, IMAGENET // 2),
    (IMAGENET // 2, 1), (IMAGENET, 1),
    (IMAGENET // 2, IMAGENET // 2 - 1), (1, 1),
]  # fmt: skip


@st.composite
def sizes(draw, most=300):
    n = draw(st.integers(1, most))
    s = draw(st.integers(1, n))
    q = draw(st.integers(1, s))
    return n, s, q, draw(st.none() | st.integers(0, q))


@pytest.mark.parametrize("n", range(1, 10))
def test_weights_are_what_enumeration_counts(n):
    for s in range(1, n + 1):
        for (q, hardest), expected in enumerated_weights(n, s).items():
            np.testing.assert_allclose(
                rank_weights(n, s, q, hardest=hardest), [float(x) for x in expected], rtol=1e-13, atol=0
            )


@pytest.mark.parametrize(
    ("n", "s", "q"), [(60, 20, 7), (97, 50, 49), (120, 60, 1), (120, 119, 60), (200, 100, 30), (150, 3, 2)]
)
def test_weights_are_eq_3_down_to_the_last_of_the_tail(n, s, q):
    expected = printed_weights(n, s, q)
    assert sum(expected) == q  # the paper: "should be close to"
    gamma = rank_weights(n, s, q)
    np.testing.assert_allclose(gamma, [float(x) for x in expected], rtol=1e-12, atol=0)
    assert gamma[n - s + q - 1] > 0
    assert (gamma[n - s + q :] == 0).all()


def test_the_upper_limit_that_a1_prints_does_not_sum_to_q():
    n, s, q = 12, 6, 4
    assert sum(printed_weights(n, s, 1)) == 1 != q == sum(printed_weights(n, s, q))


@pytest.mark.parametrize(("s", "q"), LARGE)
def test_weights_at_the_size_of_imagenet(s, q):
    start = time.perf_counter()
    gamma = rank_weights(IMAGENET, s, q)
    assert time.perf_counter() - start < 2
    assert gamma.sum() == pytest.approx(q, rel=1e-12)
    assert gamma[0] == s / IMAGENET
    assert (np.diff(gamma) <= 0).all() and gamma[-1] >= 0


@pytest.mark.parametrize(("s", "q"), [(100, 30), (IMAGENET // 2, round(0.6 * (IMAGENET // 2)))])
def test_large_weights_agree_with_the_hypergeometric_form(s, q):
    ranks = np.linspace(1, IMAGENET, 200).round().astype(int)
    ranks = np.r_[ranks, np.arange(-1000, 1001, 100) + round(q / s * IMAGENET)]
    expected = s / IMAGENET * stats.hypergeom.cdf(q - 1, IMAGENET - 1, ranks - 1, s - 1)  # itself good to ten digits
    np.testing.assert_allclose(rank_weights(IMAGENET, s, q)[ranks - 1], expected, atol=1e-9 * s / IMAGENET)


@given(sizes())
def test_sum_range_and_mirrors(size):
    n, s, q, hardest = size
    gamma, top = rank_weights(n, s, q, hardest=hardest), rank_weights(n, s, q)
    assert gamma.dtype == np.float64 and gamma.shape == (n,)
    assert gamma.sum() == pytest.approx(q, rel=1e-12)
    assert gamma.min() >= 0 and gamma.max() <= s / n * (1 + 1e-12)
    assert (np.diff(top) <= 0).all()
    assert (rank_weights(n, s, q, hardest=0) == top[::-1]).all()
    assert (rank_weights(n, s, q, hardest=q) == top).all()
    if hardest is not None:
        np.testing.assert_allclose(gamma[::-1], rank_weights(n, s, q, hardest=q - hardest), atol=1e-14)
    if q == s:
        assert (gamma == s / n).all()


@given(st.lists(st.floats(0, 1), max_size=200))
def test_running_sum_is_a_cumulative_sum(values):
    sums = running_sum(np.array(values, dtype=np.float64))
    np.testing.assert_allclose(sums, np.cumsum(values), rtol=1e-14)
    assert (np.diff(sums) >= 0).all()


@pytest.mark.parametrize("hardest", [None, 0, 2])
def test_limit_is_approached_as_one_over_n(hardest):
    s, q = 10, 3
    counts = np.array([200, 400, 800, 1600, 3200, 6400])
    errors = [
        np.abs(
            n * rank_weights(n, s, q, hardest=hardest) - limit_weights(np.arange(1, n + 1) / n, s, q, hardest=hardest)
        ).max()
        for n in counts
    ]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)
    assert errors[-1] < 0.01


@pytest.mark.parametrize(("s", "q"), [(10, 3), (100, 30), (5, 4), (2, 1), (7, 7)])
def test_limit_is_the_sum_of_proposition_2_and_a_beta_distribution(s, q):
    z = np.linspace(0, 1, 41)
    printed = np.zeros(len(z))
    for place in range(1, q + 1):
        ways = Fraction(factorial(s), factorial(place - 1) * factorial(s - place))
        printed += float(ways) * z ** (place - 1) * (1 - z) ** (s - place)
    np.testing.assert_allclose(limit_weights(z, s, q), printed, rtol=1e-9, atol=1e-12)
    if q < s:
        np.testing.assert_allclose(1 - limit_weights(z, s, q) / s, stats.beta(q, s - q).cdf(z), atol=1e-13)
    area, _ = integrate.quad(lambda z: float(limit_weights(z, s, q)), 0, 1)
    assert area == pytest.approx(q)


def test_the_printed_distribution_function_of_proposition_2_is_none():
    assert 1 - 1000 / 10 * limit_weights(0.01, 10, 3) < -900


@pytest.mark.parametrize(
    "scores", [[3, 1, 2, 5, 4], [1, 1, 1, 1, 1], [2, 1, 2, 3, 1], [float("inf"), 0, float("inf"), -1, 0]]
)
def test_ties_share_the_ranks_that_they_fill(scores):
    for s in range(1, 6):
        for q in range(1, s + 1):
            expected = enumerated_probabilities(scores, s, q)
            np.testing.assert_allclose(selection_probabilities(scores, s, q), [float(x) for x in expected], atol=1e-14)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.data())
def test_selection_probabilities_follow_their_samples(scores, data):
    n = len(scores)
    s = data.draw(st.integers(1, n))
    q = data.draw(st.integers(1, s))
    order = data.draw(st.permutations(range(n)))
    chances = selection_probabilities(scores, s, q)
    np.testing.assert_allclose(selection_probabilities(np.array(scores)[order], s, q), chances[order], atol=1e-14)
    assert chances.sum() == pytest.approx(q)


@pytest.mark.parametrize(("s", "q"), [(1, 1), (3, 1), (4, 2), (5, 5), (6, 4), (7, 3)])
def test_surrogate_loss_is_the_mean_over_all_draws_of_algorithm_1(s, q):
    # Theorem 1, with losses that are known when the candidates are ranked; and its gradient, from gradients of its own.
    rng = np.random.default_rng(0)
    losses, gradients = rng.random(7), rng.normal(size=(7, 3))
    sets = list(kept_sets(losses, s, q))
    assert surrogate_loss(losses, s, q) == pytest.approx(np.mean([losses[kept].mean() for kept in sets]))
    expected = np.mean([gradients[kept].mean(axis=0) for kept in sets], axis=0)
    np.testing.assert_allclose(selection_probabilities(losses, s, q) @ gradients / q, expected, atol=1e-14)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.data())
def test_gap_is_the_difference_and_never_negative(losses, data):
    n = len(losses)
    s = data.draw(st.integers(1, n))
    q = data.draw(st.integers(1, s))
    gap = surrogate_gap(losses, s, q)
    assert gap == pytest.approx(surrogate_loss(losses, s, q) - np.mean(losses), abs=1e-10)
    assert gap >= 0 and (gap == 0 or q < s)
    assert surrogate_gap(losses, s, q, hardest=0) <= 1e-12


@pytest.mark.parametrize(
    "losses", [[0.1] * 7, [3.3, 3.3, 1e-9, 0.7, 123.456, 0.1, 0.2], np.random.default_rng(3).random(7).tolist()]
)
def test_gap_has_no_rounding_errors_below_zero(losses):
    for s in range(1, 8):
        assert surrogate_gap(losses, s, s) == surrogate_gap(losses, s, s, hardest=0) == 0
        assert all(surrogate_gap(losses, s, q) >= 0 for q in range(1, s))


def test_gap_of_a_fixed_set_of_numbers():
    # n = 3, s = 2, q = 1: gamma = 2/3, 1/3, 0. The middle rank has q/n, the value that A.1 denies to all.
    assert rank_weights(3, 2, 1).tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert surrogate_loss([1, 5, 2], 2, 1) == pytest.approx(4)
    assert surrogate_gap([1, 5, 2], 2, 1) == pytest.approx(4 - 8 / 3)
    assert surrogate_loss([1, 5, 2], 2, 1, hardest=0) == pytest.approx(4 / 3)


def test_scores_of_many_ties_take_no_loop():
    scores = np.random.default_rng(0).integers(0, 50_000, 200_000)
    start = time.perf_counter()
    assert selection_probabilities(scores, 100_000, 60_000).sum() == pytest.approx(60_000)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rank_weights(10, 12, 3), "The 's' of rank_weights must be an integer in [1, n] = [1, 10]. Got 12."),
        (lambda: rank_weights(10, 5, 6), "The 'q' of rank_weights must be an integer in [1, s] = [1, 5]. Got 6."),
        (lambda: rank_weights(10, 5, 0), "The 'q' of rank_weights must be an integer in [1, s] = [1, 5]. Got 0."),
        (
            lambda: rank_weights(10, 5, 3, hardest=4),
            "The 'hardest' of rank_weights must be an integer in [0, q] = [0, 3]. Got 4.",
        ),
        (
            lambda: rank_weights(10, 5, 3, hardest=-1),
            "The 'hardest' of rank_weights must be an integer in [0, q] = [0, 3]. Got -1.",
        ),
        (lambda: rank_weights(0, 1, 1), "The 'n' of rank_weights must be an integer of at least 1. Got 0."),
        (lambda: rank_weights(10, 5.0, 3), "The 's' of rank_weights must be an integer in [1, n] = [1, 10]. Got 5.0."),
        (
            lambda: rank_weights(10, True, 1),
            "The 's' of rank_weights must be an integer in [1, n] = [1, 10]. Got True.",
        ),
        (lambda: limit_weights(1.5, 5, 3), "The 'z' of limit_weights must be in [0, 1]."),
        (lambda: limit_weights(np.nan, 5, 3), "The 'z' of limit_weights must be in [0, 1]."),
        (lambda: limit_weights(0.5, 5, 6), "The 'q' of limit_weights must be an integer in [1, s] = [1, 5]. Got 6."),
        (
            lambda: selection_probabilities([1, np.nan], 1, 1),
            "The 'scores' of selection_probabilities must not hold NaN.",
        ),
        (
            lambda: selection_probabilities([], 1, 1),
            "The 'scores' of selection_probabilities must be a 1-d array of at least one number.",
        ),
        (lambda: surrogate_loss([1, np.inf], 1, 1), "The 'losses' of surrogate_loss must be finite."),
        (lambda: surrogate_loss([[1.0]], 1, 1), "Got shape (1, 1)."),
        (lambda: surrogate_gap([1, 2], 3, 1), "The 's' of surrogate_gap must be an integer in [1, n] = [1, 2]. Got 3."),
    ],
)
def test_errors_name_key_value_and_range(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_numpy_integers_are_integers():
    assert (rank_weights(np.int64(10), np.int32(5), np.int64(3)) == rank_weights(10, 5, 3)).all()
