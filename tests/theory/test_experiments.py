"""The theorems by experiment: every part against a slow, literal twin, then the theorems themselves on real data."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from itertools import combinations, islice, permutations

import numpy as np
import pytest
from scipy import optimize

from orderdp.theory import convergence_bound, rank_weights, surrogate_loss
from orderdp.theory import experiments as ex
from orderdp.theory import logistic as lg
from tests.theory.twins import enumerated_probabilities

RIDGE = 0.1


def clouds(n, d=3, classes=3, seed=0):
    """Gaussian clouds that overlap."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return draw.normal(size=(n, d)) / 2 + draw.normal(size=(classes, d))[y], y


def problem(n, s, q, **options):
    return ex.prepare(*clouds(n, **options), candidates=s, kept=q, ridge=RIDGE)


def literal_loss(theta, features, label, ridge):
    """One sample's loss, number by number."""
    logits = [sum(w * f for w, f in zip(row, [*features, 1], strict=True)) for row in theta]
    penalty = ridge / 2 * sum(w * w for row in theta for w in row)
    return math.log(sum(math.exp(logit) for logit in logits)) - logits[label] + penalty


def differences(function, theta, h=1e-6):
    """Central differences in each entry."""
    slope = np.zeros_like(theta)
    for at in np.ndindex(theta.shape):
        step = np.zeros_like(theta)
        step[at] = h
        slope[at] = (function(theta + step) - function(theta - step)) / (2 * h)
    return slope


def test_losses_and_gradients_one_sample_at_a_time():
    features, y = clouds(5)
    x, t, theta = lg.design(features), lg.one_hot(y, 3), np.random.default_rng(1).normal(size=(3, 4))
    literal = [lambda at, i=i: literal_loss(at, features[i], y[i], RIDGE) for i in range(5)]
    assert lg.losses(theta, x, t, RIDGE) == pytest.approx([loss(theta) for loss in literal])
    slopes = np.stack([differences(loss, theta) for loss in literal])
    assert lg.gradients(theta, x, t, RIDGE).reshape(5, 3, 4) == pytest.approx(slopes, abs=1e-8)
    weights = np.array([0.5, 0, 2, 0.1, 1])
    assert lg.gradient(theta, x, t, RIDGE, weights) == pytest.approx(np.tensordot(weights, slopes, 1), abs=1e-8)


def test_leading_axes_are_separate_models():
    features, y = clouds(8)
    x, t, thetas = lg.design(features), lg.one_hot(y, 3), np.random.default_rng(1).normal(size=(2, 3, 4))
    weights = np.random.default_rng(2).random((2, 8))
    for i in range(2):
        assert lg.losses(thetas, x, t, RIDGE)[i] == pytest.approx(lg.losses(thetas[i], x, t, RIDGE))
        assert lg.gradient(thetas, x, t, RIDGE, weights)[i] == pytest.approx(
            lg.gradient(thetas[i], x, t, RIDGE, weights[i])
        )


def test_large_logits_do_not_overflow():
    x, t = lg.design([[1000.0]]), lg.one_hot([0], 2)
    theta = np.array([[-5.0, 0], [5.0, 0]])
    assert lg.losses(theta, x, t, 0.0) == pytest.approx([10000])
    assert np.isfinite(lg.gradients(theta, x, t, 0.0)).all()


def test_no_gradient_in_the_ball_is_longer_than_lipschitz():
    features, y = clouds(20)
    x, t, draw = lg.design(features), lg.one_hot(y, 3), np.random.default_rng(3)
    for ball in (0.1, 1, 10, 1000):
        longest = 0
        for _ in range(200):
            theta = draw.normal(size=(3, 4))
            slopes = lg.gradients(theta * ball / np.linalg.norm(theta), x, t, RIDGE)
            longest = max(longest, np.linalg.norm(slopes, axis=1).max())
        assert longest <= lg.lipschitz(x, RIDGE, ball)
    assert longest > 0.9 * lg.lipschitz(x, RIDGE, ball)  # and it is not idle


@pytest.mark.parametrize("seed", range(5))
def test_projection_onto_the_permutations_of_gamma(seed):
    gamma = rank_weights(5, 3, 2) / 2
    v = np.random.default_rng(seed).normal(size=5) * 10.0 ** (seed - 3)
    near = lg.project(v, gamma)
    corners = np.array(list(permutations(gamma)))
    # Within the hull: its largest k entries sum to no more than gamma's (Rado), all together to the same.
    assert (np.cumsum(np.sort(near)[::-1]) <= np.cumsum(gamma) + 1e-12).all()
    assert near.sum() == pytest.approx(1)
    # Nearest: no corner lies on the far side of the plane through it.
    assert ((corners - near) @ (v - near)).max() <= 1e-12


