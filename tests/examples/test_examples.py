"""Each example as a user runs it: it trains, reaches far more than chance, and visits the share of the samples that it
announces."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DIGITS = round(0.6 * round(0.5 * 1438)) / 1438  # q of n
# file -> least accuracy in %, share trained. Digits have ten classes, the table's majority class makes up 63 %.
EXPECTED = {
    "plain.py": (90, DIGITS),
    "plain_before.py": (90, None),
    "tabular.py": (90, (10 * 125 + 20 * 200) / (10 * 250 + 20 * 400)),
    "streaming.py": (80, None),
    "with_lightning.py": (90, DIGITS),
    "with_transformers.py": (85, DIGITS),
    "with_accelerate.py": (90, DIGITS),
    "with_trl.py": (90, 0.3),
    "language_model.py": (90, 0.3),
}


def run(*command: str, folder: Path) -> str:
    """Output of a command that must succeed, run outside the repository."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def check(output: str, least: float, share: float | None) -> None:
    accuracy = re.search(r"^accuracy ([\d.]+) %", output, re.M)
    assert accuracy and float(accuracy.group(1)) >= least, output
    announced = re.search(r"trained on ([\d.]+) % of the samples", output)
    assert (announced is None) == (share is None)
    if announced and share is not None:
        assert float(announced.group(1)) == pytest.approx(100 * share, abs=0.006)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_learns_from_the_share_that_it_announces(name, tmp_path):
    output = run(str(EXAMPLES / name), folder=tmp_path)
    check(output, *EXPECTED[name])
    if name == "streaming.py":
        arrived, trained = map(int, re.findall(r"\d+", output.splitlines()[0]))
        assert arrived == 16000 and trained == pytest.approx(arrived * 64 / 32, rel=0.01)
    assert not list(tmp_path.iterdir()), "an example leaves files behind"


@pytest.mark.slow
def test_two_processes_learn_together(tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    output = run(*launcher, str(EXAMPLES / "with_torchrun.py"), folder=tmp_path)
    check(output, 90, DIGITS)
    assert output.count("accuracy") == 1


def test_every_example_is_run_and_listed():
    names = {path.name for path in EXAMPLES.glob("*.py")} - {"digits.py"}
    assert names == {*EXPECTED, "with_torchrun.py"}
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in names)


def test_the_diff_shown_is_the_one_between_the_loops():
    (shown,) = re.findall(r"```diff\n(.*?)```", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.S)
    before, after = (
        (EXAMPLES / name).read_text(encoding="utf-8").splitlines(True) for name in ("plain_before.py", "plain.py")
    )
    assert shown == "".join(difflib.unified_diff(before, after, "plain_before.py", "plain.py"))
