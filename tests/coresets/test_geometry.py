"""k-center, contextual diversity and herding against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from orderdp.coresets import CORESETS, select
from tests.coresets.conftest import make_outputs, replaced


def order_of(name, outputs, n_keep, members=None):
    members = torch.arange(outputs.n) if members is None else members
    return CORESETS[name](outputs, members, n_keep, np.random.default_rng(0)).tolist()


def literal_farthest_first(distance, members, n_keep):
    chosen = [members[0]]
    while len(chosen) < n_keep:
        rest = [i for i in members if i not in chosen]
        chosen.append(max(rest, key=lambda i: min(distance(i, j) for j in chosen)))
    return chosen


def literal_divergence(p, r):
    """1/2 KL(p || r) + 1/2 KL(r || p)."""
    return sum(0.5 * a * math.log(a / b) + 0.5 * b * math.log(b / a) for a, b in zip(p, r, strict=True))


def literal_herding(h, members, n_keep):
    """argmin over the rest of || mean - mean of chosen and this ||."""
    mean, chosen = np.mean([h[i] for i in members], axis=0), []
    for _ in range(n_keep):
        rest = [i for i in members if i not in chosen]
        chosen.append(min(rest, key=lambda i: np.linalg.norm(mean - np.mean([h[j] for j in [*chosen, i]], axis=0))))
    return chosen


@pytest.mark.parametrize("seed", range(4))
def test_k_center_is_farthest_first(seed):
    outputs = make_outputs((20, 15), seed=seed)
    h, members = (
        outputs.features.double().numpy(),
        torch.randperm(35, generator=torch.Generator().manual_seed(seed))[:28],
    )
    expected = literal_farthest_first(lambda i, j: np.linalg.norm(h[i] - h[j]), members.tolist(), 14)
    assert order_of("k_center", outputs, 14, members) == expected


@pytest.mark.parametrize("shift", [0.0, 1e3])
@pytest.mark.parametrize("d", [1, 3, 40])
def test_k_center_with_ties_and_far_from_the_origin(d, shift):
    """Whole numbers, exact in float32: many equal distances. Far off, the bound that spares distances spares none, and
    nothing else."""
    features = torch.randint(-9, 9, (300, d), generator=torch.Generator().manual_seed(0)).float() + shift
    h = features.double()
    expected, nearest = [0], (h - h[0]).norm(dim=1)
    for _ in range(299):
        nearest[expected[-1]] = -1
        expected.append(int(nearest.argmax()))
        nearest = torch.where(nearest < 0, nearest, torch.minimum(nearest, (h - h[expected[-1]]).norm(dim=1)))
    assert order_of("k_center", replaced(make_outputs((300,)), features=features), 300) == expected


@pytest.mark.parametrize("seed", range(5))
def test_k_centers_radius_is_within_twice_the_best(seed):
    outputs = make_outputs((11,), seed=seed, d=2)
    distances = torch.cdist(outputs.features.double(), outputs.features.double())
    for n_keep in (1, 2, 3, 4):
        best = min(
            float(distances[:, list(centers)].amin(1).max()) for centers in itertools.combinations(range(11), n_keep)
        )
        ours = select("k_center", outputs, [n_keep], np.random.default_rng(seed), balance=False)[0].indices
        assert float(distances[:, ours].amin(1).max()) <= 2 * best + 1e-9


def test_k_center_takes_distinct_samples_before_copies():
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).repeat(5, 1)
    outputs = replaced(make_outputs((30,)), features=features)
    for seed in range(5):
        chosen = select("k_center", outputs, [6], np.random.default_rng(seed))[0].indices
        assert len((chosen % 6).unique()) == 6


def test_k_centers_first_sample_is_random():
    outputs = make_outputs((12,))
    firsts = {int(select("k_center", outputs, [1], np.random.default_rng(seed))[0].indices) for seed in range(100)}
    assert firsts == set(range(12))


@pytest.mark.parametrize("models", [1, 3])
def test_contextual_diversity_is_farthest_first(models):
    outputs = make_outputs((18, 10, 8), models=models)
    p = outputs.logits.double().softmax(-1).mean(0).clamp(min=1e-12).tolist()
    expected = literal_farthest_first(lambda i, j: literal_divergence(p[i], p[j]), range(36), 15)
    assert order_of("contextual_diversity", outputs, 15) == expected


def test_contextual_diversity_of_certain_outputs():
    """One-hot softmax: each class once before any twice; outputs of infinite divergence do not turn into NaN."""
    labels = torch.arange(4).repeat(6)
    logits = torch.nn.functional.one_hot(labels).float().unsqueeze(0) * 1e4
    outputs = replaced(make_outputs((6, 6, 6, 6)), labels=labels, logits=logits)
    for seed in range(5):
        chosen = select("contextual_diversity", outputs, [4], np.random.default_rng(seed), balance=False)[0].indices
        assert sorted((chosen % 4).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(4))
def test_herding_against_the_loop(seed):
    outputs = make_outputs((20, 15), seed=seed)
    members = torch.randperm(35, generator=torch.Generator().manual_seed(seed))[:30]
    expected = literal_herding(outputs.features.double().numpy(), members.tolist(), 20)
    assert order_of("herding", outputs, 20, members) == expected


def test_herdings_mean_is_far_closer_than_a_random_draws():
    outputs = make_outputs((200,), d=8)
    mean = outputs.features.mean(0)

    def error(name, seed):
        chosen = select(name, outputs, [20], np.random.default_rng(seed))[0].indices
        return float((outputs.features[chosen].mean(0) - mean).norm())

    assert error("herding", 0) < 0.3 * min(error("random", seed) for seed in range(20))


def test_herding_far_from_the_origin():
    """Features relative to their mean: a common shift, exact here, changes nothing."""
    features = torch.randint(-8, 8, (64, 5), generator=torch.Generator().manual_seed(0)).float()
    near, far = (replaced(make_outputs((64,)), features=features + shift) for shift in (0.0, 4096.0))
    assert order_of("herding", near, 30) == order_of("herding", far, 30)
