"""The step that a device repeats as a whole, here on the CPU with a recorder that works as a CUDA graph does."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from orderdp.datasets import load
from orderdp.spec import RunSpec
from orderdp.training.engine import Training
from tests.training.conftest import spec
from tests.training.recorded import recorded
from tests.training.test_engine import METHODS, deterministic

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(data):
    return load("digits", data / "digits")


def again(work):
    """The same as the recorder, but Python runs each time: what a recorded step must equal to the bit."""
    return work


def trained(chosen, digits, capture, state=None, after=lambda training: None):
    training = Training(chosen, digits, CPU, capture=capture)
    if state is not None:
        training.load_state_dict(copy.deepcopy(state))
    training.fit(after)
    return training


def same(a, b):
    assert deterministic(a.history) == deterministic(b.history)
    for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True):
        assert torch.equal(x, y)
    assert torch.equal(a.usage, b.usage)
    for x, y in zip(a.samples.arrays().values(), b.samples.arrays().values(), strict=True):
        assert np.array_equal(x, y, equal_nan=True)


def clipped(chosen: RunSpec, limit: float) -> RunSpec:
    optimizer = chosen.recipe.optimizer.model_copy(update={"clip_norm": limit})
    return chosen.model_copy(update={"recipe": chosen.recipe.model_copy(update={"optimizer": optimizer})})


@pytest.mark.parametrize("method", METHODS)
def test_a_recorded_step_does_what_the_same_step_does_in_python(method, digits):
    chosen = clipped(spec(method, METHODS[method], batch_size=100), 1.0)
    one, other = (trained(chosen, digits, capture) for capture in (recorded, again))
    assert one.step_form == other.step_form == "captured"
    same(one, other)


@pytest.mark.parametrize("method", ["full", "infobatch", "orderdp"])
def test_a_captured_run_is_a_plain_run_to_rounding(method, digits):
    """Rates, weights and samples reach the recording: nothing of the first step is kept."""
    chosen = spec(method, METHODS[method], epochs=2)
    one, plain = trained(chosen, digits, recorded), trained(chosen, digits, None)
    for a, b in zip(one.history, plain.history, strict=True):
        assert (a["kept"], a["steps"], a["lr"], a["momentum"]) == (b["kept"], b["steps"], b["lr"], b["momentum"])
        for key in ("train_loss", "grad_norm_mean", "grad_norm_normalized_mean", "test_loss"):
            assert a[key] == pytest.approx(b[key], rel=2e-3), key


def test_twice_and_resumed_it_ends_with_the_same_bits(digits):
    chosen, states = spec(), []
    whole = trained(
        chosen, digits, recorded, after=lambda training: states.append(copy.deepcopy(training.state_dict()))
    )
    same(whole, trained(chosen, digits, recorded))
    same(whole, trained(chosen, digits, recorded, state=states[1]))


def test_a_short_last_batch_is_computed_plainly(digits, monkeypatch):
    sizes = []
    step = Training._step
    monkeypatch.setattr(
        Training, "_step", lambda self, n, batch, *rest: (sizes.append(len(batch.indices)), step(self, n, batch, *rest))
    )
    run = trained(spec("full", {}, batch_size=128, epochs=2), digits, recorded)
    assert run.n % 128 == 45 and sizes == [45, 45]


OBSTACLES = {
    "mixed by numbers that the CPU draws": {
        "mix": {"mixup": 1.0, "cutmix": 0.0, "probability": 1.0, "cutmix_share": 0.5, "erase": 0.0}
    },
    "loss scale of float16": {"precision": "fp16"},
    "only SGD without Nesterov": {
        "optimizer": {"name": "sgd", "weight_decay": 0.0, "decay": "all", "clip_norm": None, "nesterov": True}
    },
}


@pytest.mark.parametrize("reason", OBSTACLES)
def test_what_cannot_be_captured_is_computed_plainly_and_says_why(reason, digits):
    training = trained(spec("full", {}, epochs=1, **OBSTACLES[reason]), digits, recorded)
    assert training.captured is None and reason in training.step_form
    assert training.step_form.startswith("plain: ")


def test_a_network_that_draws_is_not_captured(digits):
    options = {"image": 8, "patch": 2, "width": 16, "depth": 2, "drop_path": 0.5}
    chosen = spec("full", {}, epochs=1)
    chosen = chosen.model_copy(update={"model": chosen.model.model_copy(update={"name": "vit", "options": options})})
    training, plain = trained(chosen, digits, recorded), trained(chosen, digits, None)
    assert training.step_form == "plain: its network draws random numbers"
    same(training, plain)


def test_a_recording_that_fails_or_is_wrong_leaves_a_plain_run(digits):
    def fails(work):
        work()
        raise RuntimeError("CUDA error: operation not permitted\nmore")

    def wrong(work):
        replay = recorded(work)

        def twice():
            replay()
            replay()

        return twice

    plain = trained(spec(), digits, None)
    for capture, reason in ((fails, "CUDA error: operation not permitted"), (wrong, "something else than the plain")):
        training = trained(spec(), digits, capture)
        assert reason in training.step_form and "\n" not in training.step_form
        same(training, plain)


def test_the_recorder_keeps_what_python_computed():
    """The test of the tests: a number of the first step stays in a recording, as it would in a CUDA graph."""
    x, rate = torch.zeros(3), [1.0]
    replay = recorded(lambda: x.add_(rate[0]))
    rate[0] = 5.0
    replay()
    assert x.tolist() == [2.0] * 3
    with pytest.raises(RuntimeError, match="not permitted"):
        recorded(lambda: x.sum().item())
