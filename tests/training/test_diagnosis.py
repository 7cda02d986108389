"""What is measured of a run that kept its weights at the checkpoints, and that keeping them changes nothing else."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from orderdp.datasets import load
from orderdp.jobs import Execution
from orderdp.jobs.diagnose import COLUMNS, Diagnose, DiagnoseSpec
from orderdp.training import engine
from orderdp.training.engine import Training
from tests.training.conftest import run_of, spec, train_run
from tests.training.test_engine import CPU, METHODS, deterministic


@pytest.fixture(scope="module")
def digits(data):
    return load("digits", data / "digits")


def diagnosed(method="orderdp", **recipe):
    return spec(method, METHODS[method], **recipe).model_copy(update={"diagnostics": ("gradients",)})


def trained(chosen, digits, at_record=lambda snapshot: None):
    training = Training(chosen, digits, CPU)
    training.fit(lambda training: None, at_record)
    return training


def train(folder, data, chosen, **more):
    """Trains in a folder; returns the diagnosis to be made of that run."""
    run = run_of("run", chosen)
    train_run(run, data=data, runs=folder / "runs", work=folder / "work", threads=1, **more)
    return Diagnose("diagnosis-run", "0" * 12, DiagnoseSpec(run="run", measured=chosen), {})


def measured(folder, data, chosen, **more):
    """Rows of diagnostics.csv and the profile of a run that is trained and diagnosed in a folder."""
    train(folder, data, chosen, **more).run(Execution(data, folder / "runs", threads=1))
    out = folder / "runs" / "diagnosis-run"
    return pd.read_csv(out / "diagnostics.csv"), dict(np.load(out / "profile.npz"))


@pytest.mark.parametrize("method", METHODS)
def test_keeping_weights_changes_nothing(method, digits):
    plain, kept = trained(spec(method, METHODS[method]), digits), trained(diagnosed(method), digits)
    assert deterministic(plain.history) == deterministic(kept.history)
    assert torch.equal(plain.usage, kept.usage)
    for a, b in zip(plain.model.state_dict().values(), kept.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_what_is_measured_when(data, digits, tmp_path):
    rows, profile = measured(tmp_path, data, diagnosed(epochs=4))
    n = len(digits.train_labels)
    assert tuple(rows) == COLUMNS
    assert (
        rows["epoch"].tolist() == profile["epochs"].tolist() == [2, 4, 5]
    )  # before those that end at half and at the end, and after the end
    assert rows["progress"].tolist() == [0.25, 0.75, 1.0]
    assert rows["kept"].tolist() == [round(0.3 * n)] * 3
    unknown = rows[["forgotten_kept", "forgotten_dropped"]].isna().any(axis=1)
    assert unknown.tolist() == [True, False, False]  # nothing is known from before
    assert not rows.drop(columns=["forgotten_kept", "forgotten_dropped"]).isna().any(axis=None)
    assert rows["cosine"].between(-1, 1, inclusive="left").all()
    assert rows["loss_kept"].iloc[-1] > rows["loss_dropped"].iloc[-1]  # OrderDP keeps the hard ones
    # Of the harder half it keeps more than of the easier one. Single tenths differ from one kind of CPU to another.
    hardest_first = profile["kept_by_loss"][-1]
    assert hardest_first[: len(hardest_first) // 2].sum() > hardest_first[-(len(hardest_first) // 2) :].sum()
    assert profile["kept_by_label"].shape == (3, 10)
    folder = tmp_path / "runs" / "diagnosis-run"
    assert json.loads((folder / "spec.json").read_text())["spec"]["run"] == "run"
    assert json.loads((folder / "summary.json").read_text())["status"] == "finished"


def test_the_last_measurement_is_of_the_final_weights(data, tmp_path):
    """Its mean loss is what the final model says, computed here in another way."""
    chosen = diagnosed(epochs=4)
    rows, _ = measured(tmp_path, data, chosen, keep_models="last")
    digits = load("digits", data / "digits")
    model = engine.build_model(chosen, digits).eval()
    model.load_state_dict(torch.load(tmp_path / "runs" / "run" / "model.pt", weights_only=True))
    images, (mean, std) = (
        digits.train_images / 255,
        (torch.tensor(x).view(1, -1, 1, 1) for x in (digits.mean, digits.std)),
    )
    with torch.no_grad():
        logits = model((images - mean) / std)
    loss = torch.nn.functional.cross_entropy(logits, digits.train_labels, label_smoothing=chosen.recipe.label_smoothing)
    assert rows["loss_all"].iloc[-1] == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "orderdp_batches"])  # which draws at every step
def test_the_kept_set_is_the_one_trained_on(method, digits):
    seen = {}
    training = trained(
        diagnosed(method, epochs=4), digits, lambda s: seen.update({s.epoch: s.selection.indices.sort().values})
    )
    for epoch in (2, 4):
        assert torch.equal(seen[epoch], training.kept[epoch].long())


def test_full_data_drops_nothing(data, tmp_path):
    rows, _ = measured(tmp_path, data, diagnosed("full"))
    assert rows["cosine"].tolist() == pytest.approx([1.0] * 3)
    assert rows["loss_dropped"].isna().all()
    assert (rows["label_tv"] == 0).all()


def test_weights_scale_the_norm_and_not_the_normalised_one(data, tmp_path):
    rows, _ = measured(tmp_path, data, diagnosed("infobatch"))
    assert rows["norm_pruned"].iloc[-1] > rows["norm_normalized"].iloc[-1] > 0


def test_a_cut_run_is_measured_the_same(data, tmp_path):
    whole = measured(tmp_path / "whole", data, diagnosed(epochs=4))
    cut = tmp_path / "cut"

    def stop(row, epochs):
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(cut, data, diagnosed(epochs=4), on_epoch=stop, checkpoint_every_s=0)
    resumed = measured(cut, data, diagnosed(epochs=4))
    pd.testing.assert_frame_equal(whole[0], resumed[0])
    assert all(np.array_equal(whole[1][name], resumed[1][name]) for name in whole[1])


def test_a_run_without_weights_says_so(data, tmp_path):
    diagnosis = train(tmp_path, data, spec())
    with pytest.raises(FileNotFoundError, match=r"holds no weights of checkpoints"):
        diagnosis.run(Execution(data, tmp_path / "runs"))
    assert not (tmp_path / "runs" / diagnosis.name / "summary.json").exists()


def test_keeping_weights_is_off_the_clock(digits, monkeypatch):
    """A clock that only the keeping moves."""
    now = [0.0]
    monkeypatch.setattr(engine.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(Training, "_row", lambda self, *args: {"train_loss": 1.0})
    training = Training(diagnosed(), digits, CPU)
    with pytest.raises(ZeroDivisionError):  # samples per second of no seconds
        training.fit(lambda training: None, lambda snapshot: now.__setitem__(0, now[0] + 1000))
    assert now[0] == 0


def test_jaccard_and_coverage_of_the_history(digits):
    training = trained(spec(epochs=4), digits)
    three, four = (set(training.kept[epoch].tolist()) for epoch in (3, 4))
    assert training.history[3]["jaccard"] == pytest.approx(len(three & four) / len(three | four))
    assert training.history[0]["jaccard"] is None
    assert training.history[-1]["coverage"] == pytest.approx(float((training.usage > 0).float().mean()))
