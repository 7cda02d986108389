"""The loop: budgets, history, resuming, divergence."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from orderdp.datasets import load
from orderdp.training.engine import Diverged, Training, record_epochs
from tests.training.conftest import spec

CPU = torch.device("cpu")
TIMES = {"selection_s", "training_s", "evaluation_s", "samples_per_s", "peak_memory_mb", "timestamp"}

METHODS = {
    "full": {},
    "random": {"prune_ratio": 0.5, "rescale": True},
    "epsilon_greedy": {"prune_ratio": 0.5, "epsilon": 0.1, "smoothing": 0.8, "period": 2, "warmup_epochs": 0},
    "ucb": {"prune_ratio": 0.5, "variance_weight": 1.0, "smoothing": 0.8, "period": 2, "warmup_epochs": 0},
    "infobatch": {"prune_ratio": 0.5, "budget": "calibrated", "annealing": None, "min_keep": 0.1},
    "orderdp": {"prune_ratio": 0.7, "explore": 0.5},
    "orderdp_batches": {"prune_ratio": 0.5, "candidates": 128, "steps": None},
    "static": {"prune_ratio": 0.5},
}


@pytest.fixture(scope="module")
def digits(data):
    return load("digits", data / "digits")


def deterministic(history):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in history]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_cut_at_any_epoch_goes_on_to_the_same_bits(method, digits):
    chosen = spec(method, METHODS[method])
    states = []
    whole = Training(chosen, digits, CPU)
    whole.fit(lambda training: states.append(copy.deepcopy(training.state_dict())))
    for cut in (1, 3):
        resumed = Training(chosen, digits, CPU)
        resumed.load_state_dict(copy.deepcopy(states[cut - 1]))
        resumed.fit(lambda training: None)
        assert deterministic(resumed.history) == deterministic(whole.history)
        for a, b in zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
            assert torch.equal(a, b)
        assert torch.equal(resumed.usage, whole.usage)


def test_orderdp_trains_exactly_q_every_epoch_and_learns(digits):
    training = Training(spec(epochs=8), digits, CPU)
    training.fit(lambda training: None)
    q = round(0.3 * training.n)
    assert [row["kept"] for row in training.history] == [q] * 8
    assert int(training.usage.sum()) == 8 * q
    assert training.history[-1]["test_accuracy"] > 40  # chance is 10
    assert training.history[-1]["progress"] == 1.0
    assert sorted(training.kept) == [3, 4, 7, 8]
    assert all(len(kept) == q for kept in training.kept.values())


def test_full_data_matches_the_steps_of_a_pruned_run(digits):
    pruned = Training(spec(), digits, CPU)
    pruned.fit(lambda training: None)
    full = Training(spec("full", {}, match_steps_at=0.7), digits, CPU)
    full.fit(lambda training: None)
    assert sum(row["steps"] for row in full.history) == sum(row["steps"] for row in pruned.history)
    assert full.history[-1]["progress"] == pytest.approx(1.0)
    assert full.history[-1]["test_accuracy"] is not None


def test_two_seeds_differ_and_the_global_state_is_untouched(digits):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    runs = [Training(spec(seed=seed, epochs=1), digits, CPU) for seed in (0, 1)]
    for training in runs:
        training.fit(lambda training: None)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(*(training.usage for training in runs))
    assert runs[0].history[0]["train_loss"] != runs[1].history[0]["train_loss"]


def test_the_first_loss_and_gradient_norm_against_a_literal_step(digits):
    """Twin: build, forward, smooth, backward by plain torch; compare what the first step records."""
    training = Training(
        spec("full", {}, batch_size=2000, epochs=1, augment={"crop_padding": 0, "flip": False}), digits, CPU
    )
    model = copy.deepcopy(training.model).train()
    images = (digits.train_images.float() / 255 - torch.tensor(digits.mean).view(-1, 1, 1)) / torch.tensor(
        digits.std
    ).view(-1, 1, 1)
    loss = torch.nn.functional.cross_entropy(model(images), digits.train_labels, label_smoothing=0.1)
    loss.backward()
    norm = math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters()))
    training.fit(lambda training: None)
    assert training.history[0]["train_loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert training.history[0]["grad_norm_mean"] == pytest.approx(norm, rel=1e-3)


def test_divergence_says_where(digits):
    diverging = {**spec().recipe.schedule.model_dump(), "max_lr": 1e30}
    training = Training(spec(schedule=diverging), digits, CPU)
    with pytest.raises(Diverged) as caught:
        training.fit(lambda training: None)
    assert len(training.history) == caught.value.epoch
    assert caught.value.step >= 1


def test_checkpoints_are_shares_of_the_epochs():
    assert record_epochs(spec(epochs=4)) == [2, 4]
    assert record_epochs(spec(epochs=1)) == [1]


VARIANTS = {
    "trimmed": ("orderdp", {"prune_ratio": 0.5, "explore": 0.7, "trim": 0.2, "hardest": 0.8}, None),
    "smoothed margin": ("orderdp", {"prune_ratio": 0.5, "explore": 0.7, "smoothing": 0.3}, "margin"),
    "rising": ("orderdp_scheduled", {"prune_ratio": 0.5, "schedule": "linear", "rise": 0.6}, "gradient_norm"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_with_wrong_labels_go_on_to_the_same_bits(variant, digits):
    name, options, score = VARIANTS[variant]
    chosen = noisy(spec(name, options), 0.2, score)
    states = []
    whole = Training(chosen, digits, CPU)
    whole.fit(lambda training: states.append(copy.deepcopy(training.state_dict())))
    resumed = Training(chosen, digits, CPU)
    resumed.load_state_dict(states[1])
    resumed.fit(lambda training: None)
    assert deterministic(resumed.history) == deterministic(whole.history)
    n = whole.n
    ratios = [0.5] * 4 if name == "orderdp" else [0.275, 0.425, 0.575, 0.725]
    assert [row["kept"] for row in whole.history] == [round((1 - ratio) * n) for ratio in ratios]


def noisy(chosen, rate, score=None):
    """The spec with wrong labels and another score."""
    dataset = chosen.dataset.model_copy(update={"label_noise": rate})
    return chosen.model_copy(update={"dataset": dataset, "method": chosen.method.model_copy(update={"score": score})})


def test_wrong_labels_are_trained_counted_and_not_tested(digits):
    clean, wrong = (Training(noisy(spec("full", {}, epochs=1), rate), digits, CPU) for rate in (0.0, 0.25))
    for training in (clean, wrong):
        training.fit(lambda training: None)
    assert clean.history[0]["wrong_labels"] is None and torch.equal(clean.loader.labels, digits.train_labels)
    different = wrong.loader.labels != digits.train_labels
    assert (
        wrong.history[0]["wrong_labels"]
        == pytest.approx(float(different.float().mean()))
        == pytest.approx(0.25, abs=1e-3)
    )
    assert torch.equal(wrong.loader.test_labels, digits.test_labels)
    assert wrong.history[0]["train_loss"] > clean.history[0]["train_loss"]


def test_the_engine_hands_over_the_score_that_the_method_names(digits):
    """Twin: the network's own outputs in the first step, before anything was learned."""
    options = {"prune_ratio": 0.5, "explore": 1.0}
    chosen = noisy(
        spec("orderdp", options, batch_size=2000, epochs=1, augment={"crop_padding": 0, "flip": False}), 0.0, "margin"
    )
    training = Training(chosen, digits, CPU)
    model = copy.deepcopy(training.model).train()
    indices = training.pruner.select(0).indices
    images = (digits.train_images.float() / 255 - torch.tensor(digits.mean).view(-1, 1, 1)) / torch.tensor(
        digits.std
    ).view(-1, 1, 1)
    probability = model(images[indices]).softmax(1).detach()
    labels = digits.train_labels[indices, None]
    expected = probability.scatter(1, labels, -1).amax(1) - probability.gather(1, labels).squeeze(1)
    training.fit(lambda training: None)
    got = training.pruner.state_dict()["memory"]["_scores"][indices]
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("batch_size", "rest"), [(92, 1), (65, 27), (299, 1), (239, 2), (398, 3)])
def test_a_remainder_of_one_or_two_joins_the_batch_before(batch_size, rest, digits):
    """A batch of one ended batch norm with an error."""
    n = len(digits.train_labels)
    assert n % batch_size == rest
    training = Training(spec("full", {}, batch_size=batch_size, epochs=1), digits, torch.device("cpu"))
    training.fit(lambda training: None)
    (row,) = training.history
    assert row["kept"] == n
    assert row["steps"] == n // batch_size + (rest > 2)
    assert row["progress"] == 1


def test_infobatch_trains_whatever_its_epochs_leave_over(digits):
    """Met at a small ResNet-18, 50 % and the third seed: an epoch whose last batch held one sample."""
    training = Training(spec("infobatch", {"prune_ratio": 0.5}, batch_size=4, epochs=3), digits, torch.device("cpu"))
    sizes = []
    parts = training.ranks.rank_batches
    training.ranks.rank_batches = lambda batches, seen: (
        sizes.append(len(p.indices)) or p for p in parts(batches, seen)
    )
    training.fit(lambda training: None)
    assert min(sizes) > 2
