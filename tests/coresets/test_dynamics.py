"""Forgetting, GraNd and EL2N against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from orderdp.coresets import CORESETS, select
from orderdp.coresets.base import residuals
from tests.coresets.conftest import loss_of, make_outputs, replaced


def scores_of(name, outputs):
    return CORESETS[name](outputs, torch.arange(outputs.n), np.random.default_rng(0))


def histories(rows, losses=None):
    """ProxyOutputs from one string for each sample, "1" where it was right."""
    correct = torch.tensor([[mark == "1" for mark in row] for row in rows]).T
    mean = torch.zeros(len(rows)) if losses is None else torch.tensor(losses)
    return replaced(make_outputs((len(rows),)), correct=correct, losses=mean.repeat(len(correct), 1))


def literal_forgetting(row, loss):
    """(events or infinity, presentations before the first success, mean loss)."""
    events = sum(a and not b for a, b in itertools.pairwise(row))
    return (events if any(row) else math.inf, row.index(True) if any(row) else len(row), sum(loss) / len(loss))


@pytest.mark.parametrize("epochs", [1, 2, 9])
def test_forgetting_against_the_loop(epochs):
    outputs = make_outputs(epochs=epochs)
    rows = zip(outputs.correct.T.tolist(), outputs.losses.T.double().tolist(), strict=True)
    expected = torch.tensor([literal_forgetting(*row) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(scores_of("forgetting", outputs), expected)


def test_order_of_forgetting():
    rows = ["11111", "00000", "10101", "01111", "00110", "10011", "01011"]
    for seed in range(3):
        kept = select("forgetting", histories(rows), [7], np.random.default_rng(seed))[0].indices
        # never learned; two events; one event, learned later first; none, learned later first
        assert kept.tolist() == [1, 2, 4, 6, 5, 3, 0]


def test_equal_histories_go_by_mean_loss():
    outputs = histories(["0000", "0110", "0110", "0000"], losses=[1.0, 0.2, 0.3, 2.0])
    assert select("forgetting", outputs, [4], np.random.default_rng(0))[0].indices.tolist() == [3, 0, 2, 1]


def test_being_wrong_at_first_is_no_forgetting():
    assert scores_of("forgetting", histories(["01", "11", "10"]))[:, 0].tolist() == [0, 0, 1]


def test_grand_is_the_last_layers_gradient_norm():
    """Against autograd, for each proxy and sample, weights and bias together."""
    outputs, g = make_outputs((6, 5, 4), models=2), torch.Generator().manual_seed(3)
    n, k, d = 15, 3, 5
    norms = torch.zeros(2, n, dtype=torch.float64)
    h = torch.randn(2, n, d, generator=g, dtype=torch.float64)
    logits = torch.zeros(2, n, k, dtype=torch.float64)
    for model in range(2):
        weight = torch.randn(k, d, generator=g, dtype=torch.float64, requires_grad=True)
        bias = torch.randn(k, generator=g, dtype=torch.float64, requires_grad=True)
        for i in range(n):
            logits[model, i] = (output := weight @ h[model, i] + bias).detach()
            gradients = torch.autograd.grad(loss_of(output, int(outputs.labels[i])), [weight, bias])
            norms[model, i] = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    outputs = replaced(outputs, early_logits=logits, early_norms=h.norm(dim=2))
    torch.testing.assert_close(scores_of("grand", outputs), norms.mean(0))


def test_el2n_against_the_definition():
    outputs = make_outputs((6, 5, 4), models=3)
    expected = torch.zeros(15, dtype=torch.float64)
    for logits in outputs.early_logits.double():
        for i, p in enumerate(logits.softmax(-1)):
            p[outputs.labels[i]] -= 1
            expected[i] += p.norm() / 3
    torch.testing.assert_close(scores_of("el2n", outputs), expected)


@pytest.mark.parametrize("name", ["grand", "el2n"])
def test_the_wrong_are_kept_and_ranked_even_near_certainty(name):
    gaps = (50.0, -3.0, 8.0, 100.0, -40.0, 0.0)
    logits = torch.tensor([[[gap, 0.0] for gap in gaps]])
    outputs = replaced(make_outputs((6, 0)), early_logits=logits, early_norms=torch.ones(1, 6))
    assert select(name, outputs, [6], np.random.default_rng(0))[0].indices.tolist() == [4, 1, 5, 2, 0, 3]


def test_residuals_are_the_gradient_by_the_outputs():
    outputs = make_outputs((5, 4, 3), models=1)
    logits = outputs.logits[0].double().requires_grad_()
    loss = sum(loss_of(row, int(label)) for row, label in zip(logits, outputs.labels, strict=True))
    (expected,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(residuals(logits.detach(), outputs.labels), expected)