@pytest.mark.parametrize(("s", "q"), [(3, 1), (4, 2), (3, 3)])
def test_minimum_against_a_program_with_one_constraint_per_kept_set(s, q):
    """min mean_S t_S subject to t_S >= (1/q) sum of L_i over every q of the candidates S: L_q without ranks or
    weights."""
    n, classes = 6, 2
    features, y = clouds(n, d=1, classes=classes, seed=4)
    x, t = lg.design(features), lg.one_hot(y, classes)
    pools = list(combinations(range(n), s))
    sets = [(p, kept) for p, pool in enumerate(pools) for kept in combinations(pool, q)]
    member, of_pool = np.zeros((len(sets), n)), np.zeros((len(sets), len(pools)))
    for row, (p, kept) in enumerate(sets):
        member[row, list(kept)], of_pool[row, p] = 1 / q, 1

    def room(z):
        return of_pool @ z[4:] - member @ lg.losses(z[:4].reshape(2, 2), x, t, RIDGE)

    def room_slope(z):
        return np.concatenate([-member @ lg.gradients(z[:4].reshape(2, 2), x, t, RIDGE), of_pool], axis=1)

    slow = optimize.minimize(
        lambda z: z[4:].mean(),
        np.r_[np.zeros(4), np.full(len(pools), 2.0)],
        jac=lambda z: np.r_[np.zeros(4), np.full(len(pools), 1 / len(pools))],
        constraints={"type": "ineq", "fun": room, "jac": room_slope},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},  # with 1e-14 its line search gives up at the optimum on some machines
    )
    assert slow.success and room(slow.x).min() > -1e-9
    fast = lg.minimise(x, t, s, q, RIDGE)
    assert fast.value == pytest.approx(slow.fun, abs=1e-7)
    assert fast.theta.ravel() == pytest.approx(slow.x[:4], abs=1e-3)
    assert fast.value == pytest.approx(surrogate_loss(lg.losses(fast.theta, x, t, RIDGE), s, q))
    assert -1e-12 <= fast.excess <= 1e-8


def test_the_certificate_of_a_bad_minimum_is_still_true(monkeypatch):
    features, y = clouds(30)
    x, t = lg.design(features), lg.one_hot(y, 3)
    best = lg.minimise(x, t, 10, 3, RIDGE)
    monkeypatch.setattr(lg, "SMOOTHINGS", (10.0,))
    rough = lg.minimise(x, t, 10, 3, RIDGE)
    assert rough.value - best.value > 1e-4
    assert rough.excess >= rough.value - best.value


def test_subsets_are_uniform_in_members_and_order():
    draw = np.random.default_rng(0)
    counts = Counter(tuple(row) for row in ex.subsets(draw, 4, 2, 12_000).tolist())
    assert set(counts) == set(permutations(range(4), 2))
    assert (
        sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 31.3
    )  # chi-square, 11 degrees of freedom, 0.1 %
    assert all(sorted(row) == list(range(7)) for row in ex.subsets(draw, 7, 7, 50).tolist())


def test_largest_and_its_ties():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(20, 9))
    for count in (1, 4, 9):
        literal = [sorted(range(9), key=lambda i: -row[i])[:count] for row in scores]
        assert [set(row) for row in ex.largest(scores, count).tolist()] == [set(row) for row in literal]
    infinite = np.where(scores > 0, np.inf, scores)
    assert (np.take_along_axis(infinite, ex.largest(infinite, 1), axis=-1)[(scores > 0).any(axis=1)] == np.inf).all()


