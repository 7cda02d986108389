"""Budgets split over classes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orderdp.coresets import select
from orderdp.coresets.quotas import quotas
from tests.coresets.conftest import make_outputs


def literal_shares(sizes: list[int], n_keep: int, equal: bool) -> np.ndarray:
    """min(size, max(1, level * part)), with the level that uses up the n_keep found by bisection."""
    parts, limits = np.array([1] * len(sizes) if equal else sizes, dtype=float), np.array(sizes, dtype=float)
    low, high = 0.0, 2.0 * max(sizes)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(middle * parts, 1, limits).sum() < n_keep else (low, middle)
    return np.clip(high * parts, 1, limits)


@st.composite
def cases(draw):
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=12))
    return sizes, draw(st.integers(len(sizes), sum(sizes))), draw(st.booleans())


@settings(max_examples=300, deadline=None)
@given(cases())
def test_against_shares_found_by_bisection(case):
    sizes, n_keep, equal = case
    found = quotas(sizes, n_keep, range(len(sizes)), equal=equal)
    assert found.dtype == np.int64 and found.sum() == n_keep
    assert (found >= 1).all() and (found <= sizes).all()
    shares = literal_shares(sizes, n_keep, equal)
    assert (np.abs(found - shares) < 1 + 1e-9).all()
    up = found > shares + 1e-9
    fractions = shares - np.floor(shares + 1e-9)
    if up.any() and (~up).any():
        assert fractions[up].min() >= fractions[~up].max() - 1e-9


@pytest.mark.parametrize("equal", [False, True])
def test_nothing_is_closer_to_the_shares(equal):
    sizes, n_keep = [7, 2, 5, 1], 8
    shares = literal_shares(sizes, n_keep, equal)
    every = [q for q in itertools.product(*(range(1, size + 1) for size in sizes)) if sum(q) == n_keep]
    best = min(np.abs(np.array(q) - shares).sum() for q in every)
    assert np.abs(quotas(sizes, n_keep, range(4), equal=equal) - shares).sum() == pytest.approx(best)


@pytest.mark.parametrize(
    ("sizes", "n_keep", "equal", "expected"),
    [
        ([5000] * 10, 25000, False, [2500] * 10),
        ([50, 30, 20], 10, False, [5, 3, 2]),
        ([97, 1, 1, 1], 10, False, [7, 1, 1, 1]),  # the small ones' minimum comes from the large one
        (
            [100, 3, 100],
            30,
            True,
            [14, 3, 13],
        ),  # what the small class lacks goes to the others; key 0 is served before key 2
        ([4, 4], 8, True, [4, 4]),
        ([1, 1, 1], 3, False, [1, 1, 1]),
    ],
)
def test_examples(sizes, n_keep, equal, expected):
    assert quotas(sizes, n_keep, range(len(sizes)), equal=equal).tolist() == expected


def test_equal_fractions_go_by_key():
    assert quotas([10, 10, 10], 4, [2, 0, 1]).tolist() == [1, 2, 1]


def test_equally_large_classes_are_nested():
    """So that one order serves several n_keep, as far as apportionment allows: a class's quota never falls."""
    outputs = make_outputs((20, 20, 20, 20))
    selections = select("herding", outputs, list(range(4, 81)), np.random.default_rng(3))
    for small, large in itertools.pairwise(selections):
        assert set(small.indices.tolist()) < set(large.indices.tolist())


def test_classes_take_turns_in_proportion():
    outputs = make_outputs((60, 30, 10))
    indices = select("random", outputs, [50], np.random.default_rng(0))[0].indices
    for count in range(1, 51):
        drawn = outputs.labels[indices[:count]].bincount(minlength=3)
        assert bool(((drawn - torch.tensor([0.6, 0.3, 0.1]) * count).abs() <= 1).all())
