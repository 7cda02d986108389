"""How many samples of each class a coreset holds."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def quotas(
    sizes: Sequence[int], n_keep: int, keys: Sequence[int] | NDArray[np.int64], *, equal: bool = False
) -> NDArray[np.int64]:
    """Splits a number of samples over classes: at least one sample of each, never more than it has, the sum exactly
    `n_keep`.

    Shares are in proportion to the sizes, or equal; those below 1 are raised to it, those above a class's size cut to
    it, and the other classes share what is left by the same rule. Then largest remainder: every class gets the whole
    part of its share, and the classes with the largest fractions one more.

    Args:
        sizes: samples in each class, at least one.
        n_keep: from the number of classes to the sum of the sizes.
        keys: distinct; of classes with the same fraction, the one with the smaller key is served first.
        equal: as many of every class, instead of in proportion.

    Returns:
        int64 (len(sizes),).
    """
    shares = _bounded([1] * len(sizes) if equal else sizes, sizes, n_keep)
    whole = np.array([int(share) for share in shares], dtype=np.int64)
    order = sorted(range(len(sizes)), key=lambda c: (int(whole[c]) - shares[c], keys[c]))
    whole[order[: n_keep - int(whole.sum())]] += 1
    return whole


def _bounded(parts: Sequence[int], sizes: Sequence[int], n_keep: int) -> list[Fraction]:
    """Exact shares proportional to `parts`, each between 1 and its size, summing to `n_keep`.

    To move classes to one bound moves the others towards the other bound. So each round settles only the side on which
    more is to be moved: those classes stay at their bound whatever becomes of the rest.
    """
    shares = [Fraction(0)] * len(sizes)
    free, left = set(range(len(sizes))), n_keep
    while True:
        total = sum(parts[c] for c in free)
        for c in free:
            shares[c] = Fraction(left * parts[c], total)
        low = {c: 1 for c in free if shares[c] < 1}
        high = {c: sizes[c] for c in free if shares[c] > sizes[c]}
        lift, cut = sum(1 - shares[c] for c in low), sum(shares[c] - sizes[c] for c in high)
        settled = low | high if lift == cut else low if lift > cut else high
        for c, bound in settled.items():
            shares[c] = Fraction(bound)
        if lift == cut:
            return shares
        left -= sum(settled.values())
        free -= settled.keys()
