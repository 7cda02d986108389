"""The closed forms of last-layer gradients against autograd."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from orderdp.coresets.last_layer import gradients, places
from tests.coresets.conftest import make_outputs, replaced


def literal_gradients(outputs, members):
    """float64 (m, k (d + 1)): the gradient of each sample's loss by the last layer's weights and bias, one by one, by
    autograd."""
    rows = []
    for i in members.tolist():
        h = torch.cat([outputs.features[i].double(), torch.ones(1, dtype=torch.float64)])
        z = outputs.logits[-1, i].double()
        change = torch.zeros(outputs.classes, len(h), dtype=torch.float64, requires_grad=True)
        loss = F.cross_entropy((z + change @ h).unsqueeze(0), outputs.labels[i : i + 1])
        rows.append(torch.autograd.grad(loss, change)[0].flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("seed", range(3))
def test_closed_forms(seed):
    outputs = make_outputs((9, 7, 5), seed=seed)
    members = torch.randperm(21, generator=torch.Generator().manual_seed(seed))[:13]
    literal, parts = literal_gradients(outputs, members), gradients(outputs, members, dtype=torch.float64)
    rows, weights = torch.tensor([4, 0, 11]), torch.rand(13, dtype=torch.float64)
    matrix = torch.randn(3, 7, dtype=torch.float64)
    torch.testing.assert_close(parts.inner(rows), literal[rows] @ literal.T)
    torch.testing.assert_close(parts.squares(), literal.square().sum(1))
    torch.testing.assert_close(parts.dot(matrix), literal @ matrix.flatten())
    torch.testing.assert_close(parts.total().flatten(), literal.sum(0))
    torch.testing.assert_close(parts.total(weights).flatten(), weights @ literal)
    torch.testing.assert_close(parts.take(rows).squares(), literal[rows].square().sum(1))


def test_scaling_keeps_proportions_and_leaves_zeros_alone():
    outputs = make_outputs((9, 7))
    everyone = torch.arange(16)
    parts = gradients(outputs, everyone, dtype=torch.float64)
    tiny = parts._replace(errors=parts.errors * 1e-30)
    torch.testing.assert_close(tiny.scaled().squares(), parts.scaled().squares())
    assert float(parts.scaled().errors.abs().max()) == 1
    nothing = parts._replace(errors=torch.zeros_like(parts.errors))
    assert float(nothing.scaled().squares().sum()) == 0


def test_a_well_trained_networks_errors_keep_their_digits():
    """p_y - 1 would be 0 in double precision, too."""
    outputs = make_outputs((4,) * 3)
    logits = 60.0 * F.one_hot(outputs.labels, 3).unsqueeze(0)
    errors = gradients(replaced(outputs, logits=logits), torch.arange(12)).errors
    torch.testing.assert_close(
        errors.abs().max(1).values, torch.full((12,), 2 * torch.tensor(-60.0).exp().item()), rtol=1e-5, atol=0
    )


def test_places():
    outputs = make_outputs((6, 5))
    members = torch.tensor([7, 2, 10, 0])
    assert places(outputs, members, torch.tensor([0, 7, 10])).tolist() == [3, 0, 2]
