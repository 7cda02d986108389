"""A run that measures itself: the numbers, and that nothing else changes."""

from __future__ import annotations

import copy

import pytest
import torch

from orderdp.datasets import load
from orderdp.training import engine
from orderdp.training.diagnosis import Diagnosis
from orderdp.training.engine import Training
from orderdp.training.run import DIAGNOSTICS
from tests.training.conftest import spec
from tests.training.test_engine import CPU, METHODS, deterministic


@pytest.fixture(scope="module")
def digits(data):
    return load("digits", data / "digits")


def diagnosed(method="orderdp", **recipe):
    return spec(method, METHODS[method], **recipe).model_copy(update={"diagnostics": ("gradients",)})


def trained(chosen, digits, after_epoch=lambda training: None):
    training = Training(chosen, digits, CPU)
    training.fit(after_epoch)
    return training


@pytest.mark.parametrize("method", METHODS)
def test_measuring_changes_nothing(method, digits):
    plain, measured = trained(spec(method, METHODS[method]), digits), trained(diagnosed(method), digits)
    assert deterministic(plain.history) == deterministic(measured.history)
    assert torch.equal(plain.usage, measured.usage)
    for a, b in zip(plain.model.state_dict().values(), measured.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_what_is_measured_when(digits):
    training = trained(diagnosed(epochs=4), digits)
    rows = training.diagnosis.rows
    assert [row["epoch"] for row in rows] == [2, 4, 5]  # before the epochs that end at half and at the end, and after the end
    assert [row["progress"] for row in rows] == [0.25, 0.75, 1.0]
    assert [row["kept"] for row in rows] == [round(0.3 * training.n)] * 3
    assert all(set(row) <= set(DIAGNOSTICS) for row in rows)
    assert set(DIAGNOSTICS) - set(rows[0]) == {"forgotten_kept", "forgotten_dropped"}  # nothing is known from before
    assert set(rows[1]) == set(DIAGNOSTICS)
    assert all(-1 <= row["cosine"] < 1 for row in rows)
    assert rows[-1]["loss_kept"] > rows[-1]["loss_dropped"]  # OrderDP keeps the hard ones
    assert all(part[0] > part[-1] for part in training.diagnosis.by_loss[1:])
    assert training.diagnosis.by_label[0].shape == (10,)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "orderdp_batches"])  # which draws at every step
def test_the_measured_set_is_the_one_trained_on(method, digits):
    training = Training(diagnosed(method, epochs=4), digits, CPU)
    seen = {}
    measure = training.diagnosis.measure
    training.diagnosis.measure = lambda epoch, progress, selection, usage: (
        seen.update({epoch: selection.indices.sort().values}),
        measure(epoch, progress, selection, usage),
    )
    training.fit(lambda training: None)
    for epoch in (2, 4):
        assert torch.equal(seen[epoch], training.kept[epoch].long())


def test_full_data_drops_nothing(digits):
    rows = trained(diagnosed("full"), digits).diagnosis.rows
    assert [row["cosine"] for row in rows] == pytest.approx([1.0] * 3)
    assert all(row["loss_dropped"] is None and row["label_tv"] == 0 for row in rows)


def test_weights_scale_the_norm_and_not_the_normalised_one(digits):
    row = trained(diagnosed("infobatch"), digits).diagnosis.rows[-1]
    assert row["norm_pruned"] > row["norm_normalized"] > 0


def test_a_cut_run_measures_the_same(digits):
    states = []
    whole = trained(diagnosed(), digits, lambda training: states.append(copy.deepcopy(training.state_dict())))
    resumed = Training(diagnosed(), digits, CPU)
    resumed.load_state_dict(states[1])
    resumed.fit(lambda training: None)
    assert resumed.diagnosis.rows == whole.diagnosis.rows
    assert torch.equal(torch.stack(resumed.diagnosis.by_loss), torch.stack(whole.diagnosis.by_loss))


def test_measuring_is_off_the_clock(digits, monkeypatch):
    """A clock that only measurements move."""
    now = [0.0]
    monkeypatch.setattr(engine.time, "perf_counter", lambda: now[0])
    measure = Diagnosis.measure
    monkeypatch.setattr(Diagnosis, "measure", lambda self, *args: (now.__setitem__(0, now[0] + 1000), measure(self, *args)))
    monkeypatch.setattr(Training, "_row", lambda self, *args: {"train_loss": 1.0})
    training = Training(diagnosed(), digits, CPU)
    with pytest.raises(ZeroDivisionError):  # samples per second of no seconds
        training.fit(lambda training: None)
    assert now[0] == 0


def test_jaccard_and_coverage_of_the_history(digits):
    training = trained(spec(epochs=4), digits)
    three, four = (set(training.kept[epoch].tolist()) for epoch in (3, 4))
    assert training.history[3]["jaccard"] == pytest.approx(len(three & four) / len(three | four))
    assert training.history[0]["jaccard"] is None
    assert training.history[-1]["coverage"] == pytest.approx(float((training.usage > 0).float().mean()))