@pytest.mark.parametrize("fresh", [True, False])
def test_algorithm_1_against_its_listing(fresh):
    n, s, q, rate, steps = 9, 5, 2, 0.3, 40
    some = problem(n, s, q)
    features, y = clouds(n)
    seen = [
        (theta.copy(), scores.copy())
        for theta, scores in islice(ex.algorithm1(some, rate, [ex.stream(7)], fresh=fresh), steps)
    ]
    pools = ex.subsets(ex.stream(7), n, s, ex.BLOCK)
    theta, scores = np.zeros((3, 4)), [math.inf] * n
    for pool, (ours, our_scores) in zip(pools[:steps], seen, strict=True):
        assert ours[0] == pytest.approx(theta)
        if not fresh:
            assert our_scores[0] == pytest.approx(scores)
        present = [literal_loss(theta, features[i], y[i], RIDGE) if fresh else scores[i] for i in range(n)]
        # Line 4. Ties (all losses at theta = 0; unseen samples) leave several sets; any is right, ours must be one of
        # them.
        chosen = pool[ex.largest(np.array([present[i] for i in pool]), q)]
        assert sorted(present[i] for i in chosen) == pytest.approx(sorted(present[i] for i in pool)[-q:])
        # Line 5 and 6.
        slopes = [differences(lambda at, i=i: literal_loss(at, features[i], y[i], RIDGE), theta) for i in chosen]
        theta = theta - rate * sum(slopes) / q
        # Line 7.
        for i in chosen:
            scores[i] = literal_loss(theta, features[i], y[i], RIDGE)


def test_runs_side_by_side_are_the_runs_alone():
    some = problem(50, 20, 5)
    together = ex.convergence(some, steps=[60], seeds=[3, 1])
    alone = ex.convergence(some, steps=[60], seeds=[1])
    for row in alone:
        twin = next(r for r in together if r["seed"] == 1 and r["scores"] == row["scores"])
        assert twin["gap_averaged"] == pytest.approx(row["gap_averaged"], rel=1e-9)


@pytest.mark.parametrize("warm_steps", [1, 40])
def test_exact_expectations_against_all_candidates_and_all_orders_of_ties(warm_steps):
    n, s, q, seed = 6, 4, 2, 0
    some = problem(n, s, q)
    rows = ex.unbiasedness(some, draws=50, warm_steps=warm_steps, seed=seed)
    rate = some.radius / (some.lipschitz * math.sqrt(warm_steps))
    run = ex.algorithm1(some, rate, [ex.stream(seed, ex.WARM)], fresh=False)
    theta, stale = (state[0] for state in list(islice(run, warm_steps + 1))[-1])
    assert np.isinf(stale).any() == (warm_steps == 1)
    slopes = lg.gradients(theta, some.x, some.t, RIDGE)

    def surrogate(at):
        return surrogate_loss(some.losses(at), s, q)

    target = differences(surrogate, theta).ravel()
    full = slopes.mean(axis=0)
    u = (target - full) / np.linalg.norm(target - full)
    for row, scores in zip(rows, (some.losses(theta), stale), strict=True):
        mean = np.array([float(p) for p in enumerated_probabilities(scores.tolist(), s, q)]) / q @ slopes
        assert row["expected"] == pytest.approx(mean @ u, abs=1e-7)
        assert row["target"] == pytest.approx(target @ u, abs=1e-7)
        assert row["full"] == pytest.approx(full @ u, abs=1e-7)
        assert row["exact_bias"] == pytest.approx(np.linalg.norm(mean - target) / np.linalg.norm(target), abs=1e-6)
    assert rows[0]["exact_bias"] < 1e-12


def test_variance_against_all_candidates_and_all_uniform_batches():
    n, s, q = 6, 4, 2
    some = problem(n, s, q)
    fresh = ex.unbiasedness(some, draws=20_000, warm_steps=40, seed=0)[0]
    rate = some.radius / (some.lipschitz * math.sqrt(40))
    run = ex.algorithm1(some, rate, [ex.stream(0, ex.WARM)], fresh=False)
    theta = next(itertools.islice(run, 40, None))[0][0]
    values, slopes = some.losses(theta), lg.gradients(theta, some.x, some.t, RIDGE)

    def total_variance(batches):
        means = np.array([slopes[list(batch)].mean(axis=0) for batch in batches])
        return float(means.var(axis=0).sum())

    kept = [sorted(pool, key=lambda i: -values[i])[:q] for pool in itertools.combinations(range(n), s)]
    assert abs(fresh["variance"] - total_variance(kept)) < 2 * fresh["variance_half_width"]
    assert fresh["variance_half_width"] < 0.5 * fresh["variance"]
    assert fresh["uniform_variance"] == pytest.approx(total_variance(itertools.combinations(range(n), q)))


