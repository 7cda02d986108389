"""The proxy: what it notes, from which samples, and that coresets of every method come out of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from orderdp.coresets import CORESETS
from orderdp.coresets.choosing import choose, evidence_for
from orderdp.coresets.deepfool import perturbations
from orderdp.datasets import load
from orderdp.spec import CoresetSpec, ProxySpec
from orderdp.training.engine import Training
from orderdp.training.proxy import Recorded, _as_run, gather_evidence, held_out
from tests.training.conftest import SPEC, spec

CPU = torch.device("cpu")
PROXY = ProxySpec.model_validate(
    {
        **{key: SPEC[key] for key in ("dataset", "model")},
        "recipe": SPEC["recipe"] | {"epochs": 2},
        "models": 2,
        "early_epochs": (1, 2),
        "validation": 0.1,
        "deepfool": {"classes": 4, "iterations": 3, "overshoot": 0.02},
        "seed": 1000,
    }
)
N = 240


@pytest.fixture(scope="module")
def images(data):
    """Few digits, so that everything takes a second."""
    everything = load("digits", data / "digits")
    return replace(
        everything,
        train_images=everything.train_images[:N],
        train_labels=everything.train_labels[:N],
        test_images=everything.test_images[:50],
        test_labels=everything.test_labels[:50],
    )


@pytest.fixture(scope="module")
def evidence(images):
    return gather_evidence(PROXY, images, CPU)


def coreset(method: str, **fields) -> CoresetSpec:
    base = {
        "method": method,
        "options": {},
        "models": 1,
        "epoch": None,
        "balance": True,
        "prune_ratio": 0.5,
        "proxy": PROXY,
    }
    return CoresetSpec.model_validate(base | fields)


def test_everything_is_noted_in_its_shape(evidence):
    arrays, rows = evidence
    shapes = {name: array.shape for name, array in arrays.items()}
    assert (
        shapes["logits"] == (2, N, 10)
        and shapes["early_logits"] == (2, 2, N, 10)
        and shapes["early_norms"] == (2, 2, N)
    )
    assert (
        shapes["features"] == (N, 16)
        and shapes["losses"] == shapes["correct"] == (2, N)
        and shapes["perturbation"] == (N,)
    )
    assert shapes["validation_logits"] == (24, 10) and shapes["split_logits"] == (N - 24, 10)
    assert [row["network"] for row in rows] == ["1", "2", "split"]
    assert all(0 < row["seconds_at_1"] < row["seconds_at_2"] for row in rows)
    assert not np.array_equal(arrays["logits"][0], arrays["logits"][1])
    np.testing.assert_array_equal(arrays["early_logits"][:, 1], arrays["logits"])  # the second epoch is the last
    assert not np.array_equal(arrays["early_logits"][:, 0], arrays["logits"])


def test_evidence_is_that_of_the_last_network(images, evidence):
    training = Training(_as_run(PROXY, 1001), images, CPU)
    training.fit(lambda _: None)
    training.model.eval()
    with torch.no_grad():
        features = training.model.features(training.loader.train_images.plain(0, N))
        logits = training.model.head(features)
    np.testing.assert_allclose(evidence[0]["features"], features.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(evidence[0]["logits"][1], logits.numpy(), rtol=1e-4, atol=1e-4)
    found = perturbations(training.model, training.loader.train_images.plain(0, N), classes=4, iterations=3)
    np.testing.assert_allclose(evidence[0]["perturbation"], found.numpy(), rtol=1e-3)


def test_losses_are_those_of_the_training_steps(images):
    """One step over all samples: the recorded losses are the first forward pass's, in training mode, before the
    step."""
    one = spec("full", {}, epochs=1, batch_size=N, augment={"crop_padding": 0, "flip": False})
    training = Recorded(one, images, CPU)
    training.model.train()
    with torch.no_grad():
        logits = training.model(training.loader.train_images.plain(0, N))
    training = Recorded(one, images, CPU)
    training.fit(lambda _: None)
    losses = F.cross_entropy(logits, images.train_labels, reduction="none", label_smoothing=one.recipe.label_smoothing)
    torch.testing.assert_close(training.losses[0], losses, rtol=1e-3, atol=1e-4)
    assert (training.correct[0] == (logits.argmax(1) == images.train_labels)).float().mean() > 0.99


def test_recording_changes_no_training(images):
    plain, recorded = (kind(spec("full", {}, epochs=2), images, CPU) for kind in (Training, Recorded))
    for training in (plain, recorded):
        training.fit(lambda _: None)
    for one, other in zip(plain.model.parameters(), recorded.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_test_set_decides_nothing(images, evidence):
    other = replace(images, test_images=images.test_images.flip(2), test_labels=images.test_labels.flip(0))
    arrays, rows = gather_evidence(PROXY, other, CPU)
    assert [row["test_accuracy"] for row in rows] != [row["test_accuracy"] for row in evidence[1]]
    for name, array in evidence[0].items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


def test_the_validation_split_is_held_out_by_class(images, evidence):
    out, seen = evidence[0]["split_held_out"], evidence[0]["split_members"]
    assert sorted([*out, *seen]) == list(range(N))
    share = images.train_labels[torch.from_numpy(out)].bincount(minlength=10) / images.train_labels.bincount(
        minlength=10
    )
    assert ((share - 0.1).abs() < 0.05).all()
    assert torch.equal(
        held_out(images.train_labels, 0.1, 1000),
        torch.zeros(N, dtype=torch.bool).scatter_(0, torch.from_numpy(out), True),
    )
    assert not torch.equal(held_out(images.train_labels, 0.1, 1000), held_out(images.train_labels, 0.1, 1001))


@pytest.mark.parametrize("method", CORESETS)
def test_every_method_chooses_from_it(evidence, method):
    recipe = coreset(method, epoch=1 if method in ("grand", "el2n") else None)
    chosen = choose(CORESETS[method], evidence[0], recipe, [0.5, 0.7], 3)
    assert [len(one.indices.unique()) for one in chosen] == [120, 72]
    if method == "glister":
        assert not np.isin(chosen[0].indices.numpy(), evidence[0]["split_held_out"]).any()


def test_early_scores_see_the_epoch_and_the_networks_asked_for(evidence):
    arrays = evidence[0]
    seen = evidence_for(("early_logits", "early_norms"), arrays, 1, 1)
    np.testing.assert_array_equal(seen.early_logits.numpy(), arrays["early_logits"][1:, 0])
    assert evidence_for(("early_logits",), arrays, 2, 2).early_logits.shape == (2, N, 10)
    assert evidence_for(("logits",), arrays, 1, None).logits.shape == (1, N, 10)


def test_a_budget_beyond_the_samples_not_held_out_is_refused(evidence):
    with pytest.raises(
        ValueError, match=r"'glister' chooses among the 216 samples that are not held out, fewer than the 228 to keep"
    ):
        choose(CORESETS["glister"], evidence[0], coreset("glister"), [0.05], 0)


def test_a_score_of_early_training_without_an_epoch_is_refused(evidence):
    with pytest.raises(ValueError, match="'el2n' needs the evidence 'early_logits'"):
        choose(CORESETS["el2n"], evidence[0], coreset("el2n"), [0.5], 0)


def test_a_static_run_without_its_samples_is_refused(images):
    run = spec("static", {}).model_copy(update={"coreset": coreset("herding")})
    with pytest.raises(ValueError, match="A run on a coreset by 'herding' needs its samples"):
        Training(run, images, CPU)
