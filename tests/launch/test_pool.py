"""Jobs that share processes: each ends by its own summary, and one that fails or crashes costs no other."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orderdp.datasets import prepare
from orderdp.jobs import Execution, Job
from orderdp.jobs.finished import finish
from orderdp.jobs.train import Train
from orderdp.launch.pool import run_all
from orderdp.planning.bundles import Bundle
from tests.training.conftest import spec

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    prepare("digits", folder / "digits")
    return folder


def trainings(count: int, epochs: int = 1) -> list[Job]:
    return [Train.of(spec(seed=seed, epochs=epochs)) for seed in range(count)]


def execution(folder: Path, data: Path, said: list[str]) -> Execution:
    return Execution(data, folder / "runs", folder / "work", "cpu", threads=1, say=said.append)


def finished(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("runs/*/summary.json")}


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2])
def test_all_jobs_end_by_their_own_summaries_in_as_many_processes(tmp_path, data, at_once):
    said: list[str] = []
    jobs = trainings(4)
    assert run_all(jobs, execution(tmp_path, data, said), at_once, tmp_path / "logs") == 0
    assert finished(tmp_path) == {job.name for job in jobs}
    assert sorted(said) == sorted(f"finished {job.name}" for job in jobs)
    spans = [
        (summary["started"], summary["ended"])
        for summary in (json.loads((tmp_path / "runs" / job.name / "summary.json").read_text()) for job in jobs)
    ]
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) == at_once
    assert all((tmp_path / "logs" / f"{job.name}.log").exists() for job in jobs)


def test_a_job_that_fails_is_named_and_the_others_go_on(tmp_path, data):
    said: list[str] = []
    first, broken, last = trainings(3)
    broken = replace(broken, starts_from="nothing")
    broken = replace(broken, spec=broken.spec.model_copy(update={"pretraining": first.spec}))
    assert run_all([first, broken, last], execution(tmp_path, data, said), 1, tmp_path / "logs") == 1
    assert finished(tmp_path) == {first.name, last.name}
    assert said[1].startswith(f"failed {broken.name}: ") and "nothing/model.pt is missing" in said[1]
    assert said[-1] == "1 of 3 jobs failed"
    assert "nothing/model.pt is missing" in (tmp_path / "logs" / f"{broken.name}.log").read_text()


@pytest.mark.slow
def test_a_process_that_crashes_takes_no_other_job_with_it(tmp_path, data, monkeypatch):
    """The spawned process imports a `sitecustomize` of ours, in which one network crashes the interpreter."""
    first, broken, last = trainings(3)
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes, orderdp.jobs.trainer as trainer\ntrain = trainer.train\ntrainer.train = lambda job, *rest:"
        f" ctypes.string_at(0) if job.name == {broken.name!r} else train(job, *rest)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    said: list[str] = []
    assert run_all([first, broken, last], execution(tmp_path, data, said), 1, tmp_path / "logs") == 1
    assert finished(tmp_path) == {first.name, last.name}
    assert f"failed {broken.name}: {broken.name} was ended by SIGSEGV" in said[1]
    assert "Segmentation fault" in (tmp_path / "logs" / f"{broken.name}.log").read_text()


@pytest.mark.slow
def test_a_signal_saves_what_trains_and_the_same_command_goes_on(tmp_path, data):
    """The command itself, with a bundle's plan and no params.yaml."""
    jobs = trainings(2, epochs=60)
    Bundle("train-0", tuple(jobs)).save(tmp_path)
    (tmp_path / "data").symlink_to(data)
    command = [sys.executable, "-m", "orderdp", "run", "--bundle", "train-0.json", "--at-once", "2", "--threads", "1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if len(list(tmp_path.glob(".work/*/status.json"))) == 2:
            break
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    said = first.communicate()[1]
    assert first.returncode == 143 and "stopped by a signal. The same command goes on" in said
    assert said.count("saved after epoch") == 2 and not finished(tmp_path)
    assert subprocess.run(command, cwd=tmp_path, env=env).returncode == 0
    assert finished(tmp_path) == {job.name for job in jobs}
    log = (tmp_path / "logs/jobs" / f"{jobs[0].name}.log").read_text()
    assert f"{jobs[0].name}: resuming after epoch" in log


def test_a_finished_job_is_left_alone(tmp_path, data):
    (job,) = trainings(1)
    path = tmp_path / "runs" / job.name / "summary.json"
    summary = finish(path.parent, {"job": job.name, "status": "finished"})
    assert run_all([job], execution(tmp_path, data, []), 1, tmp_path / "logs") == 0
    assert json.loads(path.read_text()) == summary


def cannot_say(text):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "log")


def test_a_pool_that_can_say_nothing_ends(tmp_path, data):
    """The disk of its log is full. It waited for ever for the processes that waited for it."""
    jobs = trainings(1)
    with pytest.raises(OSError, match="No space left"):
        run_all(jobs, replace(execution(tmp_path, data, []), say=cannot_say), 1, tmp_path / "logs")
    assert not multiprocessing.active_children()
    assert finished(tmp_path) == {jobs[0].name}