def test_select_is_the_mean_of_literal_draws():
    n, s, q, draws = 12, 6, 2, 101
    generator = np.random.default_rng(5)
    scores, slopes, u = generator.normal(size=n), generator.normal(size=(n, 4)), np.array([0.5, 0.5, -0.5, 0.5])
    projections, means, sizes = ex.select(scores, slopes, u, s, q, draws, ex.stream(9))
    assert sizes.sum() == draws and len(projections) == draws and set(sizes.tolist()) == {2, 3}
    draw, literal = ex.stream(9), []
    for size in sizes:
        pools = ex.subsets(draw, n, s, int(size))
        literal += [np.mean([slopes[i] for i in sorted(pool, key=lambda i: -scores[i])[:q]], axis=0) for pool in pools]
    assert projections == pytest.approx(np.array(literal) @ u)
    assert np.average(means, axis=0, weights=sizes) == pytest.approx(np.mean(literal, axis=0))


def test_intervals_and_noise_are_as_wide_as_they_say():
    some, covered, squares, noises = problem(60, 20, 5), {"fresh": 0, "stale": 0}, [], []
    expected = {"fresh": 0, "stale": 0}
    for seed in range(200):
        for row in ex.unbiasedness(some, draws=200, warm_steps=15, seed=seed):
            covered[row["scores"]] += abs(row["estimate"] - row["target"]) <= row["half_width"]
            expected[row["scores"]] += abs(row["estimate"] - row["expected"]) <= row["half_width"]
            if row["scores"] == "fresh":
                squares.append((row["relative_error"] / row["noise"]) ** 2)
                noises.append(row["noise"])
    assert (
        180 <= expected["fresh"] <= 199 and 180 <= expected["stale"] <= 199
    )  # 190 of 200, give or take 3 standard errors
    assert covered["fresh"] == expected["fresh"]
    assert covered["stale"] < 60
    assert np.mean(squares) == pytest.approx(1, abs=0.25)


def test_nothing_is_biased_when_all_candidates_are_kept():
    for row in ex.unbiasedness(problem(40, 10, 10), draws=500, warm_steps=20, seed=0):
        assert row["exact_bias"] < 1e-12
        assert row["target"] == pytest.approx(row["full"]) == pytest.approx(row["expected"])
        assert abs(row["estimate"] - row["target"]) <= 2 * row["half_width"]


def test_rows_of_convergence_against_their_definitions():
    n, s, q, length, seed = 40, 15, 4, 30, 2
    some = problem(n, s, q)
    rows = ex.convergence(some, steps=[length], seeds=[seed])
    assert [row["scores"] for row in rows] == ["fresh", "stale"]
    for number, row in enumerate(rows):
        rate = some.radius / (some.lipschitz * math.sqrt(length))
        run = ex.algorithm1(some, rate, [ex.stream(seed, ex.DESCEND, number, length)], fresh=row["scores"] == "fresh")
        thetas = [theta[0] for theta, _ in islice(run, length)]
        gaps = [surrogate_loss(some.losses(theta), s, q) - some.minimum.value for theta in thetas]
        assert ex.schedule(length) == set(range(1, length + 1))  # short enough to measure every iterate
        assert row["gap_best"] == pytest.approx(min(gaps))
        averaged = surrogate_loss(some.losses(np.mean(thetas, axis=0)), s, q) - some.minimum.value
        assert row["gap_averaged"] == pytest.approx(averaged)
        assert row["bound"] == pytest.approx(some.lipschitz * some.radius / math.sqrt(length))
        assert row["largest_norm"] == pytest.approx(max(np.linalg.norm(theta) for theta in thetas))


def test_rows_of_generalization_against_their_definitions():
    n, s, q, length, seed = 40, 15, 4, 30, 2
    some = problem(n, s, q)
    held_x, held_y = clouds(20, seed=0)
    rows = ex.generalization(some, held_x, held_y, steps=length, seeds=[5, seed])
    assert [row["seed"] for row in rows] == [5] * length + [seed] * length
    rows = rows[length:]
    rate = some.radius / (some.lipschitz * math.sqrt(length))

    def held_out(theta):
        return np.mean(
            [literal_loss(theta, features, label, RIDGE) for features, label in zip(held_x, held_y, strict=True)]
        )

    run = ex.algorithm1(some, rate, [ex.stream(seed, ex.DESCEND, 0, length)], fresh=True)
    for step, ((theta, _), row) in enumerate(zip(islice(run, length), rows, strict=True), start=1):
        values = some.losses(theta[0])
        assert row["step"] == step
        assert row["surrogate"] == pytest.approx(rank_weights(n, s, q) @ np.sort(values)[::-1] / q)
        assert row["loss"] == pytest.approx(values.mean())
        assert row["population"] == pytest.approx(held_out(theta[0]))
        assert row["q_n"] == pytest.approx(row["surrogate"] - row["loss"], abs=1e-12)
        assert row["c_s"] == pytest.approx(max(s / q - 1, 1))
        assert row["b"] == values.max()
        deviation = math.sqrt(2) * row["c_s"] * row["b"] * math.sqrt((n - s) / (s * (n - 1)))
        assert row["bias_bound"] == pytest.approx(deviation - row["q_n"])
        assert row["optimization_bound"] == pytest.approx(convergence_bound(some.radius, some.lipschitz, [rate] * step))
        assert row["left"] == pytest.approx(held_out(some.minimum.theta) - row["surrogate"])
        assert row["right"] == pytest.approx(row["bias_bound"] + row["optimization_bound"])


