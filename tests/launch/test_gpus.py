"""Devices and commands: never two commands on one device."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from orderdp.launch import gpus
from tests.workflow.conftest import finished, lose_a_run

__all__ = ["finished"]

ROOT = Path(__file__).parents[2]
CHILD = """
import os, sys, time
from orderdp.launch.gpus import claimed
with claimed(int(sys.argv[1])):
    begin = time.time()
    time.sleep(0.4)
    print(os.environ["CUDA_VISIBLE_DEVICES"], begin, time.time())
"""


def claims(tmp_path: Path, wanted: list[tuple[str, int]]) -> list[tuple[list[str], float, float]]:
    """Devices, begin and end of a process for each (visible devices, count), all started at once."""
    env = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(count)], env=env | {gpus.VISIBLE: visible}, stdout=subprocess.PIPE,
            text=True,
        )
        for visible, count in wanted
    ]  # fmt: skip
    answers = [process.communicate()[0].split() for process in started]
    return [(devices.split(","), float(begin), float(end)) for devices, begin, end in answers]


@pytest.mark.parametrize(("visible", "counts"), [("0,1", [1] * 6), ("4,5,6", [2, 1, 2, 3, 1])])
def test_no_device_is_shared(tmp_path, visible, counts):
    spans: dict[str, list[tuple[float, float]]] = {}
    answers = claims(tmp_path, [(visible, count) for count in counts])
    for (devices, begin, end), count in zip(answers, counts, strict=True):
        assert len(devices) == count
        for device in devices:
            spans.setdefault(device, []).append((begin, end))
    assert set(spans) == set(visible.split(","))
    for used in spans.values():
        ordered = sorted(used)
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(ordered))


def nvidia_smi(folder: Path, monkeypatch, listed: str) -> None:
    """Puts a program of this name first on the path, which lists these devices."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{listed}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """As it was before, after each test, since a claim changes it."""
    for name in (gpus.VISIBLE, *gpus.GIVEN_BY_SLURM):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)


TWO = "GPU 0: NVIDIA H200 (UUID: GPU-aaaa-1)\nGPU 1: NVIDIA H200 (UUID: GPU-bbbb-2)\n"
SPLIT = """GPU 0: NVIDIA A100 (UUID: GPU-aaaa-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-cccc-3)
  MIG 3g.20gb     Device  1: (UUID: MIG-dddd-4)
GPU 1: NVIDIA A100 (UUID: GPU-bbbb-2)
"""


@pytest.mark.parametrize(
    ("listed", "visible", "expected"),
    [
        (TWO, None, ["GPU-aaaa-1", "GPU-bbbb-2"]),
        (TWO, "1,0", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        (TWO, "GPU-bbbb", ["GPU-bbbb-2"]),
        (TWO, "0,-1,1", ["GPU-aaaa-1"]),
        (TWO, "0,7,1", ["GPU-aaaa-1"]),
        (TWO, "", []),
        (SPLIT, None, ["MIG-cccc-3", "MIG-dddd-4", "GPU-bbbb-2"]),
        (SPLIT, "1", ["GPU-bbbb-2"]),
        (SPLIT, "0", ["MIG-cccc-3"]),
        (SPLIT, "MIG-dddd-4,1", ["MIG-dddd-4", "GPU-bbbb-2"]),
        ("", "2,3", ["2", "3"]),
    ],
)
def test_a_device_has_one_name_whatever_the_process_calls_it(tmp_path, monkeypatch, listed, visible, expected):
    """By index, by UUID, by the beginning of one, or as a slice of a card: the lock is the same one."""
    nvidia_smi(tmp_path, monkeypatch, listed)
    if visible is not None:
        monkeypatch.setenv(gpus.VISIBLE, visible)
    assert gpus.devices() == expected


@pytest.mark.parametrize("job", [None, "17"])
def test_one_device_is_locked_too_and_in_a_job_of_slurm(tmp_path, monkeypatch, job):
    """Three commands, two of which name the device by its index and one by its UUID."""
    nvidia_smi(tmp_path, monkeypatch, TWO)
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    answers = claims(tmp_path, [("1", 1), ("GPU-bbbb-2", 1), ("1", 1)])
    assert [devices for devices, _, _ in answers] == [["GPU-bbbb-2"]] * 3
    ordered = sorted((begin, end) for _, begin, end in answers)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(ordered))


def test_no_gpus_is_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "0,1")
    with gpus.claimed(0) as on_gpus:
        assert not on_gpus and os.environ[gpus.VISIBLE] == ""


def test_without_a_number_all_devices_stay(monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "0,1")
    with gpus.claimed(None) as on_gpus:
        assert not on_gpus and os.environ[gpus.VISIBLE] == "0,1"


def test_a_machine_without_a_gpu_computes_on_the_cpu(monkeypatch):
    monkeypatch.setattr(gpus, "SIGNS", ())
    with gpus.claimed(1) as on_gpus:
        assert not on_gpus and gpus.VISIBLE not in os.environ


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SLURM_JOB_GPUS": "3"}, r"1 wanted, but 0 can be used here\. Given: SLURM_JOB_GPUS=3\."),
        ({"CUDA_VISIBLE_DEVICES": "GPU-eeee"}, r"but 0 can be used here\. Given: CUDA_VISIBLE_DEVICES=GPU-eeee\."),
    ],
)
def test_a_gpu_that_was_given_and_is_not_there_is_an_error(tmp_path, monkeypatch, environment, message):
    nvidia_smi(tmp_path, monkeypatch, "" if "SLURM_JOB_GPUS" in environment else TWO)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message), gpus.claimed(1):
        pass


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("ranks", ["1", "2"])
def test_a_job_never_computes_on_the_cpu_without_a_word(finished, tmp_path, ranks):
    """It was given a GPU, CUDA does not work, and the reason is said; the run does not begin."""
    project = finished.copy(tmp_path)
    run = lose_a_run(project)
    done = project.run("python", "-m", "orderdp", "run", run, "--gpus", ranks, check=False, CUDA_VISIBLE_DEVICES="0,1")
    assert done.returncode != 0 and not (project.folder / "runs" / run).exists()
    said = done.stdout + done.stderr
    assert "This job was given a GPU that it cannot use: " in said and "docs/clusters.md" in said
    assert project.run("python", "-m", "orderdp", "run", run, "--gpus", "0").returncode == 0


def test_more_devices_than_there_are_is_one_message(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    message = r"--gpus: 3 wanted, but 2 can be used here: 0, 1\. Given: CUDA_VISIBLE_DEVICES=0,1\."
    with pytest.raises(ValueError, match=message), gpus.claimed(3):
        pass
