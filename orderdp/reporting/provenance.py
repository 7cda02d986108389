"""Records of what tables, figures and the page were made from:
`reports/<scale>/provenance/<experiment>-<stamp>.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from orderdp.grid import Grid
from orderdp.reporting.files import sha256_of, write_json
from orderdp.reporting.results import STUDY_TABLES

PAGE = "page"
"""Takes the place of an experiment's name in the record of the page."""

PARTIAL = "partial"
"""Takes the place of the stamp in the records of what was made after jobs had failed."""

RUN_FILES = (
    "summary.json", "history.csv", "selection.npz", "diagnostics.csv", "profile.npz", *(f"{table}.csv" for table in STUDY_TABLES), "costs.csv",
    "coresets.npz",
)  # fmt: skip
"""Files of a run, of its diagnosis, of a study, or of coresets, whose digests a record may hold."""


def command(grid: Grid, experiment: str) -> str:
    """The command that makes an experiment's tables and figures, or the page."""
    return f"python -m orderdp report --scale {grid.scale} " + (
        "--page" if experiment == PAGE else f"--only {experiment}"
    )


def records(out: Path, experiment: str) -> list[Path]:
    """The records of an experiment in a report's folder; more than one only if a process was killed."""
    found = (out / "provenance").glob(f"{experiment}-*.json")
    return sorted(path for path in found if path.stem.rpartition("-")[0] == experiment)


def discard(out: Path, experiment: str) -> None:
    """Deletes the records of an experiment: before its files change, so that a record always vouches for what lies
    there."""
    for path in records(out, experiment):
        path.unlink()


def record(grid: Grid, experiment: str, stamp: str, out: Path, files: Iterable[str], **more: Any) -> Path:
    """Writes a record, after everything that it lists.

    Args:
        grid: of the scale.
        experiment: its name, or PAGE.
        stamp: ends the record's name.
        out: the report's folder.
        files: relative to `out`; their digests are taken from disk.
        more: further entries: `functions`, `cells` (cell -> file name -> sha256 as read), `shows` (record -> sha256).
    """
    path = out / "provenance" / f"{experiment}-{stamp}.json"
    head = {"experiment": experiment, "stamp": stamp, "scale": grid.scale, "command": command(grid, experiment)}
    write_json(path, head | more | {"files": {name: sha256_of(out / name) for name in sorted(files)}})
    return path


def qualified(function: Callable[..., Any]) -> str:
    """Where to find the function: `orderdp.reporting.tables.table2`."""
    return f"{function.__module__}.{function.__qualname__}".removesuffix(".<locals>.data")
