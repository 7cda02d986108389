"""Influence and dataset pruning against dense inverses of a Hessian from autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from orderdp.coresets import CORESETS, select
from orderdp.coresets.curvature import gauss_newton, kronecker, sketch
from tests.coresets.conftest import make_outputs, replaced
from tests.coresets.test_last_layer import literal_gradients

SMALL = (14, 9, 7)
EVERYONE = torch.arange(sum(SMALL))


def rng(seed=0):
    return np.random.default_rng(seed)


def with_ones(features):
    return torch.cat([features.double(), torch.ones(len(features), 1, dtype=torch.float64)], dim=1)


def literal_hessian(outputs, damping):
    """Of the mean loss by the last layer, by autograd twice; it is linear in the layer, so that Gauss-Newton leaves
    nothing out."""
    inputs, logits = with_ones(outputs.features), outputs.logits[-1].double()

    def loss(change):
        return F.cross_entropy(logits + inputs @ change.reshape(outputs.classes, -1).T, outputs.labels)

    order = outputs.classes * inputs.shape[1]
    hessian = torch.autograd.functional.hessian(loss, torch.zeros(order, dtype=torch.float64))
    return hessian + damping * torch.eye(order, dtype=torch.float64)


def scores(outputs, members=EVERYONE, **options):
    return CORESETS["influence"](outputs, members, rng(), **options)


@pytest.mark.parametrize("damping", [0.01, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_norms_of_the_explicit_inverse(seed, damping):
    outputs = make_outputs(SMALL, seed=seed)
    members = torch.randperm(30, generator=torch.Generator().manual_seed(seed))[:21]
    expected = (literal_gradients(outputs, members) @ literal_hessian(outputs, damping).inverse()).norm(dim=1)
    torch.testing.assert_close(scores(outputs, members, damping=damping), expected, rtol=1e-7, atol=1e-12)
    # Few unknowns: the sketch is the vector itself.
    torch.testing.assert_close(
        scores(outputs, members, damping=damping, curvature="cg"), expected, rtol=1e-5, atol=1e-12
    )


@pytest.mark.parametrize("seed", range(3))
def test_norms_with_kronecker_factors(seed):
    outputs = make_outputs(SMALL, seed=seed)
    p, h = outputs.logits[-1].double().softmax(1), with_ones(outputs.features)
    left = torch.stack([row.diag() - row.outer(row) for row in p]).mean(0)
    right = torch.stack([row.outer(row) for row in h]).mean(0)
    hessian = torch.kron(left, right) + 0.01 * torch.eye(21, dtype=torch.float64)
    expected = (literal_gradients(outputs, EVERYONE) @ hessian.inverse()).norm(dim=1)
    torch.testing.assert_close(scores(outputs, curvature="kronecker"), expected, rtol=1e-7, atol=1e-12)


def test_kronecker_factors_are_exact_where_all_outputs_are_equal():
    outputs = make_outputs(SMALL)
    outputs = replaced(outputs, logits=torch.tensor([0.3, -1.0, 0.7]).expand(1, 30, 3))
    torch.testing.assert_close(
        scores(outputs, curvature="kronecker"), scores(outputs, curvature="exact"), rtol=1e-7, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["exact", "kronecker", "cg"])
def test_systems_are_solved(kind):
    outputs = make_outputs(SMALL)
    right = torch.randn(4, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    solution = gauss_newton(outputs, kind, 0.02).solve(right).flatten(1)
    if kind == "kronecker":
        p, h = outputs.logits[-1].double().softmax(1), with_ones(outputs.features)
        form = kronecker(p, h, 0.02)
        identity = form.solve(torch.eye(21, dtype=torch.float64).view(21, 3, 7)).flatten(1)
        hessian = identity.inverse()
        torch.testing.assert_close(hessian, hessian.T)
    else:
        hessian = literal_hessian(outputs, 0.02)
    torch.testing.assert_close(solution @ hessian, right.flatten(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["exact", "cg"])
def test_influence_on_the_validation_loss(kind):
    outputs = make_outputs(SMALL)
    change = torch.zeros(3, 7, dtype=torch.float64, requires_grad=True)
    logits = outputs.validation_logits.double() + with_ones(outputs.validation_features) @ change.T
    slope = torch.autograd.grad(F.cross_entropy(logits, outputs.validation_labels), change)[0].flatten()
    expected = literal_gradients(outputs, EVERYONE) @ literal_hessian(outputs, 0.05).inverse() @ slope
    torch.testing.assert_close(
        scores(outputs, target="loss", curvature=kind, damping=0.05), expected, rtol=1e-5, atol=1e-8
    )


def test_influence_predicts_what_another_weight_does():
    """A last layer trained to its optimum, and again with a little more of one sample: the validation loss falls by
    what was foretold."""
    outputs = make_outputs(SMALL)
    inputs, held_out = with_ones(outputs.features), with_ones(outputs.validation_features)
    damping = 0.1

    def optimum(weights):
        layer = torch.zeros(3, 7, dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS(
            [layer], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
        )

        def closure():
            solver.zero_grad()
            losses = F.cross_entropy(inputs @ layer.T, outputs.labels, reduction="none")
            loss = (weights * losses).mean() + damping / 2 * layer.square().sum()
            loss.backward()
            return loss

        solver.step(closure)
        return layer.detach()

    ones = torch.ones(30, dtype=torch.float64)
    layer = optimum(ones)
    trained = replaced(outputs, logits=(inputs @ layer.T).unsqueeze(0), validation_logits=held_out @ layer.T)
    before = F.cross_entropy(held_out @ layer.T, outputs.validation_labels)
    foretold = scores(trained, target="loss", damping=damping)
    for i in (0, 5, 17, 29):
        more = ones.clone()
        more[i] += 1e-2
        fall = before - F.cross_entropy(held_out @ optimum(more).T, outputs.validation_labels)
        assert float(fall) == pytest.approx(float(foretold[i]) * 1e-2 / 30, rel=0.05, abs=1e-9)


def test_sketches_keep_lengths_and_sums():
    outputs = make_outputs((30, 20, 12, 8), d=40)
    outputs = replaced(outputs, logits=outputs.logits / 10)  # autograd has no digits left of errors of 1e-20
    full = literal_gradients(outputs, torch.arange(70)) @ literal_hessian(outputs, 0.1).inverse()
    for kind in ("exact", "cg"):
        short = sketch(outputs, kind, 0.1, torch.arange(70), 128)
        assert short.shape == (70, 128)
        ratio = short.norm(dim=1) / full.norm(dim=1)
        assert float(ratio.min()) > 0.7 and float(ratio.max()) < 1.3
        assert float(short[10:40].sum(0).norm() / full[10:40].sum(0).norm()) == pytest.approx(1, abs=0.3)


def test_the_hessian_is_built_once_for_all_classes_and_budgets(outputs):
    mine = replaced(outputs)
    select("dataset_pruning", mine, [20, 40], rng(), sweeps=2)
    assert gauss_newton(mine, "exact", 0.01) is gauss_newton(mine, "auto", 0.01)
    assert gauss_newton(mine, "exact", 0.02) is not gauss_newton(mine, "exact", 0.01)
    assert gauss_newton(replaced(mine), "exact", 0.01) is not gauss_newton(mine, "exact", 0.01)


def test_heavy_tailed_evidence_is_pruned_until_no_swap_helps():
    """Features of lognormal length make gradients whose lengths differ by orders of magnitude."""
    outputs = make_outputs((70, 50), d=20)
    lengths = torch.exp(3 * torch.randn(120, 1, generator=torch.Generator().manual_seed(0)))
    outputs = replaced(outputs, features=outputs.features * lengths)
    moves = (literal_gradients(outputs, torch.arange(120)) @ literal_hessian(outputs, 0.1).inverse() / 120).numpy()
    kept = select("dataset_pruning", outputs, [84], rng(), balance=False, damping=0.1)[0].indices.numpy()
    dropped = np.setdiff1d(np.arange(120), kept)
    total = moves[dropped].sum(0)
    swapped = total + moves[kept][:, None] - moves[dropped]
    assert np.square(total).sum() <= np.square(swapped).sum(-1).min() * (1 + 1e-6)
    shortest = np.argsort(np.square(moves).sum(1))[:36]
    assert np.square(total).sum() < np.square(moves[shortest].sum(0)).sum()


@pytest.mark.parametrize("balance", [True, False])
def test_the_shift_is_far_below_that_of_random_draws(balance):
    outputs = make_outputs((70, 50), d=20)
    moves = literal_gradients(outputs, torch.arange(120)) @ literal_hessian(outputs, 0.1).inverse() / 120

    def shift(name, seed):
        kept = select(
            name, outputs, [36], rng(seed), balance=balance, **({"damping": 0.1} if name != "random" else {})
        )[0].indices
        dropped = torch.ones(120, dtype=torch.bool)
        dropped[kept] = False
        return float(moves[dropped].sum(0).norm())

    assert shift("dataset_pruning", 0) < 0.8 * min(shift("random", seed) for seed in range(20))


@pytest.mark.parametrize("name", ["influence", "dataset_pruning"])
@pytest.mark.parametrize("kind", ["exact", "kronecker", "cg"])
def test_saturated_and_equal_evidence_stays_finite(name, kind):
    one_hot = 1e5 * F.one_hot(make_outputs(SMALL).labels, 3).float().unsqueeze(0)
    for fields in (
        {"logits": one_hot},
        {"logits": -one_hot},
        {"features": torch.ones(30, 6)},
        {"features": torch.zeros(30, 6)},
    ):
        outputs = replaced(make_outputs(SMALL), **fields)
        assert len(select(name, outputs, [13], rng(), curvature=kind)[0].indices.unique()) == 13
        assert bool(scores(outputs, curvature=kind).isfinite().all())


def test_mistakes(outputs):
    mistakes = [
        ("influence", {"target": "weights"}, "'target' of influence must be 'parameters' or 'loss'. Got 'weights'"),
        (
            "influence",
            {"curvature": "fisher"},
            "'curvature' must be 'auto', 'exact', 'kronecker' or 'cg'. Got 'fisher'",
        ),
        ("influence", {"damping": 0.0}, "'damping' must be positive and finite. Got 0.0"),
        ("dataset_pruning", {"damping": float("nan")}, "'damping' must be positive and finite"),
        ("dataset_pruning", {"sweeps": 0}, "'sweeps' of dataset_pruning must be an integer of at least 1. Got 0"),
        (
            "dataset_pruning",
            {"projection": 2.5},
            "'projection' of dataset_pruning must be an integer of at least 1. Got 2.5",
        ),
        ("dataset_pruning", {"temperature": 0}, "'temperature' of dataset_pruning must be positive and finite. Got 0"),
    ]
    for name, options, message in mistakes:
        with pytest.raises(ValueError, match=message):
            select(name, outputs, [9], rng(), **options)
    with pytest.raises(ValueError, match="'influence' needs the proxy output 'validation_logits'"):
        select("influence", replaced(outputs, validation_logits=None), [9], rng(), target="loss")
