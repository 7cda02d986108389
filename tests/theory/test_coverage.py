"""Coverage and similarity: the formulas, a simulation of Algorithm 1 in NumPy, and the pruner itself."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from orderdp.pruning import OrderDP
from orderdp.theory import expected_jaccard, fixed_never_kept, never_kept, random_jaccard
from tests.theory.twins import enumerated_weights, kept_sets

N, EPOCHS = 20_000, 6
SPLITS = [(0.5, 0.6), (0.75, 0.8), (1.0, 0.3), (0.3, 1.0)]
STARTS = ["unseen_first", "fixed_ranking", "random"]


def jaccard(a, b):
    a, b = set(a.tolist()), set(b.tolist())
    return len(a & b) / len(a | b)


def simulated_sets(explore, exploit, start):
    """The kept set of every epoch, by Algorithm 1 on scores of the model's kind."""
    rng = np.random.default_rng(1)
    s, q = round(explore * N), round(exploit * round(explore * N))
    scores = np.full(N, np.inf) if start == "unseen_first" else rng.random(N)
    for _ in range(EPOCHS):
        if start == "random":
            scores = rng.random(N)
        candidates = rng.choice(N, s, replace=False)
        kept = candidates[np.argsort(-scores[candidates], kind="stable")[:q]]
        if start == "unseen_first":
            scores[kept] = rng.random(q)
        yield kept


def pruned_sets(explore, exploit, start):
    """The same from the pruner of the package."""
    pruner, rng = OrderDP(N, explore=explore, exploit=exploit, seed=3), np.random.default_rng(2)
    fixed = torch.from_numpy(rng.random(N))
    if start == "fixed_ranking":
        pruner.prime(torch.arange(N), fixed)
    for epoch in range(EPOCHS):
        if start == "random":
            pruner.prime(torch.arange(N), torch.from_numpy(rng.random(N)))
        kept = pruner.begin_epoch(epoch).indices
        yield kept.numpy()
        pruner.observe(kept, fixed[kept])


def unseen(sets):
    """After 0, 1, ... epochs."""
    left, shares = set(range(N)), [1.0]
    for kept in sets:
        left -= set(kept.tolist())
        shares.append(len(left) / N)
    return shares


@pytest.mark.parametrize("sets", [simulated_sets, pruned_sets])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(("explore", "exploit"), SPLITS)
def test_models_of_coverage(sets, start, explore, exploit):
    expected = never_kept(EPOCHS, explore, exploit, start=start)
    np.testing.assert_allclose(unseen(sets(explore, exploit, start)), expected, atol=0.01)


@given(st.integers(0, 60), st.floats(0, 1, exclude_min=True), st.floats(0, 1, exclude_min=True))
@example(3, 1e-300, 0.5)
@example(3, 1e-200, 1e-200)
@example(3, 5e-324, 1.0)
@example(3, 1.0, 5e-324)
def test_unseen_first_is_its_recurrence(epochs, explore, exploit):
    shares = [1.0]
    for _ in range(epochs):
        shares.append(shares[-1] - min(explore * shares[-1], explore * exploit))
    np.testing.assert_allclose(never_kept(epochs, explore, exploit), shares, atol=1e-12)


@pytest.mark.parametrize(("n", "s"), [(1, 1), (3, 2), (5, 3), (6, 6), (7, 4)])
def test_a_fixed_ranking_by_enumeration(n, s):
    for (q, hardest), gamma in enumerated_weights(n, s).items():
        if hardest == q:
            for epochs in (0, 1, 2, 7):
                exact = sum((1 - chance) ** epochs for chance in gamma) / n
                assert fixed_never_kept(epochs, n, s, q) == pytest.approx(float(exact), abs=1e-14)


def test_a_fixed_ranking_as_two_epochs_draw_it():
    """All pairs of draws of candidates, without the weights."""
    n, s, q = 5, 3, 2
    sets = list(kept_sets(range(n), s, q))
    left = [Fraction(n - len({*first, *second}), n) for first, second in product(sets, repeat=2)]
    assert fixed_never_kept(2, n, s, q) == pytest.approx(float(sum(left) / len(left)))


@pytest.mark.parametrize(("n", "s", "q", "epochs", "covered"), [
    (50, 25, 15, 200, 0.751), (100, 50, 30, 200, 0.713), (1437, 718, 431, 200, 0.632),
    (50_000, 25_000, 15_000, 200, 0.605),
    (50_000, 100, 30, 20_000, 0.403),
])  # fmt: skip
def test_a_fixed_ranking_covers_more_than_in_the_limit(n, s, q, epochs, covered):
    assert 1 - fixed_never_kept(epochs, n, s, q) == pytest.approx(covered, abs=5e-4)
    assert fixed_never_kept(epochs, n, s, q) < never_kept(epochs, s / n, q / s, start="fixed_ranking")[-1]
    assert fixed_never_kept(10**12, n, s, q) >= (s - q) / n
    if n == 50:
        assert fixed_never_kept(10**12, n, s, q) == pytest.approx((s - q) / n)


