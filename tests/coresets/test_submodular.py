"""Facility location and CRAIG against the four-line greedy, and against the best of all subsets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from orderdp.coresets import CORESETS, select, submodular
from orderdp.coresets.last_layer import gradients, places
from tests.coresets.conftest import make_outputs, replaced
from tests.coresets.test_last_layer import literal_gradients


def rng():
    return np.random.default_rng(0)


def objective(distances, chosen):
    """sum_i max_{j in S} (C - d_ij) with the least C for which no term is negative."""
    return float((distances.max() - distances[:, chosen]).max(1).sum())


def assert_greedy(distances, order):
    """Every choice raises the objective as much as any other would have, up to what float32 can tell."""
    for step, choice in enumerate(order):
        before = order[:step]
        values = {j: objective(distances, [*before, j]) for j in range(len(distances)) if j not in before}
        assert values[choice] >= max(values.values()) - 1e-6 * distances.max() * len(distances), step


def euclidean(vectors):
    return np.linalg.norm(vectors[:, None] - vectors[None], axis=2)


def cosine(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return 1 - unit @ unit.T


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("metric", "literal"), [("euclidean", euclidean), ("cosine", cosine)])
def test_facility_location_is_the_greedy(seed, metric, literal):
    outputs = replaced(
        make_outputs((30, 15), seed=seed), features=torch.randn(45, 5, generator=torch.Generator().manual_seed(seed))
    )
    members = torch.randperm(45, generator=torch.Generator().manual_seed(seed))[:36]
    chosen = CORESETS["facility_location"](outputs, members, 20, rng(), metric=metric)
    assert_greedy(literal(outputs.features[members].double().numpy()), places(outputs, members, chosen).tolist())


@pytest.mark.parametrize("seed", range(4))
def test_craig_is_the_greedy_on_gradients(seed):
    outputs = make_outputs((30, 15), seed=seed)
    members = torch.randperm(45, generator=torch.Generator().manual_seed(seed))[:36]
    chosen = CORESETS["craig"](outputs, members, 15, rng())
    assert_greedy(euclidean(literal_gradients(outputs, members).numpy()), places(outputs, members, chosen).tolist())


@pytest.mark.parametrize("n_keep", [1, 6, 20])
def test_craigs_weights_are_the_sizes_of_clusters(n_keep):
    outputs = make_outputs((28, 17))
    chosen, weights = select("craig", outputs, [n_keep], rng(), balance=False)[0]
    distances = euclidean(literal_gradients(outputs, torch.arange(45)).numpy())
    sizes = np.bincount(distances[:, chosen.numpy()].argmin(1), minlength=n_keep)
    np.testing.assert_allclose(weights.numpy(), sizes / sizes.mean(), rtol=1e-6)


def test_craigs_weights_by_class():
    """Each class's clusters hold that class, so that its weights sum to its share of the data."""
    outputs = make_outputs((40, 10, 6))
    chosen, weights = select("craig", outputs, [9], rng(), balance="equal")[0]
    for label, size in enumerate((40, 10, 6)):
        assert float(weights[outputs.labels[chosen] == label].sum()) == pytest.approx(9 * size / 56, rel=1e-5)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["facility_location", "craig"])
def test_within_the_bound_of_the_best_subset(name, seed):
    outputs = (
        make_outputs((11,), seed=seed, d=2) if name == "facility_location" else make_outputs((6, 5), seed=seed, d=2)
    )
    everyone = torch.arange(11)
    vectors = outputs.features.double() if name == "facility_location" else literal_gradients(outputs, everyone)
    distances = euclidean(vectors.numpy())
    for n_keep in (1, 2, 3, 4):
        best = max(objective(distances, list(subset)) for subset in itertools.combinations(range(11), n_keep))
        ours = objective(distances, CORESETS[name](outputs, everyone, n_keep, rng()).numpy())
        assert ours >= (1 - 1 / math.e) * best
        assert ours <= best + 1e-9


@pytest.mark.parametrize("name", ["facility_location", "craig"])
def test_rows_on_demand_give_the_same_order(name, monkeypatch):
    """Groups too large for a matrix, and matrices filled block by block."""
    outputs = make_outputs((90, 60))
    answers = []
    for matrix, block in ((8192, 2**24), (8192, 700), (10, 2**24), (10, 700)):
        monkeypatch.setattr(submodular, "MATRIX", matrix)
        monkeypatch.setattr(submodular, "BLOCK", block)
        answers.append(select(name, outputs, [70], rng(), balance=False)[0])
    for answer in answers[1:]:
        assert torch.equal(answer.indices, answers[0].indices)
        assert answer.weights is None or torch.equal(answer.weights, answers[0].weights)


def test_laziness_spares_most_evaluations(monkeypatch):
    monkeypatch.setattr(submodular, "MATRIX", 0)
    features, rows_asked = torch.randn(400, 6, generator=torch.Generator().manual_seed(0)), []
    distances = submodular.feature_distances(features)
    order = submodular.greedy(lambda rows: (rows_asked.append(len(rows)), distances(rows))[1], 400, 100)
    assert len(order.unique()) == 100
    assert sum(rows_asked) < 0.2 * 400 * 100


@pytest.mark.parametrize("name", ["facility_location", "craig"])
def test_distinct_samples_come_before_copies(name):
    few = make_outputs((7,), models=1)
    copies = torch.arange(7).repeat(6)
    features, logits = few.features[copies], few.logits[:, copies]
    outputs = replaced(make_outputs((42,), models=1), features=features, logits=logits)
    if name == "craig":  # a class alone has no errors
        logits = torch.cat([logits, torch.zeros_like(logits)], dim=2)
        outputs = replaced(outputs, classes=2, logits=logits)
    for seed in range(4):
        chosen, weights = select(name, outputs, [10], np.random.default_rng(seed), balance=False)[0]
        assert len((chosen[:7] % 7).unique()) == 7
        if weights is not None:
            assert weights[7:].tolist() == pytest.approx([10 / 42] * 3)  # a copy stands for itself only


def test_gradients_of_a_well_trained_network():
    """Squares of errors of 1e-25 are below float32's range; their proportions decide all the same."""
    g = torch.Generator().manual_seed(0)
    outputs = make_outputs((16, 14), models=1)
    small = torch.randn(1, 30, 2, generator=g) + 55 * F.one_hot(outputs.labels, 2)
    everyone = torch.arange(30)
    parts = gradients(replaced(outputs, logits=small), everyone, dtype=torch.float64)
    g = (parts.errors.unsqueeze(2) * parts.inputs.unsqueeze(1)).flatten(1).numpy()
    assert 0 < np.abs(g).max() < 1e-20
    order = CORESETS["craig"](replaced(outputs, logits=small), everyone, 12, rng()).tolist()
    assert_greedy(euclidean(g / np.abs(g).max()), order)


def test_an_unknown_metric_is_refused(outputs):
    with pytest.raises(ValueError, match=r"'metric' of facility_location must be 'euclidean' or 'cosine'. Got 'l1'"):
        select("facility_location", outputs, [5], rng(), metric="l1")
