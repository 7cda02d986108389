"""A folder in which the workflow runs, without a checkout of the project."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

PROJECT = ("params.yaml", "Snakefile", "workflow", "profiles")
"""What the workflow needs beside the package."""
PACKAGE = Path(__file__).resolve().parents[1]
IGNORED = "/.snakemake/\n/.work/\n/data\n/logs/\n/mlflow.db*\n/mlartifacts/\n/runs\n"
"""What git should not keep of it."""


def source() -> Path:
    """Where the files are: in the installed package, or in the checkout around it.

    Raises:
        ValueError: in neither.
    """
    for folder in (PACKAGE / "project", PACKAGE.parent):
        if all((folder / name).exists() for name in PROJECT):
            return folder
    raise ValueError(
        f"The files of a project are neither in {PACKAGE / 'project'} nor in {PACKAGE.parent}. Install the package"
        " again: pip install --force-reinstall 'orderdp[workflow]'."
    )


def new_project(folder: Path) -> list[str]:
    """Writes a project: parameters, Snakefile, rules, profiles and a .gitignore.

    Args:
        folder: made if it is not there. What it holds besides stays.

    Returns:
        The names that were written.

    Raises:
        ValueError: one of them is there already, or the folder is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file. Name a folder.")
    names = [*PROJECT, ".gitignore"]
    if present := [name for name in names if (folder / name).exists()]:
        raise ValueError(f"{folder} has {', '.join(present)} already. Name another folder, or remove them.")
    origin = source()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".orderdp-init-", dir=folder) as scratch:
        for name in PROJECT:
            if (origin / name).is_dir():
                shutil.copytree(origin / name, Path(scratch, name), ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(origin / name, Path(scratch, name))
        Path(scratch, ".gitignore").write_text(IGNORED)
        for name in names:
            Path(scratch, name).rename(folder / name)
    return names
