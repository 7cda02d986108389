"""Slow, literal twins: sets enumerated one by one, formulas as printed, in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations
from math import comb


def enumerated_weights(n, s):
    """{(q, hardest): gamma} by drawing every set of s candidates among the ranks 1..n."""
    weights = {(q, hardest): [Fraction(0)] * n for q in range(1, s + 1) for hardest in range(q + 1)}
    for candidates in combinations(range(1, n + 1), s):  # in order: the hardest first
        for (q, hardest), gamma in weights.items():
            easiest = q - hardest
            for rank in candidates[:hardest] + (candidates[-easiest:] if easiest else ()):
                gamma[rank - 1] += Fraction(1, comb(n, s))
    return weights


def printed_weights(n, s, q):
    """Eq. 3, term by term."""
    return [
        sum(
            (
                Fraction(
                    comb(j - 1, place - 1) * comb(n - j, s - place), comb(n, s)
                )  # the paper's l is a place among the candidates
                for place in range(max(1, s - n + j), min(q, j) + 1)
            ),
            Fraction(0),
        )
        for j in range(1, n + 1)
    ]


def kept_sets(scores, s, q):
    """Algorithm 1's set for every draw of candidates, each as probable as any other; no ties."""
    for candidates in combinations(range(len(scores)), s):
        yield sorted(candidates, key=lambda sample: -scores[sample])[:q]


def enumerated_probabilities(scores, s, q):
    """How often each sample is kept, over all candidates and all orders in which ties may be broken."""
    n = len(scores)
    counts, total = [0] * n, 0
    for order in permutations(range(n)):
        for candidates in combinations(range(n), s):
            total += 1
            for sample in sorted(candidates, key=lambda sample: (-scores[sample], order[sample]))[:q]:
                counts[sample] += 1
    return [Fraction(count, total) for count in counts]
