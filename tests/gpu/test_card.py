"""What runs on a real card only. None was at hand when these were written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CARDS

ROOT = Path(__file__).parents[2]


def shown() -> dict[str, str]:
    """The environment with the caller's GPUs."""
    without = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return without if CARDS is None else without | {"CUDA_VISIBLE_DEVICES": CARDS}


def has_card() -> bool:
    asked = "import torch; raise SystemExit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", asked], env=shown(), check=False).returncode == 0


@pytest.fixture(scope="module", autouse=True)
def card():
    if not has_card():
        pytest.skip("needs a GPU that torch can use")


def test_the_check_of_a_new_machine_finds_nothing(tmp_path):
    """Every kind of run trains, twice to the same bits where that is promised, as a graph and without one."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    command = [sys.executable, "-m", "orderdp", "gpu-check"]
    done = subprocess.run(
        command, cwd=tmp_path, env=shown() | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as a CUDA graph" in done.stdout and "GPU hours" in done.stdout


def test_a_run_of_the_workflow_is_on_the_card_and_captured(tmp_path):
    script = """
from pathlib import Path
from orderdp.datasets import prepare
from tests.training.conftest import run_of, spec, train_run
prepare("digits", Path("data/digits"))
where = dict(data=Path("data"), runs=Path("runs"), work=Path("work"))
summary = train_run(run_of("one", spec()), device="cuda", **where)["environment"]
assert (summary["device"], summary["step"]) == ("cuda", "captured"), summary
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=shown() | {"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
