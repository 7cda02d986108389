"""What the files say about the runs of a grid."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orderdp.grid import Grid
from orderdp.jobs.finished import read_file, read_summary

REPORT = "report"
"""Stands for the report where runs stand under their names, whose names are longer."""


@dataclass(frozen=True)
class RunFiles:
    """A run as it is on disk."""

    run: str
    state: str
    """An MLflow status: RUNNING, FINISHED, FAILED or KILLED."""
    started: float
    ended: float | None
    lines: tuple[str, ...]
    """The history's rows as text, without the header."""
    columns: tuple[str, ...]
    summary: dict[str, Any]
    """Content of summary.json; empty while the run trains."""

    @property
    def checksum(self) -> str:
        """Changes when anything of the run does."""
        return rows_checksum([self.state, json.dumps(self.summary, sort_keys=True), *self.lines])

    def metrics(self, first: int) -> Iterator[tuple[str, float, int, int]]:
        """(name, value, timestamp in ms, epoch) of the rows from number `first` on; what is not finite is left out."""
        for row in csv.DictReader(self.lines[first:], fieldnames=self.columns):
            time_ms, epoch = int(1000 * float(row["timestamp"])), int(row["epoch"])
            for name, text in row.items():
                if name not in ("epoch", "timestamp") and text and math.isfinite(value := float(text)):
                    yield name, value, time_ms, epoch


def rows_checksum(lines: list[str] | tuple[str, ...]) -> str:
    """Checksum of some rows of a history: tells whether a longer one goes on from them."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def read_runs(names: Iterable[str], runs: Path, work: Path) -> Iterator[RunFiles]:
    """Those of these runs that have begun.

    Raises:
        DamagedRun: a finished one is not as it was written.
    """
    for run in names:
        files = _finished(run, runs) or _in_training(run, work / run)
        if files is not None:
            yield files


def _finished(run: str, runs: Path) -> RunFiles | None:
    summary = read_summary(runs, run)
    if summary is None:
        return None
    columns, lines = _history(read_file(runs, run, "history.csv").decode())
    state = "FINISHED" if summary["status"] == "finished" else "FAILED"
    return RunFiles(run, state, summary["started"], summary["ended"], lines, columns, summary)


def _in_training(run: str, folder: Path) -> RunFiles | None:
    try:
        status = json.loads((folder / "status.json").read_text())
        columns, lines = _history((folder / "history.csv").read_text())
        running = status["state"] == "running" and alive(status["pid"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # not begun, damaged, or just finished: the next pass sees it in `runs/`
    return RunFiles(
        run,
        "RUNNING" if running else "KILLED",
        status["started"],
        None if running else status["updated"],
        lines,
        columns,
        {},
    )


def _history(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    header, *lines = text.splitlines()
    return tuple(header.split(",")), tuple(lines)


def alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def file_states(grid: Grid, runs: Path, work: Path, reports: Path) -> dict[str, str]:
    """What changes when the files do, of every run that has begun (under its name) and of the report (under REPORT);
    costs one `stat` per file and no import of mlflow."""
    states = {}
    for run in grid.runs:
        text = [_stat(runs / run / name) for name in ("summary.json", "history.csv")]
        if (status := _stat(path := work / run / "status.json")) and not text[0]:
            # A trainer that dies changes no file.
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                text += [status, str(alive(json.loads(path.read_text())["pid"]))]
        if any(text):
            states[run] = " ".join(text)
    states[REPORT] = rows_checksum([f"{path} {_stat(path)}" for path in sorted((reports / grid.scale).rglob("*"))])
    return states


def _stat(path: Path) -> str:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return ""
    return f"{stat.st_mtime_ns}:{stat.st_size}"


def state_checksum(grid: Grid, store: str, states: Mapping[str, str]) -> str:
    """Changes when anything does that a pass reads.

    Args:
        grid: of the scale.
        store: where the pass writes.
        states: by :func:`file_states`.
    """
    names = (f"{name} {grid.users[name]}" for name in grid.runs)
    return rows_checksum([store, grid.note, *names, *(f"{name} {state}" for name, state in states.items())])
