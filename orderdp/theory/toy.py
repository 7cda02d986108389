"""The toy example of E.1 for any gradients: every outcome of a selection with its exact probability."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from numbers import Rational
from typing import Any, NamedTuple

from orderdp.theory import checks

MOST = 16
"""Samples at most: the outcomes are as many as the subsets."""


class Outcome(NamedTuple):
    """One set that a method may keep.

    Example:
        >>> random_outcomes([1, 2], 1)[0].probability
        Fraction(1, 2)
    """

    kept: tuple[int, ...]
    """Samples kept, numbered from 1 as in Table 10."""
    probability: Fraction
    """Of this set, out of all randomness of the method."""
    gradients: tuple[Fraction, ...]
    """Of the samples kept, rescaled as the method does."""
    n: int
    """Samples in all."""

    @property
    def mean(self) -> Fraction:
        """Mean over the samples kept: Table 10's "Avg. grad."."""
        return sum(self.gradients, Fraction(0)) / len(self.gradients)

    @property
    def per_sample(self) -> Fraction:
        """Sum over the samples kept, divided by n: what rescaling is meant for."""
        return sum(self.gradients, Fraction(0)) / self.n

    @property
    def prune_ratio(self) -> Fraction:
        """Share of the samples left out."""
        return 1 - Fraction(len(self.kept), self.n)


class Expectations(NamedTuple):
    """What a method gives on average.

    Example:
        >>> expectations(random_outcomes([1, 2, 3], 2)).mean
        Fraction(2, 1)
    """

    mean: Fraction
    """E[mean over the samples kept]."""
    per_sample: Fraction
    """E[sum / n]."""
    pooled: Fraction
    """E[sum] / E[number kept]: the mean over the samples of many epochs together."""
    prune_ratio: Fraction
    """E[share left out]."""


def expectations(outcomes: Iterable[Outcome]) -> Expectations:
    """The expectation of each estimator over the outcomes of one method.

    Raises:
        ValueError: probabilities that do not sum to 1.

    Example:
        >>> found = expectations(orderdp_outcomes([1, 2, 3, 4, 5], 4, 1))
        >>> float(found.mean), float(found.prune_ratio)
        (4.8, 0.8)
    """
    outcomes = list(outcomes)
    total = sum((outcome.probability for outcome in outcomes), Fraction(0))
    if total != 1:
        raise ValueError(f"The probabilities of the outcomes must sum to 1. They sum to {total}.")

    def expected(what: str) -> Fraction:
        return sum((outcome.probability * getattr(outcome, what) for outcome in outcomes), Fraction(0))

    per_sample, pruned = expected("per_sample"), expected("prune_ratio")
    return Expectations(expected("mean"), per_sample, per_sample / (1 - pruned), pruned)


def infobatch_outcomes(
    gradients: Sequence[Any], prune_ratio: Any, *, scores: Sequence[Any] | None = None
) -> list[Outcome]:
    """InfoBatch as E.1 describes it: those strictly below the mean score stay with probability 1 - r each, weighed 1/(1
    - r).

    Paper: Table 10 prints a prune rate of 0.60 in its first row, its share kept; here: 0.40. Its mean over the kept,
    4.336 instead of 3, is called a bias; here: `per_sample`, the estimator that the weights are made for, is 3 exactly,
    as it is for all gradients. The toy draws each sample on its own; the method itself keeps a fixed number of those
    below the mean (of two at r = 0.8: none).

    Args:
        gradients: 1 to 16 numbers; floats count as the decimals they print as (0.8 is 4/5).
        prune_ratio: r in [0, 1).
        scores: what is compared with its mean, one per gradient; None: the gradients.

    Returns:
        Outcomes of positive probability, smaller sets first.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> len(infobatch_outcomes([1, 2, 3, 4, 5], 0.5))
        4
    """
    owner = "infobatch_outcomes"
    values, ranked = _samples(owner, gradients, scores)
    stay = 1 - _exact(owner, "prune_ratio", prune_ratio)
    if not 0 < stay <= 1:
        raise ValueError(f"The 'prune_ratio' of {owner} must be in [0, 1). Got {prune_ratio!r}.")
    n, threshold = len(values), sum(ranked, Fraction(0)) / len(values)
    low = {sample for sample in range(n) if ranked[sample] < threshold}
    chances: dict[tuple[int, ...], Fraction] = {}
    for lucky in _subsets(low):
        chance = stay ** len(lucky) * (1 - stay) ** (len(low) - len(lucky))
        if chance:
            chances[tuple(sample for sample in range(n) if sample not in low or sample in lucky)] = chance
    weighed = [value / stay if sample in low else value for sample, value in enumerate(values)]
    return _outcomes(chances, weighed)


