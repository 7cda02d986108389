"""Claims that arithmetic decides: nothing is trained. Each returns an exact finding and takes no frames into
account."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.special import betainc, gammaln, logsumexp

from orderdp.reporting.claims.statistics.deciding import Finding, decide_exact
from orderdp.reporting.claims.statistics.runs import Frames
from orderdp.theory import generalization_bound, rank_weights, sup_gap, total_variation

EXACT = 1e-9
"""Relative error below which a computed number counts as the exact one."""


def weights_sum(frames: Frames, *, n: int, s: int, q: Sequence[int]) -> Finding:
    """Largest |sum of gamma / q - 1| over the sizes q."""
    worst = max(abs(math.fsum(rank_weights(n, s, size)) / size - 1) for size in q)
    return decide_exact(
        worst <= EXACT, f"largest deviation of Σγ/q from 1 over {len(q)} sizes q", worst, "at most 1e-9"
    )


def weights_fall(frames: Frames, *, n: int, s: int, q: Sequence[int]) -> Finding:
    """Largest increase of gamma from one rank to the next."""
    largest = max(float(np.diff(rank_weights(n, s, size)).max()) for size in q)
    statistic = f"largest rise of γ from one rank to the next over {len(q)} sizes q"
    return decide_exact(largest <= EXACT, statistic, max(largest, 0.0), "at most 1e-9")


def weights_converge(frames: Frames, *, s: int, q: int, n: Sequence[int], within: float) -> Finding:
    """Largest |n gamma_j - gamma(j/n)| / s, which must fall with every n and end within a share."""
    distances = [
        float(np.abs(size * rank_weights(size, s, q) - printed_limit(np.arange(1, size + 1) / size, s, q)).max() / s)
        for size in n
    ]
    falls = all(later < earlier for earlier, later in pairwise(distances))
    course = ", ".join(f"{distance:.2g} at n = {size:,}" for size, distance in zip(n, distances, strict=True))
    statistic = f"largest |nγ − γ(z)| / s at n = {n[-1]:,}"
    return decide_exact(
        falls and distances[-1] <= within, statistic, distances[-1], f"at most {within:g}", reason=course
    )


def printed_limit(z: np.ndarray, s: int, q: int) -> np.ndarray:
    """The sum of Proposition 2, term by term in logarithms: gamma(z) for z in [0, 1], shape (m,)."""
    order = np.arange(1, q + 1)[:, None]
    z = np.asarray(z, dtype=float)[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(order == 1, 0.0, (order - 1) * np.log(z)) + np.where(
            order == s, 0.0, (s - order) * np.log1p(-z)
        )
    return np.exp(logsumexp(powers + gammaln(s + 1) - gammaln(order) - gammaln(s - order + 1), axis=0))


def beta_as_printed(frames: Frames, *, n: int, s: int, q: int) -> Finding:
    """Smallest 1 - (n/s) gamma(z) over (0, 1): a distribution function has none below 0."""
    least = float((1 - n / s * printed_limit(np.linspace(0.01, 0.99, 99), s, q)).min())
    statistic = f"smallest 1 − (n/s)γ(z) at n = {n}, s = {s}, q = {q}"
    return decide_exact(
        least >= -EXACT, statistic, least, "at least 0", reason="a distribution function lies in [0, 1]"
    )


def beta_as_proved(frames: Frames, *, s: int, q: int) -> Finding:
    """Largest distance of 1 - gamma(z)/s from the distribution function of Beta(q, s-q)."""
    z = np.linspace(0, 1, 1001)
    distance = float(np.abs(1 - printed_limit(z, s, q) / s - betainc(q, s - q, z)).max())
    statistic = f"largest distance of 1 − γ(z)/s from the Beta(q, s−q) distribution at s = {s}, q = {q}"
    return decide_exact(distance <= EXACT, statistic, distance, "at most 1e-9")


def never_average(frames: Frames, *, n: int) -> Finding:
    """How many (n, s, q) with q < s have a rank whose chance of being kept is q/n, up to a size n."""
    sizes = [
        (size, s, q)
        for size in range(2, n + 1)
        for s in range(2, size + 1)
        for q in range(1, s)
        if (np.abs(rank_weights(size, s, q) - q / size) <= EXACT).any()
    ]
    first = ""
    for size, s, q in sizes[:1]:
        weights = ", ".join(f"{weight:.3g}" for weight in rank_weights(size, s, q))
        first = f"the smallest: n = {size}, s = {s}, q = {q}, whose weights are {weights}"
    statistic = f"sizes with q < s and n ≤ {n} at which a rank's chance is q/n"
    return decide_exact(not sizes, statistic, len(sizes), "0", reason=first)


def chances_positive(frames: Frames, *, n: int, s: int, q: int) -> Finding:
    """Samples that have no chance at all to be kept, at given scores."""
    # The weights before these are above 0, although the smallest are 0 in double precision.
    none = int((rank_weights(n, s, q)[n - s + q :] == 0).sum())
    ranks = f"the last s − q ranks of {n:,} samples (s = {s:,}, q = {q:,}): they come in only once ranks change"
    reason = ranks if none else ""
    return decide_exact(none == 0, "samples without any chance to be kept", none, "0", reason=reason)


def gap_vanishes(frames: Frames, *, n: int, s: int) -> Finding:
    """Smallest C_s over all q < s: it must come near 0."""
    least = min(sup_gap(n, s, q) for q in range(1, s))
    before, equal = sup_gap(n, s, s - 1), sup_gap(n, s, s)
    reason = f"C_s = {before:.4g} at q = s − 1, and {equal:.4g} only at q = s: the last rank's weight is 0 before"
    return decide_exact(least < 0.5, f"smallest C_s over q < s at n = {n}, s = {s}", least, "near 0", reason=reason)


def distance_vanishes(frames: Frames, *, n: int, s: int, q: Sequence[int], within: float) -> Finding:
    """Total variation between gamma/q and uniform weights: must fall with every q and end within a share.

    It is the largest gap L_q - L over all losses in [0, 1]: that of losses 1 where gamma/q > 1/n and 0 elsewhere.
    """
    distances = [total_variation(n, s, size) for size in q]
    falls = all(later < earlier for earlier, later in pairwise(distances))
    course = ", ".join(f"{distance:.2g} at q = {size}" for size, distance in zip(q, distances, strict=True))
    holds = falls and distances[-1] <= within
    statistic = f"total variation from uniform at q = {q[-1]}, n = {n}, s = {s}"
    return decide_exact(holds, statistic, distances[-1], f"at most {within:g}", reason=course)


def uniform_at_equality(frames: Frames, *, n: int, s: int) -> Finding:
    """Largest |gamma/q - 1/n| and C_s where q = s."""
    worst = max(float(np.abs(rank_weights(n, s, s) / s - 1 / n).max()), sup_gap(n, s, s))
    return decide_exact(
        worst <= EXACT, f"largest of |γ/q − 1/n| and C_s at q = s = {s}, n = {n}", worst, "at most 1e-9"
    )


def batch_weights_sum(frames: Frames, *, n: int, s: int, q: int) -> Finding:
    """Sum over j <= s of (n/s) gamma_j / q, the weights of the mini-batch form of L_q: a mean needs 1."""
    total = math.fsum(n / s * rank_weights(n, s, q)[:s] / q)
    statistic = f"sum of the s weights at n = {n}, s = {s}, q = {q}"
    return decide_exact(abs(total - 1) <= EXACT, statistic, total, "1", reason="an average's weights sum to 1")


def deviation_vanishes(frames: Frames, *, n: int, q: int, within: float) -> Finding:
    """Theorem 4's sqrt(2) C_s B sqrt((n-s)/(s(n-1))) with B = 1 as s goes to n and q stays."""
    sizes = [n // 2, 3 * n // 4, n - n // 20, n - 1, n]
    terms = [generalization_bound(n, s, q, largest_loss=1.0, gap=0.0, optimization=0.0).deviation for s in sizes]
    course = ", ".join(f"{term:.2g} at s = {s}" for s, term in zip(sizes, terms, strict=True))
    falls = terms[-1] <= within and terms[-1] < terms[-2] < max(terms)
    return decide_exact(falls, f"the term at s = n = {n}, q = {q}, B = 1", terms[-1], "0", reason=course)


def memory_constant(frames: Frames, *, n: Sequence[int], epochs: int, explore: float, exploit: float) -> Finding:
    """Scores that Algorithm 1 has to remember after some epochs, largest n over smallest: 1 if memory is constant.

    Runs Eq. 2 literally on random losses and counts what a later selection may still need: the scores of all samples
    ever kept.
    """

    def remembered(size: int) -> int:
        draw = np.random.default_rng(0)
        scores = np.full(size, np.inf)
        for _ in range(epochs):
            candidates = draw.choice(size, round(explore * size), replace=False)
            kept = candidates[np.argsort(-scores[candidates])[: round(exploit * len(candidates))]]
            scores[kept] = draw.random(len(kept))
        return int(np.isfinite(scores).sum())

    counts = [remembered(size) for size in n]
    course = ", ".join(f"{count:,} at n = {size:,}" for size, count in zip(n, counts, strict=True))
    growth = counts[-1] / counts[0]
    statistic = f"growth of the scores remembered while n grows by {n[-1] / n[0]:g}"
    return decide_exact(growth <= 1, statistic, growth, "at most 1", "×", f"scores remembered: {course}")


def sorting_steps(frames: Frames, *, s: int, q: Sequence[int], draws: int, most: float) -> Finding:
    """Comparisons per candidate that a heap of the q largest needs, over log2 q, largest over the sizes q.

    Args:
        frames: not looked at.
        s: candidates.
        q: sizes from 2 on.
        draws: random orders of the candidates per size; the worst order, ascending, is tried as well.
        most: comparisons per candidate and log2 q that still count as O(log q).
    """
    draw = np.random.default_rng(0)
    steps = {}
    for size in q:
        orders = [np.arange(s), *(draw.permutation(s) for _ in range(draws))]
        steps[size] = max(_heap_comparisons(order.tolist(), size) / s for order in orders)
    course = ", ".join(f"{count:.3g} at q = {size}" for size, count in steps.items())
    worst = max(count / math.log2(size) for size, count in steps.items())
    single = _heap_comparisons(list(range(s)), 1) / s
    reason = f"comparisons per candidate: {course}, {single:.3g} at q = 1 (s = {s:,}, in the worst order found)"
    return decide_exact(
        worst <= most, "comparisons per candidate over log₂ q", worst, f"at most {most:g}", reason=reason
    )


class _Counted:
    """A number that counts how often it is compared."""

    count = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def __lt__(self, other: _Counted) -> bool:
        _Counted.count += 1
        return self.value < other.value


def _heap_comparisons(values: Sequence[float], q: int) -> int:
    """Comparisons while the q largest of a stream are held in a heap."""
    _Counted.count = 0
    heap = [_Counted(value) for value in values[:q]]
    heapq.heapify(heap)
    for value in values[q:]:
        item = _Counted(value)
        if heap[0] < item:
            heapq.heapreplace(heap, item)
    return _Counted.count
