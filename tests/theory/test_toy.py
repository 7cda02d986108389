"""E.1's example, what the paper prints of it and what is right, and the enumerations against literal twins."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderdp.theory import (
    expectations,
    infobatch_outcomes,
    orderdp_outcomes,
    random_outcomes,
    selection_probabilities,
    surrogate_loss,
)
from tests.theory.twins import kept_sets

TOY = [1, 2, 3, 4, 5]
numbers = st.lists(st.integers(-5, 5), min_size=1, max_size=6)


def test_table_10():
    rows = [
        (o.kept, float(o.probability), [int(g) for g in o.gradients], float(o.mean), float(o.prune_ratio))
        for o in infobatch_outcomes(TOY, 0.8)
    ]
    assert rows == [
        ((3, 4, 5), 0.64, [3, 4, 5], 4.0, 0.4),  # the paper prints its share kept, 0.60, as the prune rate
        ((1, 3, 4, 5), 0.16, [5, 3, 4, 5], 4.25, 0.2),
        ((2, 3, 4, 5), 0.16, [10, 3, 4, 5], 5.5, 0.2),
        ((1, 2, 3, 4, 5), 0.04, [5, 10, 3, 4, 5], 5.4, 0.0),
    ]


def test_expectations_of_e1():
    infobatch = expectations(infobatch_outcomes(TOY, 0.8))
    assert infobatch == (Fraction("4.336"), 3, Fraction(15) / Fraction("3.4"), Fraction("0.32"))
    orderdp = expectations(orderdp_outcomes(TOY, range(1, 6), 1))
    assert (orderdp.mean, orderdp.pooled, orderdp.prune_ratio) == (Fraction("4.26"), Fraction("4.26"), Fraction("0.8"))
    assert expectations(random_outcomes(TOY, 1)).mean == 3


def test_probabilities_of_e1():
    chances = {o.kept: o.probability for o in orderdp_outcomes(TOY, range(1, 6), 1)}
    twin = dict.fromkeys(TOY, Fraction(0))
    for s in range(1, 6):
        draws = list(combinations(TOY, s))
        for draw in draws:
            twin[max(draw)] += Fraction(1, 5 * len(draws))
    assert chances == {(sample,): chance for sample, chance in twin.items()}
    assert list(chances.values()) == [Fraction(1, 25), Fraction(3, 50), Fraction(1, 10), Fraction(1, 5), Fraction(3, 5)]


@pytest.mark.parametrize("s", range(1, 6))
def test_a_fixed_number_of_candidates(s):
    assert expectations(orderdp_outcomes(TOY, s, 1)).mean == Fraction(6 * s, s + 1)


@given(numbers, st.fractions(0, Fraction(9, 10), max_denominator=10))
def test_infobatch_against_coins_tossed_for_every_sample(gradients, prune_ratio):
    n, mean = len(gradients), Fraction(sum(gradients), len(gradients))
    twin = {}
    for coins in product([True, False], repeat=n):  # a coin of a sample at or above the mean always lands well
        chance, kept, used = Fraction(1), [], []
        for sample, (gradient, lands) in enumerate(zip(gradients, coins, strict=True)):
            low = gradient < mean
            chance *= (1 - prune_ratio if lands else prune_ratio) if low else int(lands)
            if lands:
                kept.append(sample + 1)
                used.append(gradient / (1 - prune_ratio) if low else Fraction(gradient))
        if chance:
            twin[tuple(kept)] = (chance, tuple(used))
    outcomes = infobatch_outcomes(gradients, prune_ratio)
    assert {o.kept: (o.probability, o.gradients) for o in outcomes} == twin
    assert expectations(outcomes).per_sample == mean  # unbiased, whatever the gradients


@given(numbers, st.data())
def test_orderdp_against_its_weights(gradients, data):
    n = len(gradients)
    s = data.draw(st.integers(1, n))
    q = data.draw(st.integers(1, s))
    outcomes = orderdp_outcomes(gradients, s, q)
    chances = [float(sum(o.probability for o in outcomes if sample in o.kept)) for sample in range(1, n + 1)]
    np.testing.assert_allclose(selection_probabilities(gradients, s, q), chances, atol=1e-13)
    assert float(expectations(outcomes).mean) == pytest.approx(surrogate_loss(gradients, s, q), abs=1e-12)
    assert {len(o.kept) for o in outcomes} == {q}


def test_scores_may_differ_from_gradients():
    gradients, scores = [7, -1, 2, 0], [0.1, 0.4, 0.3, 0.2]
    outcomes = orderdp_outcomes(gradients, 3, 2, scores=scores)
    twin = {}
    for kept in kept_sets(scores, 3, 2):
        key = tuple(sorted(sample + 1 for sample in kept))
        twin[key] = twin.get(key, 0) + Fraction(1, 4)
    assert {o.kept: o.probability for o in outcomes} == twin
    kept = infobatch_outcomes(gradients, Fraction(1, 2), scores=scores)[0]
    assert (kept.kept, kept.gradients) == ((2, 3), (-1, 2))


def test_random_keeps_every_set_alike():
    outcomes = random_outcomes(TOY, 2)
    assert len(outcomes) == 10 and {o.probability for o in outcomes} == {Fraction(1, 10)}
    assert expectations(outcomes) == (3, Fraction(6, 5), 3, Fraction(3, 5))


def test_floats_are_the_decimals_that_they_print_as():
    assert infobatch_outcomes([0.1, 0.2], 0.8)[1].gradients == (Fraction(1, 2), Fraction(1, 5))
    assert infobatch_outcomes(np.array([0.1, 0.2]), np.float64(0.8)) == infobatch_outcomes([0.1, 0.2], Fraction(4, 5))
    assert orderdp_outcomes(np.array(TOY), 2, 1) == orderdp_outcomes(TOY, [2], 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: infobatch_outcomes(TOY, 1), "The 'prune_ratio' of infobatch_outcomes must be in [0, 1). Got 1."),
        (lambda: infobatch_outcomes(TOY, -0.1), "The 'prune_ratio' of infobatch_outcomes must be in [0, 1). Got -0.1."),
        (lambda: infobatch_outcomes([], 0.5), "The 'gradients' of infobatch_outcomes must be 1 to 16 numbers. Got 0."),
        (
            lambda: infobatch_outcomes(range(17), 0.5),
            "The 'gradients' of infobatch_outcomes must be 1 to 16 numbers. Got 17.",
        ),
        (
            lambda: infobatch_outcomes([1, float("nan")], 0.5),
            "The 'gradients' of infobatch_outcomes must be finite and real. Got nan.",
        ),
        (
            lambda: infobatch_outcomes(["1"], 0.5),
            "The 'gradients' of infobatch_outcomes must be finite and real. Got '1'.",
        ),
        (
            lambda: infobatch_outcomes(TOY, 0.5, scores=[1]),
            "The 'scores' of infobatch_outcomes must be one per gradient. Got 1 for 5.",
        ),
        (
            lambda: orderdp_outcomes(TOY, [1, 2], 2),
            "The 'sizes' of orderdp_outcomes must be an integer in [q, n] = [2, 5]. Got 1.",
        ),
        (
            lambda: orderdp_outcomes(TOY, 6, 2),
            "The 'sizes' of orderdp_outcomes must be an integer in [q, n] = [2, 5]. Got 6.",
        ),
        (
            lambda: orderdp_outcomes(TOY, [], 2),
            "The 'sizes' of orderdp_outcomes must name at least one number of candidates.",
        ),
        (
            lambda: orderdp_outcomes(TOY, 3, 0),
            "The 'q' of orderdp_outcomes must be an integer in [1, n] = [1, 5]. Got 0.",
        ),
        (lambda: random_outcomes(TOY, 6), "The 'q' of random_outcomes must be an integer in [1, n] = [1, 5]. Got 6."),
        (
            lambda: expectations(random_outcomes(TOY, 2)[1:]),
            "The probabilities of the outcomes must sum to 1. They sum to 9/10.",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)
