"""A copy of the package, from which fingerprints and options are read."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest

from orderdp.code_fingerprint import checksums, code_checksums, registries, syntax
from orderdp.jobs.train import ENTRY_POINTS

ROOT = Path(__file__).parents[2]
KEPT = (syntax._parsed, checksums._checksum)
"""Caches that depend on nothing but the texts of files."""


def forget():
    """Empties the caches of what was read of the package's files."""
    for module in (syntax, checksums, registries):
        for value in vars(module).values():
            if isinstance(value, functools._lru_cache_wrapper) and value not in KEPT:
                value.cache_clear()


@pytest.fixture
def copy(tmp_path):
    """A folder with a copy of the package and of the parameters."""
    shutil.copytree(ROOT / "orderdp", tmp_path / "orderdp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def read_here(copy, monkeypatch):
    """The copy, from which fingerprints are taken in this process."""
    monkeypatch.setattr(syntax, "PACKAGE", copy / "orderdp")
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
    return set(code_checksums(ENTRY_POINTS, (("pruning", "PRUNERS", "mine"),)))
