"""Gradients of subsets against one gradient per sample."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from orderdp.diagnostics import subset_gradients

N = 40


@pytest.fixture
def problem():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(N, 6, generator=draw), torch.randint(0, 3, (N,), generator=draw)
    weight, bias = torch.randn(3, 6, generator=draw).requires_grad_(), torch.zeros(3, requires_grad=True)

    def evaluate(indices):
        logits = x[indices] @ weight.T + bias
        return F.cross_entropy(logits, y[indices], reduction="none"), logits.argmax(1) == y[indices]

    single = []
    for i in range(N):
        gradients = torch.autograd.grad(evaluate(torch.tensor([i]))[0].sum(), [weight, bias])
        single.append(torch.cat([g.reshape(-1) for g in gradients]))
    return (
        evaluate,
        [weight, bias],
        torch.stack(single),
        torch.rand(N, generator=draw) < 0.3,
        torch.rand(N, generator=draw) + 0.5,
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [7, 1024])
def test_both_gradients(problem, weighted, batch_size):
    evaluate, parameters, single, kept, weights = problem
    found = subset_gradients(evaluate, parameters, kept, weights if weighted else None, batch_size)
    members = [i for i in range(N) if kept[i]]
    expected = sum((float(weights[i]) if weighted else 1.0) * single[i] for i in members) / len(members)
    assert torch.allclose(found.kept, expected, atol=1e-6)
    assert torch.allclose(found.full, single.mean(0), atol=1e-6)
    cosine = float(expected @ single.mean(0)) / float(expected.norm() * single.mean(0).norm())
    assert float(found.cosine) == pytest.approx(cosine, abs=1e-5)
    assert torch.allclose(found.losses, evaluate(torch.arange(N))[0].detach())
    assert torch.equal(found.correct, evaluate(torch.arange(N))[1])
    assert all(p.grad is None for p in parameters)


def test_all_data_point_where_the_full_gradient_does(problem):
    evaluate, parameters, *_ = problem
    found = subset_gradients(evaluate, parameters, torch.ones(N, dtype=torch.bool))
    assert torch.equal(found.kept, found.full)
    assert float(found.cosine) == pytest.approx(1.0)