def test_schedule():
    assert ex.schedule(1) == {1}
    assert ex.schedule(7) == set(range(1, 8))
    long = ex.schedule(100_000)
    assert {1, 100_000} <= long and len(long) <= ex.MEASURED and min(long) == 1 and max(long) == 100_000


SETTINGS = {
    "candidates": 20,
    "kept": 5,
    "ridge": RIDGE,
    "draws": 300,
    "warm_steps": 20,
    "steps": (10, 300),
    "seeds": (0, 1),
}


def test_same_seeds_same_numbers():
    data = (*clouds(60), *clouds(20))
    before = np.random.get_state()[1].copy()
    first = ex.theorem_checks(*data, **SETTINGS)
    assert first == ex.theorem_checks(*data, **SETTINGS)
    assert (np.random.get_state()[1] == before).all()
    other, _ = ex.theorem_checks(*data, **SETTINGS | {"seeds": (2, 3)})
    for name, rows in first[0].items():
        assert rows != other[name]
        assert all(list(row) == list(rows[0]) for row in rows)  # one set of columns
        assert {type(cell) for row in rows for cell in row.values()} <= {str, int, float}
    assert {type(value) for value in first[1].values()} <= {int, float}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kept": 21}, "'q' of prepare"),
        ({"candidates": 61}, "'s' of prepare"),
        ({"ridge": 0.0}, "'ridge' of prepare"),
        ({"draws": 1}, "'draws' of unbiasedness"),
        ({"warm_steps": 0}, "'warm_steps' of unbiasedness"),
        ({"seeds": ()}, "must not be empty"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ex.theorem_checks(*clouds(60), *clouds(20), **SETTINGS | change)


@pytest.mark.parametrize("y", [[0, 1], [0.0, 1.0, 1.0], [0, -1, 1]])
def test_labels_that_do_not_fit_are_refused(y):
    with pytest.raises(ValueError, match="'y' of prepare"):
        ex.prepare(np.ones((3, 2)), y, candidates=2, kept=1, ridge=1.0)


@pytest.fixture(scope="module")
def digits():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    x, y = load_digits(return_X_y=True)
    x, order = x / 16, np.random.default_rng(0).permutation(len(x))
    train, test = order[:1437], order[1437:]
    return ex.theorem_checks(
        x[train], y[train], x[test], y[test],
        candidates=100, kept=30, ridge=0.01, draws=5000, warm_steps=200, steps=[50, 800], seeds=[0, 1, 2],
    )  # fmt: skip


def test_theorem_1_on_digits(digits):
    fresh, stale = digits[0]["unbiasedness"]
    assert fresh["exact_bias"] < 1e-12
    assert fresh["relative_error"] < 2 * fresh["noise"]
    assert abs(fresh["estimate"] - fresh["target"]) < 2 * fresh["half_width"]
    assert stale["exact_bias"] > 10 * stale["noise"]
    assert abs(stale["estimate"] - stale["target"]) > 10 * stale["half_width"]
    assert abs(fresh["full"] - fresh["target"]) > 10 * fresh["half_width"]  # nor is it a gradient of the mean loss


def test_theorem_3_on_digits(digits):
    tables, summary = digits
    assert 0 <= summary["excess"] <= 1e-8
    assert summary["largest_norm"] <= summary["ball"]  # else G would not hold
    for length in (50, 800):
        rows = [row for row in tables["convergence"] if row["steps"] == length and row["scores"] == "fresh"]
        assert np.mean([row["gap_averaged"] for row in rows]) <= rows[0]["bound"]
        assert np.mean([row["gap_best"] for row in rows]) <= rows[0]["bound"]
        assert min(row["gap_best"] for row in rows) >= -summary["excess"]


def test_theorem_4_on_digits(digits):
    rows = digits[0]["generalization"]
    assert all(row["left"] <= row["right"] for row in rows)
    assert all(row["q_n"] >= -1e-12 for row in rows)
