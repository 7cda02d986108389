"""Distances to centres of clusters and classes."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
import torch

from orderdp.coresets import CORESETS, select
from tests.coresets.conftest import make_outputs, replaced


def scores_of(outputs, seed=0, **options):
    return CORESETS["prototypes"](outputs, torch.arange(outputs.n), np.random.default_rng(seed), **options)


def blobs(spread: float = 0.05):
    """Three tight clusters of 12, not the classes; outputs, cluster of each sample."""
    g = torch.Generator().manual_seed(0)
    cluster = torch.arange(36) % 3
    centers = torch.tensor([[0.0, 9.0], [9.0, 0.0], [-9.0, -9.0]])
    return replaced(
        make_outputs((20, 10, 6)), features=centers[cluster] + spread * torch.randn(36, 2, generator=g)
    ), cluster


def literal_distances(features, cluster):
    h = features.double().numpy()
    means = {c: h[cluster.numpy() == c].mean(0) for c in set(cluster.tolist())}
    return [float(np.linalg.norm(row - means[c])) for row, c in zip(h, cluster.tolist(), strict=True)]


def test_k_means_finds_clusters_and_distances_are_to_the_own_centre():
    outputs, cluster = blobs()
    expected = literal_distances(outputs.features, cluster)
    for seed in range(3):
        assert scores_of(outputs, seed).tolist() == pytest.approx(expected, rel=1e-4)


def test_supervised_prototypes_are_class_means():
    outputs = make_outputs()
    assert scores_of(outputs, supervised=True).tolist() == pytest.approx(
        literal_distances(outputs.features, outputs.labels), rel=1e-5
    )


def test_easy_is_hard_reversed():
    outputs, _ = blobs()
    torch.testing.assert_close(scores_of(outputs, keep="easy"), -scores_of(outputs))
    far, near = (
        select("prototypes", outputs, [36], np.random.default_rng(0), balance=False, keep=keep)[0]
        for keep in ("hard", "easy")
    )
    assert torch.equal(far.indices, near.indices.flip(0))


def test_clusters_are_of_all_samples_even_where_classes_are_selected_from():
    """One run of k-means, not one for each class: the classes' shares of one global ranking."""
    outputs, cluster = blobs()
    score = torch.tensor(literal_distances(outputs.features, cluster))
    chosen = select("prototypes", outputs, [18], np.random.default_rng(0))[0].indices
    for label, quota in enumerate((10, 5, 3)):
        members = (outputs.labels == label).nonzero().squeeze(1)
        best = members[score[members].argsort(descending=True)][:quota]
        assert set(chosen[outputs.labels[chosen] == label].tolist()) == set(best.tolist())


def test_cosine_orders_by_direction_only():
    outputs = make_outputs()
    scale = torch.rand(outputs.n, 1, generator=torch.Generator().manual_seed(0)) * 5 + 0.1
    scaled = replaced(outputs, features=outputs.features * scale)
    options = {"supervised": True, "metric": "cosine"}
    torch.testing.assert_close(scores_of(scaled, **options), scores_of(outputs, **options))
    unit = torch.nn.functional.normalize(outputs.features.double(), dim=1)
    expected = []
    for row, label in zip(unit, outputs.labels, strict=True):
        mean = unit[outputs.labels == label].mean(0)
        expected.append(float(1 - row @ mean / mean.norm()))  # features that are all 0 have no direction: 1
    assert scores_of(outputs, **options).tolist() == pytest.approx(expected, abs=1e-6)


def test_clusters_is_an_option():
    outputs, _ = blobs()
    assert scores_of(outputs, clusters=1).tolist() == pytest.approx(
        literal_distances(outputs.features, torch.zeros(36).long()), rel=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "most"}, "keep = hard or easy"),
        ({"metric": "taxi"}, "metric = euclidean or cosine"),
        ({"clusters": 0}, r"'clusters' of 'prototypes' must be in 1..n = 36. Got 0"),
        ({"clusters": 37}, r"Got 37"),
        ({"starts": 0}, "'starts' of 'prototypes' must be at least 1. Got 0"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        scores_of(blobs()[0], **options)


def test_without_scikit_learn(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ValueError, match="needs scikit-learn for k-means; with supervised = True it does without"):
        scores_of(blobs()[0])
    scores_of(blobs()[0], supervised=True)
