"""A finished run whose files are not those that it wrote is named by everybody who meets it, and used by nobody."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orderdp import grid as grids
from orderdp.jobs.finished import DamagedRun, damaged, finish, read_file, read_summary
from orderdp.planning import bundles, plan
from tests.reporting.synthetic import write_run

ROOT = Path(__file__).parents[2]
GRID = grids.load(ROOT / "params.yaml", "quick")
NAME, OTHER = list(GRID.runs)[:2]


@pytest.fixture
def runs(tmp_path):
    for name, shift in ((NAME, 0.0), (OTHER, 0.5)):
        write_run(GRID.runs[name], tmp_path / "runs", shift=shift)
        (tmp_path / "runs" / name / "model.pt").write_bytes(bytes(range(100)))
        reseal(tmp_path / "runs" / name)
    return tmp_path / "runs"


def rewrite(path: Path, change) -> None:
    path.write_bytes(change(path.read_bytes()))


def reseal(folder: Path, **changes) -> None:
    """A summary with other content and the right checksums, as only its author could write it."""
    finish(folder, json.loads((folder / "summary.json").read_text()) | changes)


CUTS = {
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbage": lambda content: bytes(reversed(content)),
    "one bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "longer": lambda content: content + b"\n",
}
FILES = ("summary.json", "history.csv", "spec.json", "selection.npz", "model.pt")


@pytest.mark.parametrize(
    ("file", "cut"), [(file, cut) for file in FILES for cut in CUTS if (file, cut) != ("summary.json", "longer")]
)
def test_every_change_of_every_file_is_found(runs, file, cut):
    rewrite(runs / NAME / file, CUTS[cut])
    assert list(damaged(runs, [NAME, OTHER], contents=True)) == [NAME]
    with pytest.raises(DamagedRun, match=r"is damaged: .* `python -m orderdp gc --damaged --delete`"):
        read_file(runs, NAME, file) if file != "summary.json" else read_summary(runs, NAME)
    sizes_differ = cut in ("half", "empty", "longer") or file == "summary.json"
    assert list(damaged(runs, [NAME, OTHER])) == ([NAME] if sizes_differ else [])


DAMAGES = {
    "another run's history": lambda runs: shutil.copy(runs / OTHER / "history.csv", runs / NAME / "history.csv"),
    "another run's summary": lambda runs: shutil.copy(runs / OTHER / "summary.json", runs / NAME / "summary.json"),
    "another run's folder": lambda runs: (
        shutil.rmtree(runs / NAME), shutil.copytree(runs / OTHER, runs / NAME)
    ),
    "a missing history": lambda runs: (runs / NAME / "history.csv").unlink(),
    "a folder for a history": lambda runs: (
        (runs / NAME / "history.csv").unlink(), (runs / NAME / "history.csv").mkdir()
    ),
    "a folder for a summary": lambda runs: (
        (runs / NAME / "summary.json").unlink(), (runs / NAME / "summary.json").mkdir()
    ),
    "an unknown status": lambda runs: reseal(runs / NAME, status="almost"),
    "another name": lambda runs: reseal(runs / NAME, job="another"),
    "a summary of an older version": lambda runs: (runs / NAME / "summary.json").write_text(
        json.dumps({"job": NAME, "status": "finished"})
    ),
    "a list": lambda runs: (runs / NAME / "summary.json").write_text("[1, 2]"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_whoever_meets_a_damaged_run_names_it(runs, damage):
    DAMAGES[damage](runs)
    assert list(damaged(runs, [NAME, OTHER], contents=True)) == [NAME]
    if damaged(runs, [NAME]):  # all but the history of another run, which is as long
        with pytest.raises(ValueError, match=f"{NAME} is damaged"):
            bundles.missing(GRID, runs)
        assert f"{NAME} is damaged" in plan.describe(GRID, runs)
    listed = plan.collect_garbage([GRID], runs, runs / "none", delete=False, damaged_only=True)
    assert f"runs/{NAME}: " in listed and f"runs/{OTHER}: " not in listed
    plan.collect_garbage([GRID], runs, runs / "none", delete=True, damaged_only=True)
    assert not (runs / NAME).exists() and (runs / OTHER).exists()
    assert NAME in bundles.missing(GRID, runs)


def test_what_is_not_finished_is_not_damaged(runs):
    (runs / NAME / "summary.json").unlink()
    assert damaged(runs, [NAME, "nothing"], contents=True) == {} and read_summary(runs, NAME) is None


def test_weights_may_be_removed_to_save_room(runs):
    (runs / NAME / "model.pt").unlink()
    assert damaged(runs, [NAME], contents=True) == {}
    with pytest.raises(FileNotFoundError, match=rf"model\.pt is missing\. Make it: python -m orderdp run {NAME}"):
        read_file(runs, NAME, "model.pt")


def test_what_a_killed_writer_left_is_removed(runs):
    (runs / NAME / ".history.csv.77.tmp").write_text("half")
    reseal(runs / NAME)
    assert not (runs / NAME / ".history.csv.77.tmp").exists()


@pytest.mark.parametrize("command", [["verify"], ["report", "--only", "table2"], ["track"], ["run", NAME]])
def test_a_command_says_it_in_one_line(runs, command):
    rewrite(runs / NAME / "summary.json", CUTS["half"])
    shutil.copy(ROOT / "params.yaml", runs.parent)
    done = subprocess.run(
        [sys.executable, "-m", "orderdp", *command], cwd=runs.parent, capture_output=True, text=True,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(runs.parent)},
    )  # fmt: skip
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert f"{NAME} is damaged: summary.json is not as it was written" in said and "Traceback" not in said
    assert not (runs.parent / "reports").exists()
