"""Which rows to leave out so that the sum of those left out is short: annealing by swaps, and descent until no swap
helps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Vectors = NDArray[np.float64]

COLDEST = 1e-4  # last temperature of the annealing, relative to the first
FEWEST = 20_000  # swaps that an annealing proposes at least: sets of a dozen rows cost little and have exact answers
BLOCK = 64  # dropped rows that a step of the descent compares with all kept ones in one matrix product


def least_sum(
    shifts: Vectors, n_keep: int, rng: np.random.Generator, *, steps: int, temperature: float
) -> tuple[Rows, float]:
    """The rows to keep so that ||sum of the dropped rows|| is small: the best of two descents.

    One descent begins with the longest rows kept, the other where an annealing from there ends. Both are needed. Where
    lengths differ by orders of magnitude, the first ends lower, because no temperature suits all rows. Where they
    differ by a factor of a few, the second does: it has found sums that cancel.

    Args:
        shifts: (m, r), finite; in random order if equal rows are to be treated alike.
        n_keep: how many to keep, 1..m-1.
        rng: of the annealing.
        steps: swaps that the annealing proposes; at least `FEWEST` are.
        temperature: of its start, as in `anneal`.

    Returns:
        (int64 (n_keep,) rows kept, the squared length of the sum of the others). No single swap makes it smaller.
    """
    longest = np.argsort(-np.square(shifts).sum(1), kind="stable")
    annealed, _ = anneal(shifts, longest, n_keep, rng, steps=max(steps, FEWEST), temperature=temperature)
    found = [descend(shifts, start, n_keep) for start in (longest, annealed)]
    order, square = min(found, key=lambda answer: answer[1])
    return order[:n_keep], square


def descend(shifts: Vectors, order: Rows, n_keep: int) -> tuple[Rows, float]:
    """Swaps a dropped row with a kept one as long as that shortens the sum of the dropped ones.

    Goes through the dropped rows in blocks and makes the best swap of a block until it has none. A swap that lets a in
    and takes b out changes the square by 2 v.(S_a - S_b) + ||S_a - S_b||^2, where v is the sum of the dropped rows.

    Args:
        shifts: (m, r).
        order: (m,), the rows; the first `n_keep` are kept at the start.
        n_keep: 1..m-1.

    Returns:
        (the rows in the same form, the squared length). All pairs were compared since the last swap, and none shortens
        the sum by more than rounding errors do.
    """
    order = order.copy()
    kept, dropped = order[:n_keep], order[n_keep:]
    squares = np.square(shifts).sum(1)
    total = shifts[dropped].sum(0)
    square, at, compared = float(total @ total), 0, 0
    while compared < len(dropped):
        block = dropped[at : at + BLOCK]
        along, inner = shifts[kept] @ total, shifts[kept] @ shifts[block].T
        while True:
            into = 2 * along + squares[kept]
            rise = into[:, None] - 2 * inner + (squares[block] - 2 * (shifts[block] @ total))
            stay, leave = np.unravel_index(int(rise.argmin()), rise.shape)
            old, new = block[leave], kept[stay]
            moved = total + (shifts[new] - shifts[old])
            if not float(moved @ moved) < square * (
                1 - 1e-12
            ):  # measured, not foretold: the loop ends whatever is rounded
                break
            total, square, compared = moved, float(moved @ moved), 0
            kept[stay], block[leave] = old, new
            column = shifts[kept] @ shifts[new]
            along += column - inner[:, leave]
            inner[:, leave] = column
            along[stay], inner[stay] = shifts[old] @ total, shifts[block] @ shifts[old]
        compared += len(block)
        at = at + BLOCK if at + BLOCK < len(dropped) else 0
    return order, square


def anneal(
    shifts: Vectors, order: Rows, n_keep: int, rng: np.random.Generator, *, steps: int, temperature: float
) -> tuple[Rows, list[float]]:
    """Simulated annealing of ||sum of the dropped rows||^2 over all sets that keep `n_keep` of the rows.

    Args:
        shifts: (m, r).
        order: (m,), the rows; the first `n_keep` are kept at the start.
        n_keep: 1..m-1.
        rng: proposes swaps and accepts bad ones.
        steps: swaps proposed.
        temperature: of the start, relative to the median squared distance of two rows that differ, because a few long
            rows would decide the mean; it falls geometrically.

    Returns:
        (the rows in the same form, for the best set visited; the best squared length so far: at the start and after
        each time it fell).
    """
    place = order.copy()  # rows kept, then rows dropped
    total = shifts[place[n_keep:]].sum(0)
    energy = float(total @ total)
    best = [energy]
    heat = temperature * _typical_distance(shifts, rng)
    if heat == 0:
        return place, best
    swaps: list[tuple[int, int]] = []
    best_swaps = 0
    cooling = COLDEST ** (1 / steps)
    for stay, leave, luck in _proposals(len(shifts), n_keep, steps, rng):
        change = shifts[place[stay]] - shifts[place[leave]]
        rise = float(change @ (2 * total + change))
        if rise < heat * luck:
            total += change
            energy += rise
            place[stay], place[leave] = place[leave], place[stay]
            swaps.append((stay, leave))
            if energy < best[-1]:
                best.append(energy)
                best_swaps = len(swaps)
        heat *= cooling
    for stay, leave in reversed(swaps[best_swaps:]):
        place[stay], place[leave] = place[leave], place[stay]
    return place, best


def _typical_distance(shifts: Vectors, rng: np.random.Generator) -> float:
    """The median squared distance of up to 4,096 random pairs of rows; 0 if all of these are equal."""
    first, second = rng.integers(len(shifts), size=(2, 4096))
    squares = np.square(shifts[first] - shifts[second]).sum(1)
    return float(np.median(squares[squares > 0])) if squares.any() else 0.0


def _proposals(m: int, n_keep: int, steps: int, rng: np.random.Generator) -> Iterator[tuple[int, int, float]]:
    """Pairs of a place kept and a place dropped, with -log of a uniform number, in which Metropolis' rule is `rise <
    heat * luck`."""
    for first in range(0, steps, 65536):
        count = min(65536, steps - first)
        yield from zip(
            rng.integers(n_keep, size=count).tolist(),
            rng.integers(n_keep, m, size=count).tolist(),
            rng.exponential(size=count).tolist(),
            strict=True,
        )
