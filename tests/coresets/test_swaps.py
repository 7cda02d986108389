"""Short sums by swaps: against all subsets, against a descent written out, and where rows differ in length by orders of
magnitude."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from orderdp.coresets import swaps
from orderdp.coresets.swaps import anneal, descend, least_sum

TINY = [(m, r, keep, sigma) for m, r, keep in ((8, 3, 3), (10, 2, 5), (12, 4, 8)) for sigma in (0.0, 2.0, 3.0)]


def rows(m, r, sigma, seed, mean=0.0):
    """Random directions, on request around a common mean, of lognormal lengths."""
    g = np.random.default_rng(seed)
    directions = g.standard_normal((m, r)) + mean * g.standard_normal(r)
    return (
        directions / np.linalg.norm(directions, axis=1, keepdims=True) * np.exp(sigma * g.standard_normal(m))[:, None]
    )


def square(shifts, dropped):
    return float(np.square(shifts[list(dropped)].sum(0)).sum())


def best_of_all(shifts, n_keep):
    return min(square(shifts, dropped) for dropped in itertools.combinations(range(len(shifts)), len(shifts) - n_keep))


def literal_descent(shifts, kept, dropped):
    """The best of all swaps, again and again, each sum added up from nothing."""
    kept, dropped = list(kept), list(dropped)
    while True:
        now = square(shifts, dropped)
        after, stay, leave = min(
            (square(shifts, [*dropped[:leave], kept[stay], *dropped[leave + 1 :]]), stay, leave)
            for stay in range(len(kept)) for leave in range(len(dropped))
        )  # fmt: skip
        if not after < now * (1 - 1e-12):
            return sorted(kept), now
        kept[stay], dropped[leave] = dropped[leave], kept[stay]


def least_rise(shifts, kept, dropped):
    """The best of all single swaps, relative to the square: 0 or more where no swap helps."""
    total = shifts[dropped].sum(0)
    swapped = total + shifts[kept][:, None] - shifts[dropped]
    return float(np.square(swapped).sum(-1).min() / np.square(total).sum() - 1)


@pytest.mark.parametrize("mean", [0.0, 0.5])
@pytest.mark.parametrize(("m", "r", "keep", "sigma"), TINY)
def test_the_best_of_all_subsets_of_few_rows(m, r, keep, sigma, mean):
    shifts = rows(m, r, sigma, seed=m, mean=mean)
    kept, found = least_sum(shifts, keep, np.random.default_rng(0), steps=50 * m, temperature=1.0)
    assert len(np.unique(kept)) == keep
    assert found == pytest.approx(best_of_all(shifts, keep), rel=1e-9, abs=1e-14)
    assert found == pytest.approx(square(shifts, np.setdiff1d(np.arange(m), kept)), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("sigma", [0.0, 2.0, 3.0])
def test_descent_is_the_literal_one(sigma):
    shifts = rows(40, 5, sigma, seed=3, mean=0.2)
    order = np.random.default_rng(1).permutation(40)
    found, length = descend(shifts, order, 25)
    kept, now = literal_descent(shifts, order[:25], order[25:])
    assert sorted(found[:25].tolist()) == kept and length == pytest.approx(now)
    assert sorted(found.tolist()) == list(range(40))


@pytest.mark.parametrize("block", [1, 7, 64])
def test_descent_ends_where_no_swap_helps(block, monkeypatch):
    monkeypatch.setattr(swaps, "BLOCK", block)
    shifts = rows(300, 20, 1.0, seed=0)
    order, length = descend(shifts, np.arange(300), 100)
    assert least_rise(shifts, order[:100], order[100:]) > -1e-6
    assert length < square(shifts, range(100, 300)) / 10 and length == pytest.approx(square(shifts, order[100:]))


@pytest.mark.parametrize("mean", [0.0, 0.3])
@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_lognormal_lengths_are_never_worse_than_a_descent(sigma, mean):
    """An annealing alone freezes hundreds of times above what a descent from the shortest rows reaches at sigma = 3."""
    shifts, keep = rows(500, 64, sigma, seed=0, mean=mean), 350
    shortest = np.argsort(-np.square(shifts).sum(1), kind="stable")
    _, descended = descend(shifts, shortest, keep)
    kept, found = least_sum(shifts, keep, np.random.default_rng(0), steps=50 * 500, temperature=1.0)
    dropped = np.setdiff1d(np.arange(500), kept)
    assert found == pytest.approx(square(shifts, dropped)) and found <= descended < square(shifts, shortest[keep:])
    assert least_rise(shifts, kept, dropped) > -1e-6


def test_annealing_finds_sums_that_a_descent_misses():
    """Where lengths differ by a factor of a few, both searches are worth their time."""
    ratios = []
    for seed in range(4):
        shifts, keep = rows(500, 64, 1.0, seed), 150
        _, descended = descend(shifts, np.argsort(-np.square(shifts).sum(1), kind="stable"), keep)
        _, found = least_sum(shifts, keep, np.random.default_rng(seed), steps=50 * 500, temperature=1.0)
        ratios.append(found / descended)
    assert np.exp(np.log(ratios).mean()) < 0.7


@pytest.mark.parametrize("seed", range(4))
def test_annealing_finds_the_best_of_all_subsets(seed):
    shifts = np.random.default_rng(seed).standard_normal((11, 4)) + 0.3
    _, trace = anneal(shifts, np.arange(11), 5, np.random.default_rng(seed), steps=4000, temperature=1.0)
    assert trace[-1] == pytest.approx(best_of_all(shifts, 5))
    assert sorted(trace, reverse=True) == trace


@pytest.mark.parametrize("n_keep", [1, 30, 99])
@pytest.mark.parametrize("temperature", [1e-9, 1.0, 1e6])
def test_the_best_set_visited_comes_out(n_keep, temperature):
    """At any temperature: if all swaps are accepted, those after the best are taken back."""
    shifts = np.random.default_rng(0).standard_normal((100, 8)) + 0.05
    order = np.random.default_rng(2).permutation(100)
    found, trace = anneal(shifts, order, n_keep, np.random.default_rng(1), steps=3000, temperature=temperature)
    assert sorted(found.tolist()) == list(range(100))
    assert square(shifts, found[n_keep:]) == pytest.approx(trace[-1])
    assert trace[0] == pytest.approx(square(shifts, order[n_keep:])) and trace[-1] <= trace[0]


@pytest.mark.parametrize("shifts", [np.zeros((9, 3)), np.ones((9, 3))])
def test_equal_rows_keep_the_order_that_they_came_in(shifts):
    kept, found = least_sum(shifts, 4, np.random.default_rng(0), steps=100, temperature=1.0)
    assert kept.tolist() == [0, 1, 2, 3] and found == square(shifts, range(5))
