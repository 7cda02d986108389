"""Run folders: written whole, resumed after kill -9, one owner at a time."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from orderdp.files import write
from orderdp.jobs import Interrupted, trainer
from orderdp.jobs.trainer import COLUMNS
from tests.training.conftest import run_of, spec, train_run

TIMES = {"selection_s", "training_s", "evaluation_s", "samples_per_s", "peak_memory_mb", "timestamp"}
ROOT = Path(__file__).parents[2]

CHILD = """
import sys, time
from pathlib import Path
from tests.training.conftest import run_of, spec, train_run
base, data = Path(sys.argv[1]), Path(sys.argv[2])
train_run(run_of("run", spec(epochs=60)), data=data, runs=base / "runs", work=base / "work", keep_models="last",
threads=1,
           checkpoint_every_s=0, on_epoch=lambda row, epochs: time.sleep(0.05))
"""


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def start(base: Path, data: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(base), str(data)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def wait_for_epoch(base: Path, epoch: int) -> None:
    for _ in range(600):
        path = base / "work" / "run" / "status.json"
        if path.exists() and json.loads(path.read_text())["epoch"] >= epoch:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not get going")


def test_outputs(data, tmp_path):
    rows = []
    run = run_of("run", spec())
    summary = train_run(
        run, data=data, runs=tmp_path / "runs", work=tmp_path / "work", keep_models="all", threads=1,
        on_epoch=lambda row, epochs: rows.append((row["epoch"], epochs)),
    )  # fmt: skip
    out = tmp_path / "runs" / "run"
    assert sorted(p.name for p in out.iterdir()) == [
        "history.csv", "model-2.pt", "model-4.pt", "model.pt", "samples.npz", "selection.npz", "spec.json",
        "summary.json",
    ]  # fmt: skip
    assert not (tmp_path / "work" / "run").exists()
    assert rows == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert json.loads((out / "summary.json").read_text()) == summary
    assert summary["status"] == "finished"
    assert summary["samples"] == 4 * round(0.3 * summary["n"])
    assert tuple(next(csv.reader((out / "history.csv").open()))) == COLUMNS
    selection = np.load(out / "selection.npz")
    assert selection["usage"].sum() == summary["samples"]
    assert selection["recorded_epochs"].tolist() == [2, 4]
    samples = np.load(out / "samples.npz")
    assert len(samples["kept_2"]) == round(0.3 * summary["n"])
    assert np.array_equal(samples["visits"], selection["usage"])
    assert set(torch.load(out / "model.pt", weights_only=True)) == set(
        torch.load(out / "model-4.pt", weights_only=True)
    )


@pytest.mark.slow
def test_kill_9_then_the_same_command_gives_the_same_bits(data, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    unbroken = start(whole, data)
    for epoch in (3, 20):
        victim = start(killed, data)
        wait_for_epoch(killed, epoch)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert not (killed / "runs" / "run" / "summary.json").exists()
    assert start(killed, data).wait() == 0
    assert unbroken.wait() == 0
    assert history(killed / "runs" / "run") == history(whole / "runs" / "run")
    a, b = (torch.load(base / "runs" / "run" / "model.pt", weights_only=True) for base in (whole, killed))
    assert all(torch.equal(a[name], b[name]) for name in a)
    for file in ("selection.npz", "samples.npz"):
        x, y = (np.load(base / "runs" / "run" / file) for base in (whole, killed))
        assert x.files == y.files and all(np.array_equal(x[name], y[name], equal_nan=True) for name in x.files)


@pytest.mark.slow
def test_sigterm_saves_and_a_second_trainer_waits(data, tmp_path):
    first = start(tmp_path, data)
    wait_for_epoch(tmp_path, 2)
    second = start(tmp_path, data)
    first.send_signal(signal.SIGTERM)
    assert first.wait() != 0
    assert second.wait() == 0  # takes over where the first one stopped
    assert len(history(tmp_path / "runs" / "run")) == 60


def test_an_interrupt_is_saved_at_the_end_of_the_epoch(data, tmp_path):
    run = run_of("run", spec())
    folders = {"data": data, "runs": tmp_path / "runs", "work": tmp_path / "work", "threads": 1}
    said = []
    with pytest.raises(Interrupted, match="after epoch 2"):
        train_run(run, **folders, on_epoch=lambda row, _: row["epoch"] == 2 and os.kill(os.getpid(), signal.SIGTERM))
    assert json.loads((tmp_path / "work" / "run" / "status.json").read_text())["state"] == "failed"
    train_run(run, **folders, say=said.append)
    assert said == ["run: resuming after epoch 2"]


@pytest.mark.parametrize(("every_s", "saved"), [(0.0, 9), (0.01, 1)])
def test_a_slow_save_is_worth_its_time(data, tmp_path, monkeypatch, every_s, saved):
    """A save that takes 0.2 s comes every 10 s at most, which is 2 % of the time; unless after every epoch is asked."""
    saves = []

    def slow(path, content):
        if path.name == "checkpoint.pt":
            saves.append(path)
            time.sleep(0.2)
        write(path, content)

    monkeypatch.setattr(trainer, "write", slow)
    places = {"data": data, "runs": tmp_path / "runs", "work": tmp_path / "work", "threads": 1}
    train_run(run_of("run", spec(epochs=10)), **places, checkpoint_every_s=every_s)
    assert len(saves) == saved


def test_a_diverged_run_is_a_result(data, tmp_path):
    schedule = {**spec().recipe.schedule.model_dump(), "max_lr": 1e30}
    summary = train_run(
        run_of("run", spec(schedule=schedule)), data=data, runs=tmp_path / "runs", work=tmp_path / "work", threads=1
    )
    assert summary["status"] == "diverged"
    assert summary["diverged_at"]["epoch"] >= 1
    stored = json.loads((tmp_path / "runs" / "run" / "summary.json").read_text())  # valid JSON in spite of NaN
    assert stored["status"] == "diverged"


def test_the_share_of_wrong_labels_trained_is_recorded(data, tmp_path):
    plain = spec(epochs=3)
    chosen = plain.model_copy(update={"dataset": plain.dataset.model_copy(update={"label_noise": 0.2})})
    summary = train_run(run_of("run", chosen), data=data, runs=tmp_path / "runs", work=tmp_path / "work", threads=1)
    rows = history(tmp_path / "runs" / "run")
    mean = sum(float(row["wrong_labels"]) * int(row["kept"]) for row in rows) / sum(int(row["kept"]) for row in rows)
    assert summary["wrong_labels"] == pytest.approx(mean) and 0.1 < mean < 0.35
    stored = json.loads((tmp_path / "runs" / "run" / "spec.json").read_text())
    assert stored["spec"]["dataset"] == {"name": "digits", "label_noise": 0.2}


def test_a_missing_device_is_named(data, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(ValueError, match="'cuda' is not available here"):
        train_run(run_of("run", spec()), data=data, runs=tmp_path / "runs", work=tmp_path / "work", device="cuda")
