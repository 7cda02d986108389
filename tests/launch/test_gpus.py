"""Devices and commands: never two commands on one device."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orderdp.launch import gpus

ROOT = Path(__file__).parents[2]
CHILD = """
import os, sys, time
from orderdp.launch.gpus import claimed
with claimed(int(sys.argv[1])):
    begin = time.time()
    time.sleep(0.4)
    print(os.environ["CUDA_VISIBLE_DEVICES"], begin, time.time())
"""


def claims(tmp_path: Path, visible: str, counts: list[int]) -> list[tuple[list[str], float, float]]:
    """Devices, begin and end of a process for each count, all started at once."""
    env = {k: v for k, v in os.environ.items() if k != "SLURM_JOB_ID"}
    env |= {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(count)], env=env, stdout=subprocess.PIPE, text=True)
        for count in counts
    ]
    answers = [process.communicate()[0].split() for process in started]
    return [(devices.split(","), float(begin), float(end)) for devices, begin, end in answers]


@pytest.mark.parametrize(("visible", "counts"), [("0,1", [1] * 6), ("4,5,6", [2, 1, 2, 3, 1])])
def test_no_device_is_shared(tmp_path, visible, counts):
    spans: dict[str, list[tuple[float, float]]] = {}
    for (devices, begin, end), count in zip(claims(tmp_path, visible, counts), counts, strict=True):
        assert len(devices) == count
        for device in devices:
            spans.setdefault(device, []).append((begin, end))
    assert set(spans) == set(visible.split(","))
    for used in spans.values():
        ordered = sorted(used)
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(ordered))


@pytest.mark.parametrize(("visible", "count"), [("0,1", 0), ("3", 1)])
def test_without_a_choice_all_devices_stay(tmp_path, visible, count):
    ((devices, _, _),) = claims(tmp_path, visible, [count])
    assert devices == visible.split(",")


def test_more_devices_than_there_are_is_one_message(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    message = r"--gpus: 3 GPUs are wanted, but this machine has 2: 0, 1\."
    with pytest.raises(ValueError, match=message), gpus.claimed(3):
        pass
