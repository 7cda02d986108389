"""Two devices, six commands: never two on one device."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHILD = "import os, time; t = time.time(); time.sleep(0.4); print(os.environ['CUDA_VISIBLE_DEVICES'], t, time.time())"


def test_no_device_is_shared(tmp_path):
    env = {k: v for k, v in os.environ.items() if k != "SLURM_JOB_ID"}
    env |= {"CUDA_VISIBLE_DEVICES": "0,1", "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "orderdp.gpu_slot", "--", sys.executable, "-c", CHILD]
    started = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    spans: dict[str, list[tuple[float, float]]] = {}
    for process in started:
        device, begin, end = process.communicate()[0].split()
        spans.setdefault(device, []).append((float(begin), float(end)))
    assert set(spans) == {"0", "1"}
    for used in spans.values():
        ordered = sorted(used)
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(ordered))


def test_one_device_needs_no_slot():
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "3", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "orderdp.gpu_slot", "--", sys.executable, "-c", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"]
    assert subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip() == "3"
