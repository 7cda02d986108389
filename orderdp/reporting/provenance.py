"""Records of what tables, figures and the page were made from:
`reports/<scale>/provenance/<experiment>-<fingerprint>.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from orderdp.files import write_json
from orderdp.grid import Grid
from orderdp.reporting.results import STUDY_TABLES

PAGE = "page"
"""Takes the place of an experiment's name in the record of the page."""

PARTIAL = "partial"
"""Takes the place of the fingerprint in the records of what was made after jobs had failed."""

RUN_FILES = (
    *("summary.json", "history.csv", "selection.npz", "diagnostics.csv", "profile.npz"),
    *(f"{table}.csv" for table in STUDY_TABLES),
    *("costs.csv", "coresets.npz"),
)
"""Files of a run, of its diagnosis, of a study, or of coresets, whose checksums a record may hold."""


def command(grid: Grid, experiment: str) -> str:
    """The command that makes an experiment's tables and figures, or the page."""
    return f"python -m orderdp report --scale {grid.scale} " + (
        "--page" if experiment == PAGE else f"--only {experiment}"
    )


def checksum(path: Path) -> str | None:
    """sha256 of a file; None if it does not exist."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def find_records(out: Path, experiment: str) -> list[Path]:
    """The records of an experiment in a report's folder; more than one only if a process was killed."""
    paths = (out / "provenance").glob(f"{experiment}-*.json")
    return sorted(path for path in paths if path.stem.rpartition("-")[0] == experiment)


def read_record(path: Path) -> dict[str, Any] | None:
    """Content of a record; None if it is not whole."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        entries = ("runs", "functions") if record["experiment"] != PAGE else ("shows",)
        return record if all(isinstance(record[key], dict) for key in ("files", *entries)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_as_made(out: Path, experiment: str, file: Path) -> bool:
    """Whether a file of an experiment, relative to the report's folder, is the one that its record was written for."""
    records = find_records(out, experiment)
    record = (read_record(records[-1]) if records else None) or {}
    written = record.get("files", {}).get(file.as_posix())
    return written is not None and checksum(out / file) == written


def delete_records(out: Path, experiment: str) -> None:
    """Deletes the records of an experiment: before its files change, so that a record always describes the files beside
    it."""
    for path in find_records(out, experiment):
        path.unlink()


def write_record(
    grid: Grid, experiment: str, fingerprint: str, out: Path, files: Iterable[str], **entries: Any
) -> Path:
    """Writes a record, after everything that it lists.

    Args:
        grid: of the scale.
        experiment: its name, or PAGE.
        fingerprint: ends the record's name.
        out: the report's folder.
        files: relative to `out`; their checksums are taken from disk.
        entries: further ones: `functions`, `runs` (run -> file name -> sha256 as read), `shows` (record -> sha256).
    """
    path = out / "provenance" / f"{experiment}-{fingerprint}.json"
    head = {"experiment": experiment, "fingerprint": fingerprint, "scale": grid.scale}
    checksums = {name: checksum(out / name) for name in sorted(files)}
    write_json(path, head | {"command": command(grid, experiment)} | entries | {"files": checksums})
    return path


def qualified(function: Callable[..., Any]) -> str:
    """Where to find the function: `orderdp.reporting.tables.table2`."""
    return f"{function.__module__}.{function.__qualname__}".removesuffix(".<locals>.data")
