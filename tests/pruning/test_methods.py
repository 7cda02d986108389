"""Each method against a slow twin in plain Python, and the statements that the method's paper makes of it."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
import torch
from scipy.stats import hypergeom

from orderdp.pruning import (  # fmt: skip
    UCB,
    EpsilonGreedy,
    FullData,
    InfoBatch,
    OrderDP,
    OrderDPBatches,
    RandomPruning,
    StaticSubset,
)
from orderdp.pruning.observations import without_repetition
from orderdp.pruning.rng import numpy_generator, permutation
from tests.pruning.conftest import LOSSES, SAMPLERS, N, loss_table, make, scores, train


def observed(pruner, losses):
    """The pruner after it has seen all samples once."""
    pruner.prime(torch.arange(pruner.n), torch.as_tensor(losses))
    return pruner


def kept(pruner, epoch=0):
    return set(pruner.select(epoch).indices.tolist())


def top_of(pool, values, count):
    return set(sorted(pool, key=lambda index: -values[index])[:count])


def close_to_rate(count, trials, rate, z=4.5):
    """Whether a binomial count is within z standard errors; the streams are fixed, so the outcome is too."""
    return abs(count - trials * rate) <= z * math.sqrt(trials * rate * (1 - rate)) + 1e-9


# Order and streams


@pytest.mark.parametrize("name", SAMPLERS)
def test_all_methods_visit_their_samples_in_the_order_of_the_full_data(name):
    pruner, full = make(name, seed=4), FullData(N, seed=4)
    for epoch in range(5):
        chosen = pruner.select(epoch).indices.tolist()
        assert chosen == [index for index in full.select(epoch).indices.tolist() if index in set(chosen)]
        train(pruner, range(epoch, epoch + 1))


def test_streams_differ_in_seed_purpose_and_epoch():
    keys = [(0, "order", 0), (1, "order", 0), (0, "select", 0), (0, "order", 1), (10, "order", 1), (1, "order", 10)]
    assert len({tuple(numpy_generator(*key).integers(0, 2**40, 3)) for key in keys}) == len(keys)
    assert sorted(permutation(50, 3, 1).tolist()) == list(range(50))


def test_streams_never_change():
    # Golden values: with other streams, old and new runs could not be compared. NumPy
    # may change its streams between versions.
    assert permutation(10, 0, 0).tolist() == [9, 6, 8, 5, 2, 4, 3, 7, 0, 1]
    assert OrderDP(10, explore=0.8, exploit=0.5).select(3).indices.tolist() == [4, 8, 5, 6]


def test_repeated_observations_are_learned_in_order_of_arrival():
    draw = random.Random(0)
    indices = [draw.randrange(6) for _ in range(40)]
    values = [float(position) for position in range(40)]
    histories: dict[int, list[float]] = {}
    for part, part_values in without_repetition(torch.tensor(indices), torch.tensor(values), 6):
        assert len(set(part.tolist())) == len(part)
        for index, value in zip(part.tolist(), part_values.tolist(), strict=True):
            histories.setdefault(index, []).append(value)
    for index in range(6):
        twin = [v for i, v in zip(indices, values, strict=True) if i == index]
        assert histories.get(index, []) == twin


# OrderDP


def candidates_of(pruner, epoch):
    """The candidates that an OrderDP draws: with q = s, all of them are kept."""
    return kept(OrderDP(pruner.n, explore=pruner.explore, exploit=1.0, seed=pruner.seed), epoch)


def test_orderdp_is_the_top_q_of_its_candidates_with_stale_scores():
    pruner = OrderDP(N, explore=0.6, exploit=0.4, seed=2)
    twin = LOSSES[29].tolist()
    observed(pruner, twin)
    s, q = round(0.6 * N), round(0.4 * round(0.6 * N))
    for epoch in range(12):
        candidates = candidates_of(pruner, epoch)
        assert len(candidates) == s
        expected = top_of(candidates, twin, q)
        assert kept(pruner, epoch) == expected
        train(pruner, range(epoch, epoch + 1))
        for index in expected:  # only what was trained gets a new score
            twin[index] = LOSSES[epoch, index].item()
        assert scores(pruner).tolist() == twin


def test_orderdp_keeps_exactly_q_every_epoch():
    pruner = OrderDP(1000, explore=0.58, exploit=0.7)
    losses = loss_table(20, 1000)
    for epoch in range(20):
        assert sum(map(len, train(pruner, range(epoch, epoch + 1), losses))) == round(0.7 * 580)
    assert pruner.realised_prune_ratio == pytest.approx(1 - 406 / 1000)
    # As floats, 0.58 * 50,000 is just below 29,000.
    assert OrderDP(50_000, explore=0.58, exploit=1.0).candidates == 29_000


def test_orderdp_breaks_ties_at_random():
    pruner = observed(OrderDP(20, explore=1.0, exploit=0.5), [1.0] * 10 + [2.0] * 5 + [0.0] * 5)
    counts = Counter(index for epoch in range(2000) for index in kept(pruner, epoch))
    assert all(counts[index] == 2000 for index in range(10, 15))
    assert all(counts[index] == 0 for index in range(15, 20))
    assert all(close_to_rate(counts[index], 2000, 0.5) for index in range(10))


def test_orderdp_takes_unseen_samples_first_whatever_the_losses():
    pruner = OrderDP(10, explore=1.0, exploit=0.5)
    pruner.prime(list(range(6)), torch.full((6,), 1e30))
    assert kept(pruner) >= {6, 7, 8, 9}
    pruner.prime([6, 7, 8], torch.full((3,), 1e30))
    pruner.prime([0], torch.tensor([float("nan")]))
    assert kept(pruner) >= {9, 0}


@pytest.mark.parametrize(("n", "s", "q"), [(20, 10, 6), (15, 15, 4), (30, 6, 1), (12, 8, 8)])
def test_orderdp_selects_ranks_as_often_as_the_paper_says(n, s, q):
    losses = torch.linspace(0, 3, n)[torch.randperm(n, generator=torch.Generator().manual_seed(1))]
    pruner = observed(OrderDP(n, explore=s / n, exploit=q / s), losses)
    trials = 6000
    counts = Counter(index for epoch in range(trials) for index in kept(pruner, epoch))
    ranked = losses.argsort(descending=True).tolist()
    for j, index in enumerate(ranked, start=1):
        gamma = s / n * hypergeom.cdf(q - 1, n - 1, j - 1, s - 1)
        assert close_to_rate(counts[index], trials, min(gamma, 1.0)), f"rank {j}"


def test_orderdp_uses_every_sample_at_99_percent_pruning():
    pruner = OrderDP.at_ratio(500, 0.99)
    train(pruner, range(300), torch.full((300, 500), 1e6))  # the hardest case: seen samples have huge losses
    assert int(pruner.usage.min()) >= 1
    assert pruner.realised_prune_ratio == pytest.approx(0.99)


def test_a_constant_initial_score_below_the_losses_starves_samples():
    # Why unseen samples have infinite scores: the released code's constants leave samples unused for good.
    usage = []
    for initial in (math.inf, 1.0):
        pruner = OrderDP(500, explore=0.5, exploit=0.6, initial_score=initial)
        train(pruner, range(40), torch.full((40, 500), 1.1) + loss_table(40, 500))
        usage.append(int((pruner.usage == 0).sum()))
    assert usage[0] == 0 and usage[1] > 50


def test_orderdp_candidates_depend_on_seed_and_epoch():
    sets = {
        frozenset(kept(OrderDP(N, explore=0.5, exploit=1.0, seed=seed), epoch))
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(sets) == 16


def test_orderdp_at_ratio_keeps_exactly_the_rounded_share():
    for n in [*range(2, 40), 97, 100, 1437, 9_999, 50_000, 1_281_167]:
        for percent in (1, 10, 28, 29, 30, 42, 50, 57, 58, 70, 85, 90, 99):
            p = percent / 100
            wanted = round((1 - p) * n)
            if wanted == 0:
                with pytest.raises(ValueError, match="at least one"):
                    OrderDP.at_ratio(n, p)
                continue
            for explore in (None, 1.0, 1 - p / 2):
                if explore is not None and round(explore * n) < wanted:
                    continue
                pruner = OrderDP.at_ratio(n, p, explore=explore)
                share = math.sqrt(1 - p) if explore is None else explore
                assert (pruner.candidates, pruner.kept) == (round(share * n), wanted), (n, p, explore)


# OrderDP at every step


def test_batches_are_ranked_by_the_scores_at_their_turn():
    n, q = 40, 8
    pruner = OrderDPBatches(n, candidates=n, batch_size=q, steps=10)
    twin, seen = [math.inf] * n, set()
    draw = random.Random(0)
    for epoch in range(3):
        for step, batch in enumerate(pruner.batches(epoch, q)[0]):
            chosen = set(batch.tolist())
            assert len(chosen) == q
            if epoch == 0 and step < n // q:
                assert not chosen & seen, "unseen samples first"
            else:
                assert chosen == top_of(range(n), twin, q)
            seen |= chosen
            new = [draw.random() for _ in range(q)]
            pruner.observe(batch, torch.tensor(new))
            for index, value in zip(batch.tolist(), torch.tensor(new).tolist(), strict=True):
                twin[index] = value


def test_batches_draw_their_candidates_anew_and_uniformly():
    pruner = OrderDPBatches(20, candidates=5, batch_size=5, steps=4000)
    batches = [batch.tolist() for batch in pruner.batches(0, 5)[0]]
    counts = Counter(index for batch in batches for index in batch)
    assert all(len(set(batch)) == 5 for batch in batches)
    assert all(close_to_rate(counts[index], 4000, 5 / 20) for index in range(20))
    assert len({tuple(sorted(batch)) for batch in batches}) > 3000


def test_batches_select_ranks_as_often_as_the_paper_says():
    n, s, q, steps = 20, 10, 3, 6000
    pruner = observed(OrderDPBatches(n, candidates=s, batch_size=q, steps=steps), torch.linspace(3, 0, n))
    counts = Counter(pruner.select(0).indices.tolist())
    for j in range(1, n + 1):
        gamma = s / n * hypergeom.cdf(q - 1, n - 1, j - 1, s - 1)
        assert close_to_rate(counts[j - 1], steps, gamma), f"rank {j}"


# Random pruning and fixed subsets


def test_random_pruning_is_uniform_and_anew_every_epoch():
    pruner = RandomPruning(20, prune_ratio=0.7)
    sets = [kept(pruner, epoch) for epoch in range(4000)]
    counts = Counter(index for chosen in sets for index in chosen)
    assert {len(chosen) for chosen in sets} == {6}
    assert all(close_to_rate(counts[index], 4000, 0.3) for index in range(20))
    pairs = sum({0, 1} <= chosen for chosen in sets)  # independent of each other, up to the fixed number
    assert close_to_rate(pairs, 4000, 6 * 5 / (20 * 19))


def test_rescaled_random_pruning_estimates_the_full_sum():
    pruner = RandomPruning(20, prune_ratio=0.7, rescale=True)
    assert pruner.select(0).weights.tolist() == pytest.approx([20 / 6] * 6)
    assert RandomPruning(20, prune_ratio=0.7).select(0).weights is None


def test_a_static_subset_is_the_given_one_with_its_weights():
    pruner = StaticSubset(10, indices=[7, 2, 5], weights=[1.0, 2.0, 3.0])
    for epoch in range(3):
        indices, weights = pruner.select(epoch)
        pairs = dict(zip(indices.tolist(), weights.tolist(), strict=True))
        assert pairs == {7: 1.0, 2: 2.0, 5: 3.0}
    assert kept(StaticSubset.at_ratio(100, 0.6, seed=1)) != kept(StaticSubset.at_ratio(100, 0.6, seed=2))


# InfoBatch


def twin_low(values):
    seen = [value for value in values if math.isfinite(value)]
    mean = sum(seen) / len(seen)
    return {index for index, value in enumerate(values) if value < mean}


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.9, 0.95])
def test_infobatch_nominal_is_the_published_rule(ratio):
    values = LOSSES[0].tolist()
    pruner = observed(InfoBatch(N, prune_ratio=ratio), values)
    low, share = twin_low(values), max(1 - ratio, 0.1)
    for epoch in range(5):
        indices, weights = pruner.select(epoch)
        chosen = set(indices.tolist())
        assert chosen >= set(range(N)) - low, "all at or above the mean"
        assert len(chosen & low) == math.floor(share * len(low) + 1e-9)
        for index, weight in zip(indices.tolist(), weights.tolist(), strict=True):
            assert weight == pytest.approx(1 / share if index in low else 1.0)


def test_infobatch_uses_everything_before_any_loss_and_whenever_all_are_equal():
    pruner = InfoBatch(N, prune_ratio=0.5)
    assert len(kept(pruner)) == N and pruner.select(0).weights is None
    # 0.1 in float32: a sum of many is not exact, and must not put samples below "the mean".
    assert len(kept(observed(pruner, torch.full((N,), 0.1)), 1)) == N


def test_infobatch_keeps_samples_never_seen():
    pruner = InfoBatch(10, prune_ratio=0.9)
    pruner.prime(list(range(8)), torch.tensor([0.0] * 6 + [9.0, float("inf")]))
    assert all(kept(pruner, epoch) >= {6, 7, 8, 9} for epoch in range(20))
    assert pruner.select(0).weights.isfinite().all()


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.4])
def test_infobatch_of_all_meets_the_ratio_where_it_can(ratio):
    pruner = InfoBatch(N, prune_ratio=ratio, ratio_of="all")
    for epoch in range(8):
        known = bool(scores(pruner).isfinite().any())
        count = len(pruner.begin_epoch(epoch).indices)
        assert count == (round((1 - ratio) * N) if known else N)
        train(pruner, range(epoch, epoch + 1))
    assert pruner.feasible


def test_infobatch_of_all_says_when_the_ratio_is_out_of_reach():
    values = [0.0] * 30 + [3.0] * 70  # only 30 of 100 are below the mean
    pruner = observed(InfoBatch(100, prune_ratio=0.5, ratio_of="all"), values)
    assert len(pruner.begin_epoch(0).indices) == 70 + 3  # a tenth of those below stays
    assert not pruner.feasible
    assert max(pruner.select(0).weights.tolist()) == pytest.approx(10)


@pytest.mark.parametrize("ratio_of", ["below_mean", "all"])
def test_infobatch_weights_keep_sums_unbiased(ratio_of):
    n, trials = 60, 3000
    values = torch.cat([torch.linspace(0, 1, 40), torch.linspace(4, 5, 20)])
    pruner = observed(InfoBatch(n, prune_ratio=0.5 if ratio_of == "below_mean" else 0.4, ratio_of=ratio_of), values)
    assert len(twin_low(values.tolist())) == 40
    other = torch.rand(n, generator=torch.Generator().manual_seed(0)).double()  # any quantity, not only the loss
    sums = []
    for epoch in range(trials):
        indices, weights = pruner.select(epoch)
        sums.append(float((weights * other[indices]).sum()))
    mean = sum(sums) / trials
    error = math.sqrt(sum((value - mean) ** 2 for value in sums) / trials / trials)
    assert abs(mean - float(other.sum())) < 4.5 * error


def test_infobatch_anneals_with_all_data_in_the_last_epochs():
    pruner = InfoBatch(N, prune_ratio=0.5, annealing=0.875, epochs=16)
    sizes = [sum(map(len, train(pruner, range(epoch, epoch + 1)))) for epoch in range(16)]
    assert sizes[0] == N and all(size < N for size in sizes[1:14]) and sizes[14:] == [N, N]
    assert pruner.select(15).weights is None


# Moving averages


def twin_averages(observations, alpha):
    mean, variance = {}, {}
    for index, loss in observations:
        if index not in mean:
            mean[index], variance[index] = loss, 0.0
        else:
            old = mean[index]
            variance[index] = (1 - alpha) * variance[index] + alpha * (loss - old) ** 2
            mean[index] = (1 - alpha) * old + alpha * loss
    return mean, variance


@pytest.mark.parametrize("alpha", [0.8, 0.3, 1.0])
def test_moving_averages_equal_those_of_a_loop(alpha):
    draw = random.Random(1)
    pruner = UCB(12, prune_ratio=0.5, smoothing=alpha)
    observations = []
    for _ in range(15):
        part = [(draw.randrange(10), draw.uniform(0, 5)) for _ in range(7)]  # with repetitions; 10 and 11 never
        pruner.prime([index for index, _ in part], torch.tensor([loss for _, loss in part]))
        observations += part
        if draw.random() < 0.5:
            pruner.select(1)  # learned in parts or at once: no difference
    mean, variance = twin_averages(observations, alpha)
    memory = pruner.state_dict()["memory"]
    assert memory["_mean"].tolist() == pytest.approx([mean.get(i, math.inf) for i in range(12)], rel=1e-4)
    assert memory["_variance"].tolist() == pytest.approx([variance.get(i, 0.0) for i in range(12)], rel=1e-3, abs=1e-5)


def test_a_loss_that_is_not_finite_is_forgotten_at_the_next_one():
    pruner = UCB(4, prune_ratio=0.5, warmup_epochs=0, period=1)
    pruner.prime([0, 1, 2, 3], torch.tensor([1.0, 2.0, 3.0, 4.0]))
    pruner.prime([0], torch.tensor([float("nan")]))
    assert kept(pruner) == {0, 3}
    pruner.prime([0], torch.tensor([1.0]))
    assert kept(pruner) == {2, 3}


@pytest.mark.parametrize("c", [0.0, 1.0, 2.5])
def test_ucb_is_the_top_by_mean_and_variance(c):
    pruner = UCB(N, prune_ratio=0.6, variance_weight=c, period=1, warmup_epochs=0)
    observations = []
    for row in LOSSES[:5]:
        observed(pruner, row)
        observations += list(enumerate(row.tolist()))
    mean, variance = twin_averages(observations, 0.8)
    score = [mean[i] + c * variance[i] for i in range(N)]
    assert kept(pruner, 3) == top_of(range(N), score, round(0.4 * N))


@pytest.mark.parametrize("method", [UCB, EpsilonGreedy])
def test_a_set_is_held_for_a_period_after_the_warm_up(method):
    pruner = method(N, prune_ratio=0.5, period=3, warmup_epochs=2)
    sets = []
    for epoch in range(11):
        sets.append(set(pruner.begin_epoch(epoch).indices.tolist()))
        train(pruner, range(epoch, epoch + 1))
    assert sets[0] == sets[1] == set(range(N))
    assert sets[2] == sets[3] == sets[4] != sets[5] == sets[6] == sets[7] != sets[8] == sets[9] == sets[10]


@pytest.mark.parametrize("epsilon", [0.0, 0.25, 1.0])
def test_epsilon_greedy_adds_a_uniform_share_to_the_top(epsilon):
    n, q, trials = 40, 20, 3000
    values = torch.linspace(5, 0, n)
    pruner = observed(EpsilonGreedy(n, prune_ratio=0.5, epsilon=epsilon, period=1, warmup_epochs=0), values)
    greedy = round((1 - epsilon) * q)
    sets = [kept(pruner, epoch) for epoch in range(trials)]
    assert all(len(chosen) == q and set(range(greedy)) <= chosen for chosen in sets)
    counts = Counter(index for chosen in sets for index in chosen)
    rate = (q - greedy) / (n - greedy)
    assert all(close_to_rate(counts[index], trials, rate) for index in range(greedy, n))
