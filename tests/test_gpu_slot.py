"""Devices and commands: never two commands on one device."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHILD = "import os, time; t = time.time(); time.sleep(0.4); print(os.environ['CUDA_VISIBLE_DEVICES'], t, time.time())"


def run_all(tmp_path: Path, visible: str, counts: list[int]) -> list[tuple[list[str], float, float]]:
    """Devices, begin and end of a command for each count, all started at once."""
    env = {k: v for k, v in os.environ.items() if k != "SLURM_JOB_ID"}
    env |= {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "orderdp.gpu_slot", "--count"]
    started = [
        subprocess.Popen(
            [*command, str(count), "--", sys.executable, "-c", CHILD], env=env, stdout=subprocess.PIPE, text=True
        )
        for count in counts
    ]
    answers = [process.communicate()[0].split() for process in started]
    return [(devices.split(","), float(begin), float(end)) for devices, begin, end in answers]


@pytest.mark.parametrize(("visible", "counts"), [("0,1", [1] * 6), ("4,5,6", [2, 1, 2, 3, 1])])
def test_no_device_is_shared(tmp_path, visible, counts):
    spans: dict[str, list[tuple[float, float]]] = {}
    for (devices, begin, end), count in zip(run_all(tmp_path, visible, counts), counts, strict=True):
        assert len(devices) == count
        for device in devices:
            spans.setdefault(device, []).append((begin, end))
    assert set(spans) == set(visible.split(","))
    for used in spans.values():
        ordered = sorted(used)
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(ordered))


def test_a_count_of_none_leaves_all_devices(tmp_path):
    ((devices, _, _),) = run_all(tmp_path, "0,1", [0])
    assert devices == ["0", "1"]


def test_more_devices_than_there_are_is_one_message():
    env = {k: v for k, v in os.environ.items() if k != "SLURM_JOB_ID"} | {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "orderdp.gpu_slot", "--count", "3", "--", "true"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "orderdp.gpu_slot: 3 GPUs are asked for (--count), 2 are here: 0, 1\n"


def test_one_device_needs_no_slot():
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "3", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "orderdp.gpu_slot",
        "--",
        sys.executable,
        "-c",
        "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])",
    ]
    assert subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip() == "3"
