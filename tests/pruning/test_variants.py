"""Variants of OrderDP beyond the paper: the contract, exact budgets, and which ranks they keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom

from orderdp.pruning import OrderDP, Pruner, ScheduledOrderDP
from orderdp.theory import rank_weights
from tests.pruning import test_contract as contract
from tests.pruning.conftest import LOSSES, RATIO, N, loss_table, scores, train

VARIANTS: dict[str, dict[str, Any]] = {
    "easiest": {"hard_fraction": 0.0},
    "mixed": {"hard_fraction": 0.3},
    "trimmed": {"trim": 0.2},
    "trimmed and mixed": {"trim": 0.2, "hard_fraction": 0.5},
    "smoothed": {"smoothing": 0.3},
    "all": {"trim": 0.1, "hard_fraction": 0.6, "smoothing": 0.5},
}
SCHEDULED: dict[str, dict[str, Any]] = {
    "rising": {"schedule": "linear", "rise": 0.6},
    "falling": {"schedule": "cosine", "rise": -0.6, "explore": 0.9},
    "stepped": {"schedule": "step", "rise": 0.5},
}
EPOCHS = 8
each = pytest.mark.parametrize("variant", VARIANTS)


def build(variant: str, n: int = N, seed: int = 0) -> Pruner:
    if variant in SCHEDULED:
        return ScheduledOrderDP.at_ratio(n, RATIO, epochs=EPOCHS, seed=seed, **SCHEDULED[variant])
    return OrderDP.at_ratio(n, RATIO, explore=0.7, seed=seed, **VARIANTS[variant])


@pytest.mark.parametrize("variant", [*VARIANTS, *SCHEDULED])
@pytest.mark.parametrize(
    "check",
    [
        contract.test_equal_pruners_train_the_same_and_seeds_differ,
        contract.test_selecting_is_pure,
        contract.test_indices_and_weights_are_well_formed,
        contract.test_order_is_the_full_datas_order_without_the_others,
        contract.test_length_is_as_announced_before_and_after,
        contract.test_global_random_states_stay_untouched,
        contract.test_state_goes_on_in_the_middle_of_an_epoch,
        contract.test_state_is_a_copy,
        contract.test_repr_rebuilds,
        contract.test_usage_and_ratio_equal_a_count,
    ],
    ids=lambda check: check.__name__.removeprefix("test_"),
)
def test_variants_keep_the_contract(variant: str, check: Callable[[str], None], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(contract, "make", lambda name, n=N, seed=0: build(variant, n, seed))
    check("orderdp")


@each
@pytest.mark.parametrize("n", [2, 7, 97, 1000])
def test_every_epoch_keeps_exactly_q(variant, n):
    pruner = build(variant, n)
    kept = {len(epoch) for epoch in contract.train(pruner, range(12))}
    assert kept == {round((1 - RATIO) * n)}


@pytest.mark.parametrize("variant", SCHEDULED)
@pytest.mark.parametrize("n", [10, 97, 1000])
def test_schedules_keep_exactly_what_they_say(variant, n):
    pruner = build(variant, n)
    kept = [len(epoch) for epoch in contract.train(pruner, range(EPOCHS))]
    assert kept == [round((1 - pruner.ratio(epoch)) * n) for epoch in range(EPOCHS)]
    assert pruner.realised_prune_ratio == pytest.approx(1 - sum(kept) / (EPOCHS * n), abs=1e-15)
    assert pruner.realised_prune_ratio == pytest.approx(RATIO, abs=1 / n)
    assert len(set(kept)) > 1
    # A longer training than planned goes on with the last ratio.
    assert len(pruner.select(EPOCHS + 40).indices) in (kept[-1], round((1 - RATIO - pruner.rise / 2) * n))


def ranked_twin(pruner: OrderDP, known: list[float], epoch: int) -> set[int]:
    """Literal twin: sort the candidates; cut the highest known; take from both ends."""
    pool = set(OrderDP(pruner.n, explore=pruner.explore, exploit=1.0, seed=pruner.seed).select(epoch).indices.tolist())
    by_score = sorted(pool, key=lambda index: -known[index])
    by_score = by_score[round(pruner.trim * len(by_score)) :]
    hard = round(pruner.hard_fraction * pruner.kept)
    easy = pruner.kept - hard
    return set(by_score[:hard]) | set(by_score[len(by_score) - easy :])


@each
def test_selection_against_its_literal_twin_with_stale_scores(variant):
    pruner = build(variant)
    twin = LOSSES[29].tolist()
    pruner.prime(torch.arange(N), LOSSES[29])
    for epoch in range(10):
        expected = ranked_twin(pruner, twin, epoch)
        assert set(pruner.select(epoch).indices.tolist()) == expected
        train(pruner, range(epoch, epoch + 1))
        for index in expected:
            a = pruner.smoothing
            twin[index] = (1 - a) * twin[index] + a * LOSSES[epoch, index].item()
        assert scores(pruner).tolist() == pytest.approx(twin, rel=1e-6)
        twin = scores(pruner).tolist()  # rounding must not decide a rank


def weights(pruner: OrderDP) -> np.ndarray:
    """gamma by rank, from the theory."""
    n, s, q, h = pruner.n, pruner.candidates, pruner.kept, round(pruner.hard_fraction * pruner.kept)
    t = round(pruner.trim * s)
    gamma = np.zeros(n)
    if h:
        gamma += rank_weights(n, s, t + h) - (rank_weights(n, s, t) if t else 0)
    return gamma + (rank_weights(n, s, q - h, n_hard=0) if q > h else 0)


def refuted(counts: np.ndarray, trials: int, gamma: np.ndarray, alarm: float = 1e-6) -> bool:
    """Whether counts of selections are improbable under the probabilities gamma.

    The epochs are independent, so a rank's count is binomial; two tails of n ranks share the probability of a false
    alarm, at most `alarm`.
    """
    gamma = np.clip(gamma, 0, 1)
    tail = np.minimum(binom.cdf(counts, trials, gamma), binom.sf(counts - 1, trials, gamma))
    return bool((tail < alarm / (2 * len(counts))).any())


@pytest.mark.parametrize(("n", "s", "q"), [(20, 12, 6), (15, 15, 4), (30, 9, 3)])
@each
def test_ranks_are_kept_as_often_as_the_theory_says(variant, n, s, q):
    losses = torch.linspace(0, 3, n)[torch.randperm(n, generator=torch.Generator().manual_seed(1))]
    pruner = OrderDP(n, explore=s / n, exploit=q / s, **VARIANTS[variant])
    pruner.prime(torch.arange(n), losses)
    trials = 4000
    usage = sum(torch.bincount(pruner.select(epoch).indices, minlength=n) for epoch in range(trials))
    counts = usage[losses.argsort(descending=True)].numpy()
    gamma = weights(pruner)
    assert gamma.sum() == pytest.approx(q)
    assert not refuted(counts, trials, gamma)
    # The test can fail: it tells other weights apart, those of a uniform draw and those of the mirror image.
    assert refuted(counts, trials, np.full(n, q / n))
    mirror = pruner.trim == 0 and 2 * round(pruner.hard_fraction * q) == q  # symmetric in itself
    assert refuted(counts, trials, gamma[::-1]) or mirror


@each
def test_samples_never_seen_come_first(variant):
    pruner = build(variant)
    pruner.prime(torch.arange(60), torch.full((60,), 1e30))
    unseen = set(range(60, N))  # 37 of the 48 to keep
    candidates = set(OrderDP(N, explore=pruner.explore, exploit=1.0).select(0).indices.tolist())
    assert set(pruner.select(0).indices.tolist()) >= unseen & candidates
    # None is left out for good before it was seen, whatever the losses of the others are.
    for losses in (1e6, -1e6):
        pruner = build(variant)
        train(pruner, range(40), torch.full((40, N), losses))
        assert int(pruner.usage.min()) >= 1


def test_trimming_takes_the_highest_known_scores_only():
    pruner = OrderDP(20, explore=1.0, exploit=0.5, trim=0.25)
    pruner.prime(torch.arange(12), torch.arange(12.0))
    # 8 unseen stay; of 12 known, round(0.25 * 12) = 3 go: 11, 10, 9. The next two highest fill up.
    assert set(pruner.select(0).indices.tolist()) == {*range(12, 20), 8, 7}
    # A loss that is not finite tells nothing: it counts as never seen.
    pruner.prime([11], torch.tensor([math.nan]))
    assert 11 in pruner.select(0).indices.tolist()


def test_moving_average_of_the_scores():
    pruner = OrderDP(4, explore=1.0, exploit=1.0, smoothing=0.25)
    for losses in ([1.0, 2.0, math.inf], [3.0, math.nan, 5.0], [5.0, 4.0, 7.0]):
        pruner.prime([0, 1, 2], torch.tensor(losses))
    # 1 -> 1.5 -> 2.375; 2 -> lost -> starts anew; lost -> 5 -> 5.5; never seen.
    assert scores(pruner).tolist() == [2.375, 4.0, 5.5, math.inf]


def test_the_paper_is_the_default():
    plain = OrderDP(N, explore=0.7, exploit=0.6)
    stated = OrderDP(N, explore=0.7, exploit=0.6, hard_fraction=1, trim=0, smoothing=1)
    losses = loss_table(6)
    assert train(plain, range(6), losses) == train(stated, range(6), losses)
    constant = ScheduledOrderDP(N, prune_ratio=0.58, explore=0.7)
    assert train(OrderDP.at_ratio(N, 0.58, explore=0.7), range(6), losses) == train(constant, range(6), losses)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hard_fraction": 1.5}, r"'hard_fraction' of OrderDP must be in \[0, 1\]. Got 1.5"),
        ({"hard_fraction": None}, "'hard_fraction' of OrderDP"),
        ({"trim": 1.0}, r"'trim' of OrderDP must be in \[0, 1\)"),
        (
            {"trim": 0.5},
            r"'trim' = 0.5 leaves 25 of its 50 candidates, fewer than the 30 .* Lower 'trim' to at most 0.4",
        ),
        ({"trim": 0.1, "initial_score": 3.0}, "needs an infinite 'initial_score': 3 could be"),
        ({"smoothing": 0.0}, r"'smoothing' of OrderDP must be in \(0, 1\]"),
    ],
)
def test_bad_variants_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        OrderDP(100, explore=0.5, exploit=0.6, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"schedule": "lineal"},
            "Unknown 'schedule' 'lineal' of ScheduledOrderDP. Known: constant, linear, cosine, step",
        ),
        ({"rise": 0.2}, "'rise' needs 'epochs'"),
        ({"rise": 1.2, "epochs": 4}, r"goes from -0.1 to 1.1. Both ends must be in \(0, 1\)"),
        (
            {"rise": 0.4, "epochs": 2, "explore": 0.5},
            r"q > s: .* 'explore' = 0.5 .* the 60 samples that epoch 0 keeps. .* at least 0.6",
        ),
        ({"epochs": 0}, "'epochs' of ScheduledOrderDP must be an integer of at least 1"),
    ],
)
def test_bad_schedules_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        ScheduledOrderDP(100, prune_ratio=0.5, **options)
