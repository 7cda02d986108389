"""One process for a run on one GPU, one on each for a run on several."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def launched(tmp_path: Path, *arguments: str, visible: str) -> subprocess.CompletedProcess[str]:
    """Runs `orderdp.launch` on a stand-in for the package's command line that tells its rank and devices."""
    package = tmp_path / "orderdp"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in ("launch.py", "gpu_slot.py", "warm.py"):
        (package / name).write_text((ROOT / "orderdp" / name).read_text())
    told = "words = [*sys.argv[1:], *map(os.environ.get, ('LOCAL_RANK', 'WORLD_SIZE', 'CUDA_VISIBLE_DEVICES'))]\n"
    told += "os.write(1, (' '.join(map(str, words)) + '\\n').encode())"  # at once: two ranks share the pipe
    (package / "__main__.py").write_text(f"import os, sys\n{told}\n")
    env = {k: v for k, v in os.environ.items() if k != "SLURM_JOB_ID"} | {
        "CUDA_VISIBLE_DEVICES": visible,
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "orderdp.launch", *arguments]
    return subprocess.run(
        command, cwd=tmp_path, env=env | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )


@pytest.mark.parametrize("gpus", ["0", "1"])
def test_one_process(tmp_path, gpus):
    done = launched(tmp_path, "--gpus", gpus, "--", "train", "--cell", "x", visible="3")
    assert done.stdout.splitlines() == ["train --cell x None None 3"], done.stderr


def test_a_process_on_each_of_several(tmp_path):
    done = launched(tmp_path, "--gpus", "2", "--", "train", "--cell", "x", visible="4,5,6")
    first, second = sorted(done.stdout.splitlines())
    assert first.startswith("train --cell x 0 2 "), done.stderr
    assert second.startswith("train --cell x 1 2 ")
    devices = first.split()[-1]
    assert devices == second.split()[-1]
    assert len(devices.split(",")) == 2
    assert set(devices.split(",")) < {"4", "5", "6"}
