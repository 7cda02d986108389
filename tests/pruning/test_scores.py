"""Scores other than the loss against autograd and loops; schedules against their definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from orderdp.pruning import OrderDP
from orderdp.pruning.schedules import SCHEDULES
from orderdp.pruning.scores import SCORES

G = torch.Generator().manual_seed(2)
LOGITS = torch.randn(32, 5, generator=G) * 3
LABELS = torch.randint(5, (32,), generator=G)
LOSSES = F.cross_entropy(LOGITS, LABELS, reduction="none")


def test_gradient_norm_is_that_of_the_loss_by_autograd():
    for logits, label, score in zip(LOGITS, LABELS, SCORES["gradient_norm"](LOGITS, LABELS, LOSSES), strict=True):
        leaf = logits.clone().requires_grad_()
        F.cross_entropy(leaf, label).backward()
        assert float(score) == pytest.approx(float(leaf.grad.norm()), rel=1e-5)


def test_margin_against_a_loop():
    scores = SCORES["margin"](LOGITS, LABELS, LOSSES).tolist()
    for logits, label, score in zip(LOGITS.tolist(), LABELS.tolist(), scores, strict=True):
        total = sum(map(math.exp, logits))
        probability = [math.exp(z) / total for z in logits]
        others = [p for index, p in enumerate(probability) if index != label]
        assert score == pytest.approx(max(others) - probability[label], abs=1e-6)
        assert (score > 0) == (max(logits) != logits[label])


def test_the_loss_is_a_score_too():
    assert torch.equal(SCORES["loss"](LOGITS, LABELS, LOSSES), LOSSES)


@pytest.mark.parametrize("name", SCORES)
def test_larger_is_harder_and_nothing_overflows(name):
    right, wrong = torch.tensor([[9e4, -9e4, 0.0]]), torch.tensor([[-9e4, 9e4, 0.0]])
    label = torch.tensor([0])
    low, high = (
        SCORES[name](logits, label, F.cross_entropy(logits, label, reduction="none")) for logits in (right, wrong)
    )
    assert low.shape == high.shape == (1,) and bool(low < high) and bool(high.isfinite().all())


def test_update_ranks_by_the_scores_and_averages_the_losses():
    pruner = OrderDP(4, explore=1.0, exploit=0.5)
    pruner.begin_epoch(0)
    losses = torch.tensor([4.0, 3.0, 2.0, 1.0], requires_grad=True)
    loss = pruner.update(torch.arange(4), losses, scores=torch.tensor([-1.0, 0.5, 0.2, 0.9]))
    assert float(loss.detach()) == 2.5 and loss.requires_grad
    assert set(pruner.select(1).indices.tolist()) == {1, 3}


@pytest.mark.parametrize(
    ("losses", "scores"),
    [
        (torch.rand(4), torch.rand(3)),
        (torch.rand(4), torch.tensor(1.0)),
        (torch.tensor(1.0), torch.rand(4)),
        (torch.rand(4), [1.0] * 4),
    ],
)
def test_scores_and_losses_are_both_per_sample(losses, scores):
    pruner = OrderDP(4)
    pruner.begin_epoch(0)
    with pytest.raises(ValueError, match=r"one per sample|per sample: shape"):
        pruner.update(torch.arange(4), losses, scores)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_go_from_end_to_end_at_the_mean(name):
    schedule = SCHEDULES[name]
    epochs = [schedule((t + 0.5) / 7, 0.2, 0.8) for t in range(7)]
    assert sum(epochs) / 7 == pytest.approx(0.5)
    assert epochs == sorted(epochs)
    assert all(schedule(p, 0.3, 0.3) == pytest.approx(0.3) for p in (0.0, 0.4, 1.0))
    if name != "constant":
        assert (schedule(0.0, 0.2, 0.8), schedule(1.0, 0.2, 0.8)) == pytest.approx((0.2, 0.8))
        assert schedule(0.25, 0.2, 0.8) == pytest.approx(
            {"linear": 0.35, "cosine": 0.5 - 0.3 / math.sqrt(2), "step": 0.2}[name]
        )
