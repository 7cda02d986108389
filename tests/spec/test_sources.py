"""Which edits of the package rename which cells."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST = "import json; from orderdp import grid; print(json.dumps({c.name: (c.spec.pretraining or c.spec).method.name for c in grid.load().cells.values()}))"


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT / "orderdp", tmp_path / "orderdp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def cells(folder: Path) -> dict[str, str]:
    """Name -> method of every cell that the package in this folder lays out; after a pre-training, its method."""
    return json.loads(subprocess.run([sys.executable, "-c", LIST], cwd=folder, capture_output=True, text=True, check=True).stdout)


def test_line_ends_rename_nothing(copy):
    before = cells(copy)
    for path in [*copy.rglob("*.py"), copy / "params.yaml"]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert cells(copy) == before


@pytest.mark.parametrize(
    ("file", "renamed"),
    [
        ("pruning/ucb.py", {"ucb"}),
        ("pruning/moving.py", {"ucb", "epsilon_greedy"}),
        ("pruning/infobatch.py", {"infobatch"}),
        ("pruning/orderdp.py", {"orderdp"}),
        ("datasets/cifar.py", set()),
        ("models/imagenet_resnet.py", set()),
        ("spec.py", set()),
        ("training/run.py", set()),
        ("tracking/store.py", set()),
        ("reporting/tables.py", set()),
    ],
)
def test_an_edit_renames_the_cells_that_it_decides(copy, file, renamed):
    before = cells(copy)
    path = copy / "orderdp" / file
    path.write_text(path.read_text() + "\n# edited\n")
    after = cells(copy)
    assert len(after) == len(before)
    assert {before[name] for name in set(before) - set(after)} == renamed
    kept = {method for name, method in after.items() if name in before}
    assert kept == set(before.values()) - renamed


def test_the_engine_decides_every_cell(copy):
    before = cells(copy)
    path = copy / "orderdp/training/engine.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert not set(cells(copy)) & set(before)
