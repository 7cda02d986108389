"""Measures of kept sets against loops over samples."""

from __future__ import annotations

import math

import pytest
import torch

from orderdp.diagnostics import coverage, forgotten, jaccard, kept_by_label, kept_by_loss, label_shift


@pytest.fixture(params=range(5))
def draw(request):
    return torch.Generator().manual_seed(request.param)


def mask(n, draw):
    return torch.rand(n, generator=draw) < 0.4


def members(chosen):
    return {i for i, inside in enumerate(chosen.tolist()) if inside}


def test_jaccard(draw):
    a, b = mask(50, draw), mask(50, draw)
    assert float(jaccard(a, b)) == pytest.approx(len(members(a) & members(b)) / len(members(a) | members(b)))
    assert float(jaccard(a, a)) == 1.0
    assert float(jaccard(a, ~a)) == 0.0


def test_coverage():
    assert float(coverage(torch.tensor([0, 3, 1, 0, 2]))) == pytest.approx(0.6)


def test_kept_by_loss(draw):
    losses, kept = torch.rand(47, generator=draw), mask(47, draw)
    order = sorted(range(47), key=lambda i: -float(losses[i]))
    groups = [[order[r] for r in range(47) if r * 10 // 47 == g] for g in range(10)]
    expected = [sum(bool(kept[i]) for i in group) / len(group) for group in groups]
    assert kept_by_loss(losses, kept).tolist() == pytest.approx(expected)


def test_the_hardest_come_first():
    losses = torch.arange(100.0)
    assert kept_by_loss(losses, losses >= 70).tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]


def test_labels(draw):
    labels, kept = torch.randint(0, 4, (60,), generator=draw), mask(60, draw)
    share = [[bool(k) for k, y in zip(kept, labels, strict=True) if y == c] for c in range(4)]
    assert kept_by_label(labels, kept, 4).tolist() == pytest.approx([sum(s) / len(s) for s in share])
    mine = [sum(s) / int(kept.sum()) for s in share]
    data = [len(s) / 60 for s in share]
    assert float(label_shift(labels, kept, 4)) == pytest.approx(
        sum(abs(p - q) for p, q in zip(mine, data, strict=True)) / 2
    )
    assert float(label_shift(labels, torch.ones(60, dtype=torch.bool), 4)) == 0
    assert math.isnan(kept_by_label(labels, kept, 5)[4])


def test_forgotten(draw):
    before, now, among = (mask(80, draw) for _ in range(3))
    known = [i for i in range(80) if before[i] and among[i]]
    assert float(forgotten(before, now, among)) == pytest.approx(sum(not now[i] for i in known) / len(known))
    assert math.isnan(forgotten(before & False, now, among))
