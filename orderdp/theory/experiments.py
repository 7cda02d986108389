"""Theorems 1, 3 and 4 checked by experiment: logistic regression on real data under Algorithm 1, in seconds on one
core."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orderdp.theory import checks
from orderdp.theory.bounds import constant_rate, convergence_bound, generalization_bound
from orderdp.theory.logistic import Array, Minimum, design, gradient, gradients, lipschitz, losses, minimise, one_hot
from orderdp.theory.weights import rank_weights, selection_probabilities, surrogate_gap, surrogate_loss

Row = dict[str, Any]
Indices = NDArray[np.intp]

WARM, SELECT, DESCEND = range(3)
"""Purposes of the random streams; each is a function of (seed, purpose, ...)."""
BLOCK = 256
"""Steps whose candidates are drawn at once; bounds the memory."""
BATCHES = 40
"""Groups of draws whose means tell how far sampling alone moves the mean gradient."""
MEASURED = 100
"""About how many iterates of a run have their L_q evaluated: on all samples, it costs more than the step itself."""
NORMAL_95 = 1.959963984540054


class Problem(NamedTuple):
    """Logistic regression on some data under OrderDP with s candidates and q kept, and the constants of Theorem 3."""

    x: Array
    """(n, d), the last column 1."""
    t: Array
    """(n, k), one-hot labels."""
    candidates: int
    kept: int
    ridge: float
    minimum: Minimum
    """theta* and L_q there."""
    radius: float
    """R = |theta^1 - theta*|, with theta^1 = 0."""
    ball: float
    """(1 + sqrt(2)) R. Where |theta^t| stays within it, `lipschitz` holds along the run. The proof of Theorem 3 gives
    the size: at its rate R/(G sqrt(T)), the mean of |theta^t - theta*|^2 is at most 2 R^2 at every t."""
    lipschitz: float
    """G."""

    def losses(self, theta: Array) -> Array:
        """All L_i, (..., n), at theta (..., k, d)."""
        return losses(theta, self.x, self.t, self.ridge)

    def surrogate(self, theta: Array) -> Array:
        """L_q, (...), at theta (..., k, d)."""
        gamma = rank_weights(len(self.x), self.candidates, self.kept)
        return np.asarray(np.sort(self.losses(theta), axis=-1)[..., ::-1] @ gamma / self.kept)


def prepare(x: ArrayLike, y: ArrayLike, *, candidates: int, kept: int, ridge: float) -> Problem:
    """Finds theta* and the constants.

    Args:
        x: (n, ...), scaled so that its numbers are about 1.
        y: (n,), labels 0..k-1.
        candidates: s.
        kept: q.
        ridge: weight of |theta|^2/2 in every sample's loss, above 0: without it L_q may have no finite minimiser.

    Raises:
        ValueError: sizes or a ridge outside their ranges; labels that do not fit the samples.
    """
    rows, labels = design(x), np.asarray(y)
    checks.sizes("prepare", len(rows), candidates, kept)
    ridge = checks.number("prepare", "ridge", ridge, positive=True)
    if labels.shape != (len(rows),) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise ValueError(
            f"The 'y' of prepare must be {len(rows)} integers from 0. Got shape {labels.shape} of {labels.dtype}."
        )
    t = one_hot(labels, int(labels.max()) + 1)
    minimum = minimise(rows, t, candidates, kept, ridge)
    radius = float(np.linalg.norm(minimum.theta))
    ball = (1 + math.sqrt(2)) * radius
    return Problem(rows, t, candidates, kept, ridge, minimum, radius, ball, lipschitz(rows, ridge, ball))


def subsets(draw: np.random.Generator, n: int, size: int, count: int) -> Indices:
    """(count, size): in each row a uniform draw from 0..n-1 without replacement, in random order, so that ties may go
    by position."""
    pool, columns = np.repeat(np.arange(n)[:, None], count, axis=1), np.arange(count)
    for place in range(size):  # the first steps of a Fisher-Yates shuffle, on all rows at once
        other = draw.integers(place, n, size=count)
        chosen = pool[other, columns]
        pool[other, columns] = pool[place]
        pool[place] = chosen
    return pool[:size].T


def largest(scores: Array, count: int) -> Indices:
    """Positions (..., count) of the largest scores (..., m) along the last axis, in no particular order."""
    if count == scores.shape[-1]:
        return np.broadcast_to(np.arange(count), scores.shape)
    return np.argpartition(-scores, count - 1, axis=-1)[..., :count]


def algorithm1(
    problem: Problem, rate: float, draws: Sequence[np.random.Generator], *, fresh: bool
) -> Iterator[tuple[Array, Array]]:
    """Algorithm 1 from theta^1 = 0, one run for each generator, all in step.

    Args:
        problem: what is trained.
        rate: eta, the same at all steps.
        draws: the candidates of each run.
        fresh: scores are the candidates' losses at theta^t, as Theorem 1 needs; costs s forward passes a step.
            Otherwise as the algorithm has it (Eq. 2): the q kept samples get their loss at theta^{t+1}, all others keep
            their score; unseen ones come first.

    Yields:
        theta^t (runs, k, d) and the scores (runs, n) at the start of step t = 1, 2, ...; infinite where unseen, and
        throughout if `fresh`. The scores change in place.
    """
    x, t, ridge, q = problem.x, problem.t, problem.ridge, problem.kept
    theta = np.zeros((len(draws), *problem.minimum.theta.shape))
    scores = np.full((len(draws), len(x)), np.inf)
    weights = np.full((len(draws), q), 1 / q)
    while True:
        blocks = np.stack([subsets(draw, len(x), problem.candidates, BLOCK) for draw in draws], axis=1)
        for pool in blocks:
            yield theta, scores
            known = losses(theta, x[pool], t[pool], ridge) if fresh else np.take_along_axis(scores, pool, axis=-1)
            chosen = np.take_along_axis(pool, largest(known, q), axis=-1)
            theta = theta - rate * gradient(theta, x[chosen], t[chosen], ridge, weights)
            if not fresh:
                np.put_along_axis(scores, chosen, losses(theta, x[chosen], t[chosen], ridge), axis=-1)


def unbiasedness(problem: Problem, *, draws: int, warm_steps: int, seed: int) -> list[Row]:
    """Theorem 1 at a theta that Algorithm 1 reaches: the mean of g~ over many selections against grad L_q.

    Once with fresh scores (the losses at theta) and once with the scores that Algorithm 1 holds there. Along the unit
    vector u of grad L_q - grad L (of grad L at q = s, where they are equal), an unbiased g~ has the mean `target`; grad
    L itself has `full`.

    Args:
        problem: what is trained.
        draws: selections per row, at least 2.
        warm_steps: steps of Algorithm 1 before, at the rate of Theorem 3.
        seed: decides those steps and the selections.

    Returns:
        Two rows: scores, n, s, q, draws, estimate, half_width (95 %), expected (exact, from gamma on those scores),
        target, full (all of these along u), relative_error (|mean g~ - grad L_q| / |grad L_q|), noise (root mean square
        of it that sampling alone would give), exact_bias (|E g~ - grad L_q| / |grad L_q|), variance (total, of one g~)
        with its half_width (95 %), uniform_variance (exact, of the mean gradient of q samples drawn without
        replacement).
    """
    n, s, q = len(problem.x), problem.candidates, problem.kept
    draws, warm_steps = (
        checks.whole("unbiasedness", "draws", draws, 2),
        checks.whole("unbiasedness", "warm_steps", warm_steps, 1),
    )
    rate = constant_rate(problem.radius, problem.lipschitz, warm_steps)
    warm = algorithm1(problem, rate, [stream(seed, WARM)], fresh=False)
    theta, stale = (state[0] for state in next(islice(warm, warm_steps, None)))
    values, slopes = problem.losses(theta), gradients(theta, problem.x, problem.t, problem.ridge)
    of_mean, of_surrogate = slopes.mean(axis=0), rank_weights(n, s, q) / q @ slopes[np.argsort(-values, kind="stable")]
    apart = of_surrogate - of_mean if q < s else of_mean  # the two are equal at q = s, but for rounding
    u = apart / np.linalg.norm(apart)
    length = float(np.linalg.norm(of_surrogate))
    rows = []
    for number, (name, scores) in enumerate({"fresh": values, "stale": stale}.items()):
        projections, means, sizes = select(scores, slopes, u, s, q, draws, stream(seed, SELECT, number))
        mean = np.average(means, axis=0, weights=sizes)
        # A batch mean varies by the variance of one g~ over the batch's size, so each of these is an estimate of that
        # variance.
        variances = sizes * np.square(means - mean).sum(axis=1) * len(sizes) / (len(sizes) - 1)
        spread = float(variances.mean()) / draws
        expected = selection_probabilities(scores, s, q) / q @ slopes
        rows.append({
            "scores": name, "n": n, "s": s, "q": q, "draws": draws,
            "estimate": float(projections.mean()),
            "half_width": NORMAL_95 * float(projections.std(ddof=1)) / math.sqrt(draws),
            "expected": float(expected @ u), "target": float(of_surrogate @ u), "full": float(of_mean @ u),
            "relative_error": float(np.linalg.norm(mean - of_surrogate)) / length, "noise": math.sqrt(spread) / length,
            "exact_bias": float(np.linalg.norm(expected - of_surrogate)) / length,
            "variance": float(variances.mean()),
            "variance_half_width": NORMAL_95 * float(variances.std(ddof=1)) / math.sqrt(len(sizes)),
            "uniform_variance": float(slopes.var(axis=0, ddof=1).sum()) * (1 / q - 1 / n),
        })  # fmt: skip
    return rows


def select(
    scores: Array, slopes: Array, u: Array, s: int, q: int, draws: int, draw: np.random.Generator
) -> tuple[Array, Array, NDArray[np.intp]]:
    """Draws selections and returns g~.u of each (draws,), the mean g~ of each batch (batches, k d), and the batches'
    sizes.

    No g~ is formed: how often each sample was kept gives the means.
    """
    along, n = slopes @ u, len(scores)
    batches = min(BATCHES, draws)
    sizes = draws // batches + (np.arange(batches) < draws % batches)
    projections, counts = [], np.empty((batches, n))
    for batch, size in enumerate(sizes):
        pool = subsets(draw, n, s, size)
        chosen = np.take_along_axis(pool, largest(scores[pool], q), axis=-1)
        projections.append(along[chosen].mean(axis=-1))
        counts[batch] = np.bincount(chosen.ravel(), minlength=n)
    return np.concatenate(projections), counts @ slopes / (q * sizes[:, None]), sizes


def convergence(problem: Problem, *, steps: Sequence[int], seeds: Sequence[int]) -> list[Row]:
    """Theorem 3: Algorithm 1 at the rate R/(G sqrt(T)) against the bound G R/sqrt(T).

    The theorem is about expectations and unbiased steps, hence about the mean over seeds of the rows with fresh scores.
    The rows with stale scores are Algorithm 1 as it is written; no theorem covers them.

    Args:
        problem: what is trained.
        steps: the lengths T.
        seeds: one run of each length and kind of scores for each.

    Returns:
        Rows: scores, steps, seed, rate, gap_averaged (L_q of the mean of theta^1..theta^T, less min L_q), gap_best (the
        least of the iterates measured, about a hundred), bound, largest_norm (of the iterates; G holds while it is
        within `problem.ball`).
    """
    rows = []
    for length in steps:
        rate = constant_rate(problem.radius, problem.lipschitz, length)
        bound = convergence_bound(problem.radius, problem.lipschitz, np.full(length, rate))
        measured = schedule(length)
        for number, name in enumerate(("fresh", "stale")):
            total, norms, best = np.zeros(()), np.zeros(len(seeds)), np.full(len(seeds), np.inf)
            run = algorithm1(
                problem, rate, [stream(seed, DESCEND, number, length) for seed in seeds], fresh=name == "fresh"
            )
            for step, (theta, _) in enumerate(islice(run, length), start=1):
                total = total + theta
                norms = np.maximum(norms, np.square(theta).sum(axis=(-1, -2)))
                if step in measured:
                    best = np.minimum(best, problem.surrogate(theta))
            averaged = problem.surrogate(total / length)
            rows += [
                {"scores": name, "steps": length, "seed": seed, "rate": rate,
                 "gap_averaged": float(averaged[i]) - problem.minimum.value,
                 "gap_best": float(best[i]) - problem.minimum.value,
                 "bound": bound, "largest_norm": math.sqrt(norms[i])}
                for i, seed in enumerate(seeds)
            ]  # fmt: skip
    return rows


def generalization(
    problem: Problem, x_test: ArrayLike, y_test: ArrayLike, *, steps: int, seeds: Sequence[int]
) -> list[Row]:
    """Theorem 4's terms along runs of Algorithm 1 with fresh scores at the rate R/(G sqrt(T)), which `convergence`
    makes too.

    The expected risk is unknown: the mean loss on held-out samples, with the same ridge, stands for it. Each row has
    the terms at its own iterate (`generalization_bound` says why not their infimum over the run), and the bound of
    Theorem 3 for the steps so far.

    Args:
        problem: what is trained.
        x_test: held-out samples.
        y_test: their labels.
        steps: T.
        seeds: one run for each.

    Returns:
        Rows, the runs' one after another: seed, step, surrogate (L_q), loss (L), population (held out), q_n, c_s, b,
        bias_bound, optimization_bound, left (the held-out loss at theta* less L_q), right (the sum of the two bounds).
    """
    held_out = (design(x_test), one_hot(y_test, problem.t.shape[1]), problem.ridge)
    n, s, q = len(problem.x), problem.candidates, problem.kept
    at_minimum = float(losses(problem.minimum.theta, *held_out).mean())
    rate, measured = constant_rate(problem.radius, problem.lipschitz, steps), schedule(steps)
    rows: dict[int, list[Row]] = {seed: [] for seed in seeds}
    run = algorithm1(problem, rate, [stream(seed, DESCEND, 0, steps) for seed in seeds], fresh=True)
    for step, (thetas, _) in enumerate(islice(run, steps), start=1):
        if step not in measured:
            continue
        optimization = convergence_bound(problem.radius, problem.lipschitz, np.full(step, rate))
        for seed, theta in zip(seeds, thetas, strict=True):
            values = problem.losses(theta)
            gap, largest = surrogate_gap(values, s, q), float(values.max())
            bound = generalization_bound(n, s, q, largest_loss=largest, gap=gap, optimization=optimization)
            surrogate = surrogate_loss(values, s, q)
            rows[seed].append({
                "seed": seed, "step": step, "surrogate": surrogate, "loss": float(values.mean()),
                "population": float(losses(theta, *held_out).mean()), "q_n": bound.q_n, "c_s": bound.c_s, "b": bound.b,
                "bias_bound": bound.bias, "optimization_bound": bound.optimization, "left": at_minimum - surrogate,
                "right": bound.total,
            })  # fmt: skip
    return [row for of_run in rows.values() for row in of_run]


def schedule(steps: int) -> set[int]:
    """At most a hundred of the steps 1..T, half at even ratios and half at even distances, with the first and the
    last."""
    ratios, distances = np.geomspace(1, steps, MEASURED // 2), np.linspace(1, steps, MEASURED // 2)
    return set(np.rint(np.concatenate([ratios, distances])).astype(int).tolist())


def stream(*key: int) -> np.random.Generator:
    """A generator that is a function of (seed, purpose, ...)."""
    return np.random.default_rng(key)


def theorem_checks(
    x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike, y_test: ArrayLike, *,
    candidates: int, kept: int, ridge: float, draws: int, warm_steps: int, steps: Sequence[int], seeds: Sequence[int],
) -> tuple[dict[str, list[Row]], dict[str, Any]]:  # fmt: skip
    """All three experiments on one data set; the first seed is that of the first.

    Args:
        x_train: (n, ...), scaled so that its numbers are about 1.
        y_train: (n,), labels 0..k-1.
        x_test: held-out samples.
        y_test: their labels.
        candidates: s.
        kept: q.
        ridge: weight of |theta|^2/2 in every sample's loss, above 0.
        draws: selections to estimate the expected gradient from.
        warm_steps: steps of Algorithm 1 before that.
        steps: lengths T of the runs held against Theorem 3; the longest is also that of Theorem 4's runs.
        seeds: one run of each length for each.

    Returns:
        The rows by table, and a summary: n, classes, ridge, radius (R), radius_error (how far it may be off), ball,
        largest_norm (of all iterates with fresh scores), lipschitz (G), minimum (L_q at theta*), excess (proven bound
        on minimum - min L_q).

    Raises:
        ValueError: an argument outside its range.
    """
    if not steps or not seeds:
        raise ValueError("The 'steps' and 'seeds' of theorem_checks must not be empty.")
    problem = prepare(x_train, y_train, candidates=candidates, kept=kept, ridge=ridge)
    tables = {
        "unbiasedness": unbiasedness(problem, draws=draws, warm_steps=warm_steps, seed=seeds[0]),
        "convergence": convergence(problem, steps=steps, seeds=seeds),
        "generalization": generalization(problem, x_test, y_test, steps=max(steps), seeds=seeds),
    }
    summary = {
        "n": len(problem.x),
        "classes": problem.t.shape[1],
        "ridge": ridge,
        "radius": problem.radius,
        "radius_error": math.sqrt(2 * max(problem.minimum.excess, 0) / ridge),  # L_q is ridge-strongly convex
        "ball": problem.ball,
        "largest_norm": max(row["largest_norm"] for row in tables["convergence"] if row["scores"] == "fresh"),
        "lipschitz": problem.lipschitz,
        "minimum": problem.minimum.value,
        "excess": problem.minimum.excess,
    }
    return tables, summary
