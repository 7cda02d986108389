"""Batches that go through the network in pieces, whose gradients add up."""

from __future__ import annotations

import pytest
import torch

from orderdp.datasets import load
from orderdp.training.engine import Training, _pieces
from tests.training.conftest import spec

MIX = {"mixup": 1.0, "cutmix": 1.0, "probability": 1.0, "cutmix_share": 0.5, "erase": 0.5}


@pytest.fixture(scope="module")
def digits(data):
    return load("digits", data / "digits")


def without_batch_norm(chosen):
    """A network that sees each sample alone, so that pieces give the very gradients of the batch."""
    options = {"image": 8, "patch": 2, "width": 16, "depth": 1, "drop_path": 0.0}
    return chosen.model_copy(update={"model": chosen.model.model_copy(update={"name": "vit", "options": options})})


@pytest.mark.parametrize("method", ["infobatch", "orderdp"])
@pytest.mark.parametrize("mix", [None, MIX], ids=["", "mixed"])
def test_pieces_give_the_step_of_the_whole_batch(method, mix, digits):
    options = {"infobatch": {"prune_ratio": 0.5, "ratio_of": "all", "annealing": None, "min_keep": 0.1}}
    chosen = without_batch_norm(
        spec(method, options.get(method, {"prune_ratio": 0.7, "explore": 0.5}), mix=mix, epochs=2)
    )
    whole, pieces = (Training(chosen, digits, torch.device("cpu"), micro_batch=size) for size in (None, 50))
    for training in (whole, pieces):
        training.fit(lambda training: None)
    for a, b in zip(whole.history, pieces.history, strict=True):
        assert (a["kept"], a["steps"]) == (b["kept"], b["steps"])
        for key in ("train_loss", "grad_norm_mean", "train_accuracy", "test_loss"):
            assert a[key] == pytest.approx(b[key], rel=2e-3), key


def test_no_more_samples_pass_at_a_time(digits):
    seen = []
    training = Training(spec("full", {}, epochs=1), digits, torch.device("cpu"), micro_batch=50)
    training.model.register_forward_hook(lambda module, given, output: seen.append(len(output)))
    training._train_epoch()
    assert sum(seen) == training.n and max(seen) <= 50 and seen[:3] == [42, 43, 43]


@pytest.mark.parametrize("count", [1, 2, 7, 128])
@pytest.mark.parametrize("most", [None, 1, 3, 50, 128, 500])
def test_pieces_cover_a_batch_in_order(count, most):
    cut = [list(range(count))[piece] for piece in _pieces(count, most)]
    assert [number for piece in cut for number in piece] == list(range(count))
    assert max(map(len, cut)) <= (most or count) and max(map(len, cut)) - min(map(len, cut)) <= 1