def orderdp_outcomes(
    gradients: Sequence[Any], sizes: int | Sequence[int], q: int, *, scores: Sequence[Any] | None = None
) -> list[Outcome]:
    """OrderDP: a number of candidates s, uniformly out of `sizes`; s candidates uniformly; the q of largest score.

    Paper: for gradients 1..5, s in 1..5 and q = 1, {3} has probability 3/25 and {4} 9/50, and the expectation is 4.06;
    here: 1/10, 1/5 and 4.26, because 3 is the largest in two of the ten pairs (not in three), and 4 in one of the five
    sets of four (not in one of ten). Neither is the full gradient's 3, nor meant to be: Theorem 1 makes the estimate
    unbiased for L_q.

    Args:
        gradients: 1 to 16 numbers; floats count as the decimals they print as.
        sizes: s, or several values of it, each as probable; q..n.
        q: how many are kept; at least 1.
        scores: what ranks the samples, one per gradient; None: the gradients. Ties are broken at random.

    Returns:
        Outcomes of positive probability, in the order of the samples kept.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> [outcome.kept for outcome in orderdp_outcomes([1, 2, 3], 2, 1)]
        [(2,), (3,)]
    """
    owner = "orderdp_outcomes"
    values, ranked = _samples(owner, gradients, scores)
    n = len(values)
    q = checks.whole(owner, "q", q, 1, n, "[1, n]")
    every = list(sizes) if isinstance(sizes, Sequence) else [sizes]
    if not every:
        raise ValueError(f"The 'sizes' of {owner} must name at least one number of candidates.")
    chances: dict[tuple[int, ...], Fraction] = {}
    for size in every:
        s = checks.whole(owner, "sizes", size, q, n, "[q, n]")
        for candidates in combinations(range(n), s):
            winners = _top(candidates, ranked, q)
            for kept in winners:
                chances[kept] = chances.get(kept, Fraction(0)) + Fraction(
                    1, len(every) * math.comb(n, s) * len(winners)
                )
    return _outcomes(chances, values)


def random_outcomes(gradients: Sequence[Any], q: int) -> list[Outcome]:
    """Dynamic random pruning: q samples uniformly. Its mean is unbiased for the full gradient.

    Args:
        gradients: 1 to 16 numbers; floats count as the decimals they print as.
        q: how many are kept; 1..n.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> [outcome.kept for outcome in random_outcomes([1, 2, 3], 2)]
        [(1, 2), (1, 3), (2, 3)]
    """
    values, _ = _samples("random_outcomes", gradients, None)
    q = checks.whole("random_outcomes", "q", q, 1, len(values), "[1, n]")
    every = list(combinations(range(len(values)), q))
    return _outcomes(dict.fromkeys(every, Fraction(1, len(every))), values)


def _top(candidates: tuple[int, ...], scores: Sequence[Fraction], q: int) -> list[tuple[int, ...]]:
    """The sets that are top q of the candidates; several, equally probable, where scores tie."""
    threshold = sorted((scores[sample] for sample in candidates), reverse=True)[q - 1]
    above = [sample for sample in candidates if scores[sample] > threshold]
    level = [sample for sample in candidates if scores[sample] == threshold]
    return [tuple(sorted([*above, *rest])) for rest in combinations(level, q - len(above))]


def _subsets(items: Iterable[int]) -> list[set[int]]:
    items = sorted(items)
    return [set(chosen) for count in range(len(items) + 1) for chosen in combinations(items, count)]


def _outcomes(chances: Mapping[tuple[int, ...], Fraction], gradients: Sequence[Fraction]) -> list[Outcome]:
    return [
        Outcome(
            tuple(sample + 1 for sample in kept),
            chances[kept],
            tuple(gradients[sample] for sample in kept),
            len(gradients),
        )
        for kept in sorted(chances, key=lambda kept: (len(kept), kept))
    ]


def _samples(
    owner: str, gradients: Sequence[Any], scores: Sequence[Any] | None
) -> tuple[list[Fraction], list[Fraction]]:
    """Gradients and scores, exactly."""
    values = [_exact(owner, "gradients", value) for value in gradients]
    if not 1 <= len(values) <= MOST:
        raise ValueError(f"The 'gradients' of {owner} must be 1 to {MOST} numbers. Got {len(values)}.")
    ranked = values if scores is None else [_exact(owner, "scores", value) for value in scores]
    if len(ranked) != len(values):
        raise ValueError(f"The 'scores' of {owner} must be one per gradient. Got {len(ranked)} for {len(values)}.")
    return values, ranked


def _exact(owner: str, name: str, value: Any) -> Fraction:
    """A number as a fraction; a float as the shortest decimal that it prints as."""
    if not checks.is_real(value) or not math.isfinite(value):
        raise ValueError(f"The '{name}' of {owner} must be finite and real. Got {value!r}.")
    return Fraction(value) if isinstance(value, Rational) else Fraction(str(float(value)))
