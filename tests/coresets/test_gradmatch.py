"""GradMatch against orthogonal matching pursuit with scipy's non-negative least squares."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from orderdp.coresets import CORESETS, select
from orderdp.coresets.gradmatch import fit, pursue
from orderdp.coresets.last_layer import Gradients, gradients
from tests.coresets.conftest import make_outputs, replaced
from tests.coresets.test_last_layer import literal_gradients


def rng():
    return np.random.default_rng(0)


def literal_weights(g, target, penalty):
    """argmin over w >= 0 of ||w g - target||^2 + penalty ||w||^2: least squares with sqrt(penalty) I below."""
    below = np.sqrt(penalty) * np.eye(len(g))
    return nnls(np.vstack([g.T, below]), np.concatenate([target, np.zeros(len(g))]))[0]


def literal_pursuit(g, n_keep, penalty):
    target, chosen, residual = g.sum(0), [], g.sum(0)
    for _ in range(n_keep):
        chosen.append(max((i for i in range(len(g)) if i not in chosen), key=lambda i: g[i] @ residual))
        residual = target - literal_weights(g[chosen], target, penalty) @ g[chosen]
    return chosen


def mean_square(g):
    return float((g**2).sum(1).mean())


def some_gradients(m, k, d, seed):
    g = torch.Generator().manual_seed(seed)
    errors = torch.randn(m, k, generator=g, dtype=torch.float64)
    return Gradients(errors - errors.mean(1, keepdim=True), torch.randn(m, d, generator=g, dtype=torch.float64).abs())


def dense(parts):
    return (parts.errors.unsqueeze(2) * parts.inputs.unsqueeze(1)).flatten(1).numpy()


@pytest.mark.parametrize("gram", [8192, 0])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("seed", range(5))
def test_fit_is_nonnegative_least_squares(seed, penalty, gram, monkeypatch):
    monkeypatch.setattr(importlib.import_module("orderdp.coresets.gradmatch"), "GRAM", gram)
    parts, many = some_gradients(40, 3, 5, seed), some_gradients(200, 3, 5, seed + 1)
    expected = literal_weights(dense(parts), dense(many).sum(0), penalty)
    assert 3 < np.count_nonzero(expected) < 40  # the constraint matters
    cold = fit(parts, many.total(), penalty, tolerance=1e-10)
    np.testing.assert_allclose(cold, expected, atol=1e-6 * expected.max())
    warm = fit(parts, many.total(), penalty, torch.rand(40, dtype=torch.float64), tolerance=1e-10)
    np.testing.assert_allclose(warm, expected, atol=1e-6 * expected.max())


@pytest.mark.parametrize("ridge", [0.05, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_against_the_loop(seed, ridge):
    parts = some_gradients(40, 3, 6, seed)
    g = dense(parts)
    penalty = ridge * mean_square(g)
    assert pursue(parts, 16, penalty=penalty).tolist() == literal_pursuit(g, 16, penalty)


def test_on_evidence():
    outputs = make_outputs((30, 15))
    members = torch.randperm(45, generator=torch.Generator().manual_seed(1))[:36]
    g = literal_gradients(outputs, members).numpy()
    expected = literal_pursuit(g, 10, 0.5 * mean_square(g))
    assert CORESETS["gradmatch"](outputs, members, 10, rng()).tolist() == members[expected].tolist()


@pytest.mark.parametrize("n_keep", [3, 12, 30])
def test_weights_are_those_of_the_cut(n_keep):
    outputs = make_outputs((28, 17))
    chosen, weights = select("gradmatch", outputs, [n_keep], rng(), balance=False, ridge=0.2)[0]
    g = literal_gradients(outputs, torch.arange(45)).numpy()
    expected = literal_weights(g[chosen], g.sum(0), 0.2 * mean_square(g))
    np.testing.assert_allclose(weights, expected / expected.mean(), atol=2e-3 * n_keep**0.5)


@pytest.mark.parametrize("growth", [0.0, 0.02])
def test_closer_to_the_full_gradient_than_random_draws_with_the_best_weights(growth):
    outputs = make_outputs((120, 80), d=20)
    parts = gradients(outputs, torch.arange(200), dtype=torch.float64)

    def error(chosen):
        some = parts.take(chosen)
        return float((some.total(fit(some, parts.total(), 1e-6)) - parts.total()).norm() / parts.total().norm())

    ours = error(select("gradmatch", outputs, [20], rng(), balance=False, growth=growth)[0].indices)
    draws = [torch.randperm(200, generator=torch.Generator().manual_seed(seed))[:20] for seed in range(20)]
    assert ours < 0.5 * min(error(draw) for draw in draws)


@pytest.mark.parametrize("balance", [True, False])
def test_the_weighted_sum_points_the_way_of_the_full_gradient(balance):
    """Weights with mean 1 leave the length to the learning rate."""
    outputs = make_outputs((120, 80), d=20)
    parts = gradients(outputs, torch.arange(200), dtype=torch.float64)

    def angle(name, seed):
        chosen, weights = select(name, outputs, [30], np.random.default_rng(seed), balance=balance)[0]
        some = parts.take(chosen).total(None if weights is None else weights.double())
        return float(torch.acos(torch.nn.functional.cosine_similarity(some.flatten(), parts.total().flatten(), dim=0)))

    assert angle("gradmatch", 0) < min(angle("random", seed) for seed in range(20))


def test_zero_gradients_weigh_the_same():
    outputs = make_outputs((10, 8))
    sure = 1e5 * torch.nn.functional.one_hot(outputs.labels, 2).float().unsqueeze(0)
    weights = select("gradmatch", replaced(outputs, logits=sure), [9], rng())[0].weights  # 5 of 10, 4 of 8
    assert weights.tolist() == pytest.approx([1.0] * 9)


def test_a_class_without_gradients_is_not_weighted_away():
    outputs = make_outputs((20, 20), models=1)
    known = (outputs.labels == 0).unsqueeze(1) * torch.tensor([1e5, -1e5])
    chosen, weights = select("gradmatch", replaced(outputs, logits=outputs.logits + known), [10], rng())[0]
    of_known = weights[outputs.labels[chosen] == 0]
    assert float(of_known.min()) == float(of_known.max()) > 0.1


def test_without_ridge_and_with_copies():
    """Singular systems: every sample six times, nothing to make the weights unique."""
    few = make_outputs((4, 3), models=1)
    copies = torch.arange(7).repeat(6)
    outputs = replaced(few, labels=few.labels[copies], logits=few.logits[:, copies], features=few.features[copies])
    chosen, weights = select("gradmatch", outputs, [30], rng(), ridge=0.0)[0]
    assert len(chosen.unique()) == 30 and bool(weights.isfinite().all())


@pytest.mark.parametrize("option", ["ridge", "growth"])
def test_mistakes(outputs, option):
    for value in (-0.1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"'{option}' of gradmatch must be at least 0 and finite"):
            select("gradmatch", outputs, [9], rng(), **{option: value})
