"""Uncertainty scores against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from orderdp.coresets import CORESETS, select
from tests.coresets.conftest import make_outputs, replaced

NAMES = ["least_confidence", "entropy", "margin"]
LITERAL = {
    "least_confidence": lambda p: 1 - max(p),
    "entropy": lambda p: -sum(x * math.log(x) for x in p if x > 0),
    "margin": lambda p: 1 - (sorted(p)[-1] - sorted(p)[-2]),
}


def scores_of(name, outputs):
    return CORESETS[name](outputs, torch.arange(outputs.n), np.random.default_rng(0))


def with_logits(rows):
    logits = torch.tensor([rows], dtype=torch.float64)
    return replaced(make_outputs((len(rows), *[0] * (logits.shape[2] - 1))), logits=logits)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("models", [1, 3])
def test_against_the_definition(name, models):
    outputs = make_outputs(models=models)
    p = outputs.logits.double().softmax(-1).mean(0).tolist()
    torch.testing.assert_close(
        scores_of(name, outputs), torch.tensor([LITERAL[name](row) for row in p], dtype=torch.float64)
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_uncertain_are_kept(name):
    rows = [[scale, 0.0, -scale] for scale in (9.0, 0.1, 4.0, 2.0, 0.0, 30.0)]
    for balance in (True, False):
        kept = select(name, with_logits(rows), [6], np.random.default_rng(0), balance=balance)[0].indices
        assert kept.tolist() == [4, 1, 3, 2, 0, 5]


@pytest.mark.parametrize("name", NAMES)
def test_near_certainty_still_has_an_order(name):
    """In float32 the softmax of all of these is 1.0."""
    rows = [[gap, 0.0, -5.0] for gap in (300.0, 40.0, 90.0, 20.0, 600.0)]
    kept = select(name, with_logits(rows), [5], np.random.default_rng(0))[0].indices
    assert kept.tolist() == [3, 1, 2, 0, 4]


@pytest.mark.parametrize("name", NAMES)
def test_certainty_is_zero_and_ignorance_the_largest(name):
    scores = scores_of(name, with_logits([[1e4, 0.0, 0.0], [7.0, 7.0, 7.0], [1e4, 1e4, 0.0]]))
    assert bool(scores.isfinite().all()) and float(scores[0]) == 0
    largest = {"least_confidence": 2 / 3, "entropy": math.log(3), "margin": 1.0}[name]
    assert float(scores[1]) == pytest.approx(largest) == pytest.approx(float(scores.max()))


def test_probabilities_and_not_outputs():
    """Two samples: the larger largest logit belongs to the less confident one."""
    kept = select("least_confidence", with_logits([[3.0, 0.0, 0.0], [9.0, 8.9, 8.8]]), [1], np.random.default_rng(0))[
        0
    ].indices
    assert kept.tolist() == [1]


def test_the_three_differ():
    rows = [[math.log(x) for x in p] for p in ([0.50, 0.49, 0.01], [0.46, 0.28, 0.26], [0.44, 0.41, 0.15])]
    first = {name: int(select(name, with_logits(rows), [1], np.random.default_rng(0))[0].indices) for name in NAMES}
    assert first == {"least_confidence": 2, "entropy": 1, "margin": 0}


@pytest.mark.parametrize("name", NAMES)
def test_labels_do_not_matter(name):
    outputs = make_outputs()
    other = replaced(outputs, labels=outputs.labels.flip(0))
    assert torch.equal(scores_of(name, outputs), scores_of(name, other))