def test_covering_at_99_percent_takes_more_than_a_hundred_epochs():
    left = 50_000 * never_kept(500, 0.1, 0.1)
    assert 100 < np.argmax(left < 0.5) < 200


def test_the_similarity_of_few_samples_exceeds_the_limit():
    n, s, q = 3, 2, 1
    sets = [{*kept} for kept in kept_sets(range(n), s, q)]
    pairs = [Fraction(len(a & b), len(a | b)) for a, b in product(sets, repeat=2)]
    assert sum(pairs) / len(pairs) == Fraction(5, 9) > expected_jaccard(s / n, q / s) == pytest.approx(0.5)
    # Whatever the scores: of those kept before, on average s/n are candidates.
    shares = [Fraction(len({0} & {*candidates})) for candidates in combinations(range(n), s)]
    assert sum(shares) / len(shares) == Fraction(s, n)


@pytest.mark.parametrize("sets", [simulated_sets, pruned_sets])
@pytest.mark.parametrize(("explore", "exploit"), SPLITS)
def test_models_of_similarity(sets, explore, exploit):
    first, second, *_ = sets(explore, exploit, "fixed_ranking")
    assert jaccard(first, second) == pytest.approx(expected_jaccard(explore, exploit), abs=0.015)
    first, second, *_ = sets(explore, exploit, "random")
    assert jaccard(first, second) == pytest.approx(random_jaccard(explore * exploit), abs=0.015)


def test_no_course_of_the_scores_gives_more_similar_sets():
    # What was kept gets the highest scores: the pruner keeps it again whenever it is a candidate.
    pruner = OrderDP(N, explore=0.5, exploit=0.6, seed=0)
    pruner.prime(torch.arange(N), torch.zeros(N))
    before = pruner.begin_epoch(0).indices
    for epoch in range(1, 5):
        pruner.observe(before, torch.full((len(before),), float(epoch)))
        now = pruner.begin_epoch(epoch).indices
        assert jaccard(before, now) == pytest.approx(expected_jaccard(0.5, 0.6), abs=0.015)
        before = now


def test_published_numbers():
    # ImageNet's setting, never-seen samples first: .40, .10, .025, ...; with a fixed ranking a fifth is never kept.
    assert never_kept(4, 0.75, 0.8) == pytest.approx([1, 0.4, 0.1, 0.025, 0.00625])
    assert never_kept(90, 0.75, 0.8, start="fixed_ranking")[-1] == pytest.approx(0.2)
    assert [round(expected_jaccard(explore, 0.5), 3) for explore in (0.5, 0.75, 0.8)] == [0.333, 0.6, 0.667]
    # Table 8's 0.704 is above what explore = 0.8 can give.
    assert expected_jaccard(0.8, 0.375) < 0.704 < expected_jaccard(0.83, 0.36)


@pytest.mark.parametrize("start", STARTS)
def test_shape_and_ends(start):
    shares = never_kept(50, 0.5, 0.6, start=start)
    assert shares.shape == (51,) and shares.dtype == np.float64
    assert shares[0] == pytest.approx(1) and (np.diff(shares) <= 0).all() and shares[-1] >= 0
    assert shares[1] == pytest.approx(0.7)  # an epoch keeps q/n
    assert never_kept(3, 1.0, 1.0, start=start).tolist() == [1, 0, 0, 0]
    assert never_kept(0, 0.5, 0.5, start=start).tolist() == [1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: never_kept(-1, 0.5, 0.5), "The 'epochs' of never_kept must be an integer of at least 0. Got -1."),
        (lambda: never_kept(1, 0, 0.5), "The 'explore' of never_kept must be in (0, 1]. Got 0."),
        (lambda: never_kept(1, 0.5, 1.5), "The 'exploit' of never_kept must be in (0, 1]. Got 1.5."),
        (lambda: never_kept(1, 0.5, 0.5, start="x"), "must be one of unseen_first, fixed_ranking, random. Got 'x'."),
        (
            lambda: fixed_never_kept(1, 5, 6, 2),
            "The 's' of fixed_never_kept must be an integer in [1, n] = [1, 5]. Got 6.",
        ),
        (
            lambda: fixed_never_kept(-1, 5, 4, 2),
            "The 'epochs' of fixed_never_kept must be an integer of at least 0. Got -1.",
        ),
        (lambda: expected_jaccard(1.2, 0.5), "The 'explore' of expected_jaccard must be in (0, 1]. Got 1.2."),
        (lambda: expected_jaccard(0.5, float("nan")), "The 'exploit' of expected_jaccard must be in (0, 1]. Got nan."),
        (lambda: random_jaccard(0), "The 'keep' of random_jaccard must be in (0, 1]. Got 0."),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)
