"""GLISTER against the loop of its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from orderdp.coresets import CORESETS, select
from tests.coresets.conftest import make_outputs, replaced
from tests.coresets.test_last_layer import literal_gradients


def rng():
    return np.random.default_rng(0)


def with_ones(features):
    return torch.cat([features.double(), torch.ones(len(features), 1, dtype=torch.float64)], dim=1)


def literal_validation_gradient(outputs, step):
    """grad L_val at theta + step, by autograd; float64 (k (d + 1),)."""
    change = step.clone().requires_grad_()
    logits = outputs.validation_logits.double() + with_ones(outputs.validation_features) @ change.T
    return torch.autograd.grad(F.cross_entropy(logits, outputs.validation_labels), change)[0].flatten()


def literal_glister(outputs, members, sizes, rate):
    g = literal_gradients(outputs, members)
    chosen: list[int] = []
    for size in sizes:
        step = -rate * g[chosen].sum(0).reshape(outputs.classes, -1)
        gains = g @ literal_validation_gradient(outputs, step)
        rest = sorted((i for i in range(len(members)) if i not in chosen), key=lambda i: -float(gains[i]))
        chosen += rest[:size]
    return chosen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rounds", "sizes"), [(1, [20]), (3, [7, 7, 6]), (20, [1] * 20), (99, [1] * 20)])
def test_against_the_loop(seed, rounds, sizes):
    outputs = make_outputs((25, 20), seed=seed)
    members = torch.randperm(45, generator=torch.Generator().manual_seed(seed))[:37]
    expected = literal_glister(outputs, members, sizes, rate=0.3 / 20)
    chosen = CORESETS["glister"](outputs, members, 20, rng(), rounds=rounds, rate=0.3)
    assert chosen.tolist() == members[expected].tolist()


def test_the_update_runs(outputs):
    """Once-only ranking is what a update hook that is never called leaves of the method."""
    once, often = (
        select("glister", outputs, [25], rng(), balance=False, rounds=rounds, rate=1.0)[0].indices for rounds in (1, 25)
    )
    assert set(once.tolist()) != set(often.tolist())


def test_a_step_on_the_chosen_lowers_the_validation_loss_more_than_a_random_draw():
    outputs = make_outputs((60, 60), d=8)

    def loss_after(name, seed):
        chosen = select(name, outputs, [20], np.random.default_rng(seed), balance=False)[0].indices
        step = -0.05 * literal_gradients(outputs, chosen).mean(0).reshape(2, -1)
        logits = outputs.validation_logits.double() + with_ones(outputs.validation_features) @ step.T
        return float(F.cross_entropy(logits, outputs.validation_labels))

    assert loss_after("glister", 0) < min(loss_after("random", seed) for seed in range(20))


def test_huge_steps_stay_finite(outputs):
    chosen = select("glister", outputs, [40], rng(), balance=False, rate=1e12)[0].indices
    assert len(chosen.unique()) == 40


def test_validation_samples_of_other_number_and_precision(outputs):
    few = replaced(
        outputs,
        validation_logits=outputs.validation_logits[:1].half(),
        validation_features=outputs.validation_features[:1].half(),
        validation_labels=outputs.validation_labels[:1],
    )
    assert len(select("glister", few, [12], rng())[0].indices.unique()) == 12


@pytest.mark.parametrize("rounds", [0, 2.5, True])
def test_mistakes(outputs, rounds):
    with pytest.raises(ValueError, match="'rounds' of glister must be an integer of at least 1"):
        select("glister", outputs, [9], rng(), rounds=rounds)
