"""The order-statistic weights of OrderDP: how probable each rank is to be kept, exactly and in the limit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from orderdp.compat import renamed_arguments
from orderdp.theory import checks

Array = NDArray[np.float64]


@renamed_arguments(hardest="n_hard")
def rank_weights(n: int, s: int, q: int, *, n_hard: int | None = None) -> Array:
    """gamma_j, the probability that rank j is among the q kept of s uniform candidates out of n.

    Source: Eq. 3, which enumeration confirms. Equivalently gamma_j = (s/n) P(X <= q-1), X hypergeometric: of the s-1
    other candidates among n-1 samples, those that rank above j.

    Paper: the upper limit of the sum in A.1 is min{1, j}; here: min{q, j}, as Eq. 3 has it, because the other makes the
    weights sum to 1. Paper: the sum "should be close to q" (D.2); here: it is q, as the mean of the number kept.

    Args:
        n: samples.
        s: candidates, drawn without replacement; 1..n.
        q: kept candidates; 1..s.
        n_hard: how many of the q are the largest of the candidates; the others are the smallest. None: all q, as in
            the paper; 0: the bottom q.

    Returns:
        float64 (n,), rank 1 first, which is the largest score. All in [0, s/n]; the sum is q. For the top q they never
        increase, and those of j > n-s+q are exactly 0: such a sample never ranks among the first q of any candidates.

    Raises:
        ValueError: an argument that is no integer or outside its range.

    Example:
        >>> rank_weights(5, 3, 1).round(3).tolist()  # the hardest sample is kept whenever it is drawn
        [0.6, 0.3, 0.1, 0.0, 0.0]
    """
    n, s, q, n_hard = checks.sizes("rank_weights", n, s, q, n_hard)
    if q == s:  # whichever ranks are kept, all candidates are; adding two curves would leave rounding errors
        return np.full(n, s / n)
    if n_hard == 0:
        return _top(n, s, q)[::-1].copy()
    if n_hard == q:
        return _top(n, s, q)
    return _top(n, s, n_hard) + _top(n, s, q - n_hard)[::-1]


def _top(n: int, s: int, q: int) -> Array:
    """gamma_j of the q < s largest.

    gamma_j = (s/n) P(J >= j), where J is the rank of the q-th largest of s-1 uniform draws out of n-1:
    P(J = j) = C(j-1, q-1) C(n-1-j, s-1-q) / C(n-1, s-1), j = q..n-s+q. These are multiplied up from their mode by the
    ratio of neighbours and summed from the far end: only positive numbers are multiplied and added, so nothing
    overflows or cancels, tails are as precise as the head, and it is O(n). At n = 1,281,167 that takes 0.2 s at most
    and errs by 1e-13, at the worst (s, q) by 5e-12 of a weight; scipy's hypergeometric cdf, rank by rank, takes up to 3
    s and errs by 2e-10; log-gammas lose as much to cancellation.
    """
    j = np.arange(q, n - s + q, dtype=np.float64)
    ratio = j / (j - (q - 1)) * ((n - s + q - j) / (n - 1 - j))  # P(J = j+1) / P(J = j), decreasing in j
    mode = int(np.count_nonzero(ratio >= 1))
    chance = np.ones(n - s + 1)
    chance[mode + 1 :] = np.cumprod(ratio[mode:])
    chance[:mode] = np.cumprod(1 / ratio[:mode][::-1])[::-1]
    chance[chance < np.finfo(np.float64).tiny] = 0  # subnormal numbers neither shrink on nor are precise
    tail = running_sum(chance[::-1])[::-1]
    gamma = np.zeros(n)
    gamma[:q] = s / n
    gamma[q - 1 : n - s + q] = s / n * (tail / tail[0])
    return gamma


def running_sum(values: Array) -> Array:
    """Cumulative sums of (m,), within blocks of sqrt(m) and over the blocks: rounding errors add up over 2 sqrt(m)
    terms instead of m."""
    side = math.isqrt(max(len(values) - 1, 0)) + 1
    blocks = np.zeros((side, side))
    blocks.ravel()[: len(values)] = values
    sums = np.cumsum(blocks, axis=1)
    sums[1:] += np.cumsum(sums[:-1, -1])[:, None]
    return np.asarray(sums.ravel()[: len(values)])


@renamed_arguments(hardest="n_hard")
def limit_weights(z: ArrayLike, s: int, q: int, *, n_hard: int | None = None) -> Array:
    """The limit of n gamma_j as n grows with s and q fixed and j/n = z.

    Source: Proposition 2. gamma(z) = s (1 - F(z)), F the distribution function of Beta(q, s-q); for q = s it is s.

    Paper: "1 - (n/s) gamma(z) is the cumulative distribution of Beta(z; s-q)"; here: 1 - gamma(z)/s, of Beta(q, s-q),
    because gamma(z) already is the limit of n gamma_j (the end of A.2 says so; the printed form falls below -900 for n
    = 1000). Eq. 12 sets the factor s!/((l-1)!(s-l)!) before the sum over l; it belongs inside.

    Args:
        z: relative ranks in [0, 1], 0 for the largest score; any shape.
        s, q, n_hard: as in `rank_weights`; s has no upper end.

    Returns:
        float64 of z's shape; integrates to q over (0, 1).

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> limit_weights([0.0, 0.5, 1.0], 10, 3).round(3).tolist()
        [10.0, 0.898, 0.0]
    """
    s = checks.whole("limit_weights", "s", s, 1)
    _, s, q, n_hard = checks.sizes("limit_weights", s, s, q, n_hard)
    z = np.asarray(z, dtype=np.float64)
    if not ((z >= 0) & (z <= 1)).all():
        raise ValueError("The 'z' of limit_weights must be in [0, 1].")
    if q == s:
        return np.full(z.shape, float(s))
    return _limit(z, s, n_hard) + _limit(1 - z, s, q - n_hard)


def _limit(z: Array, s: int, q: int) -> Array:
    if q == 0:
        return np.zeros(z.shape)
    return np.asarray(s * special.betainc(s - q, q, 1 - z), dtype=np.float64)


@renamed_arguments(hardest="n_hard")
def selection_probabilities(scores: ArrayLike, s: int, q: int, *, n_hard: int | None = None) -> Array:
    """The probability of each sample to be kept, given all scores.

    Source: Eq. 10. Ties are broken at random, so that equal scores share the mean weight of the ranks that they fill.

    Args:
        scores: (n,), larger is harder; infinite ones allowed (never seen), no NaN.
        s, q, n_hard: as in `rank_weights`.

    Returns:
        float64 (n,), in the order of the scores; sums to q.

    Raises:
        ValueError: scores that are no vector or hold NaN; sizes outside their ranges.

    Example:
        >>> selection_probabilities([0.1, 3.0, 1.0], 2, 1).round(3).tolist()
        [0.0, 0.667, 0.333]
    """
    values = checks.vector("selection_probabilities", "scores", scores, finite=False)
    n, s, q, n_hard = checks.sizes("selection_probabilities", len(values), s, q, n_hard)
    gamma = rank_weights(n, s, q, n_hard=n_hard)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    counts = np.diff(np.r_[starts, n])
    shared = np.empty(n)
    shared[order] = np.repeat(np.add.reduceat(gamma, starts) / counts, counts)
    return shared


@renamed_arguments(hardest="n_hard")
def surrogate_loss(losses: ArrayLike, s: int, q: int, *, n_hard: int | None = None) -> float:
    """L_q, the loss that OrderDP descends in expectation: (1/q) sum_j gamma_j L_(j).

    Source: Eq. 3 and Theorem 1. The theorem needs scores that are the present losses: with scores of earlier epochs, as
    Algorithm 1 keeps them, the weights follow the old ranks.

    Args:
        losses: (n,), finite.
        s, q, n_hard: as in `rank_weights`.

    Raises:
        ValueError: losses that are no vector or not finite; sizes outside their ranges.

    Example:
        >>> round(surrogate_loss([1.0, 2.0, 3.0], 2, 1), 3)  # of the larger of two, on average
        2.667
    """
    return _weighed("surrogate_loss", checks.vector("surrogate_loss", "losses", losses), s, q, n_hard)


@renamed_arguments(hardest="n_hard")
def surrogate_gap(losses: ArrayLike, s: int, q: int, *, n_hard: int | None = None) -> float:
    """Q_n at one theta: L_q - L = sum_j (gamma_j/q - 1/n) L_(j).

    Source: Theorem 4, before its infimum over the iterates. Paper: r_i is not defined; here: gamma at the rank of
    sample i, which makes Q_n the gap between the two losses. For the top q it is never negative (Chebyshev's sum
    inequality), and at q = s it is 0.

    Args:
        losses, s, q, n_hard: as in `surrogate_loss`.

    Raises:
        ValueError: losses that are no vector or not finite; sizes outside their ranges.

    Example:
        >>> round(surrogate_gap([1.0, 2.0, 3.0], 2, 1), 3)
        0.667
    """
    values = checks.vector("surrogate_gap", "losses", losses)
    _, s, q, n_hard = checks.sizes("surrogate_gap", len(values), s, q, n_hard)
    if q == s:
        return 0.0
    # Centred first: a small gap of large losses keeps its digits.
    gap = _weighed("surrogate_gap", values - values.mean(), s, q, n_hard)
    return max(0.0, gap) if n_hard == q else gap  # below 0 there are rounding errors only


def _weighed(owner: str, losses: Array, s: int, q: int, n_hard: int | None) -> float:
    """(1/q) sum_j gamma_j L_(j)."""
    n, s, q, n_hard = checks.sizes(owner, len(losses), s, q, n_hard)
    return float(rank_weights(n, s, q, n_hard=n_hard) @ np.sort(losses)[::-1] / q)
