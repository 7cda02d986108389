"""A copy of the package, from which fingerprints and options are read."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest

from orderdp import grid as grids
from orderdp import sources
from orderdp.sources import code, deciding, registered, text

ROOT = Path(__file__).parents[2]
KEPT = (text._parsed, code._digest)
"""Caches that depend on nothing but the texts of files."""


def forget():
    """Nothing that was read of the package's files is remembered, nor a grid that came of it."""
    for module in (text, code, registered, deciding):
        for value in vars(module).values():
            if isinstance(value, functools._lru_cache_wrapper) and value not in KEPT:
                value.cache_clear()
    grids._LOADED.clear()


@pytest.fixture
def copy(tmp_path):
    """A folder with a copy of the package and of the parameters."""
    shutil.copytree(ROOT / "orderdp", tmp_path / "orderdp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def read_here(copy, monkeypatch):
    """The copy, from which fingerprints are taken in this process."""
    monkeypatch.setattr(text, "PACKAGE", copy / "orderdp")
    forget()
    yield copy
    monkeypatch.undo()
    forget()


def edit(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert content.count(old) == 1, f"{old!r} is there {content.count(old)} times"
    path.write_text(content.replace(old, new))


def add_pruner(folder: Path, content: str) -> set[str]:
    """Registers a pruner of this text as `mine`; the pieces of source that decide a run with it."""
    (folder / "orderdp/pruning/mine.py").write_text(content)
    init = folder / "orderdp/pruning/__init__.py"
    edit(
        init,
        "PRUNERS: dict[str, type[Pruner]] = {\n",
        'from orderdp.pruning.mine import Mine\nPRUNERS = {\n    "mine": Mine,\n',
    )
    forget()
    return set(sources.digests(("pruning", "PRUNERS", "mine")))
