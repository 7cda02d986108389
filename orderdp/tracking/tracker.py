"""One pass from the files to MLflow, and the loop that repeats it while runs train."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orderdp.grid import Grid
from orderdp.tracking.files import REPORT, alive, marks, prefix_digest, read_runs, signature
from orderdp.tracking.store import Store, store_uri


@dataclass(frozen=True)
class Result:
    """What a pass did."""

    text: str
    written: int = 0
    error: str | None = None


def track(grid: Grid, *, runs: Path, work: Path, reports: Path) -> Result:
    """Brings MLflow up to date, after asking a watcher to finish.

    Args:
        grid: the scale to track.
        runs: finished runs.
        work: runs in training.
        reports: folder of the scales' reports.

    Returns:
        What was done; a store that is away is an error in it, not an exception.
    """
    work.mkdir(parents=True, exist_ok=True)
    stop = work / "tracker.stop"
    stop.touch()
    with _sole_tracker(work, wait=True):
        stop.unlink(missing_ok=True)
        return _pass(grid, runs, work, reports)


def watch(grid: Grid, *, runs: Path, work: Path, reports: Path, parent: int | None, interval_s: float = 2.0) -> None:
    """Repeats passes until the parent process is gone or another tracker asks for the place; never raises.

    Args:
        grid: the scale to track.
        runs: finished runs.
        work: runs in training.
        reports: folder of the scales' reports.
        parent: process to live with; this one's parent when None.
        interval_s: between looks at the files.
    """
    parent = parent or os.getppid()
    work.mkdir(parents=True, exist_ok=True)
    os.nice(10)
    stop, pause, told = work / "tracker.stop", interval_s, False
    with _sole_tracker(work, wait=False) as alone:
        while alone:
            last = not alive(parent) or stop.exists()
            result = _pass(grid, runs, work, reports)
            if result.error is None:
                pause = interval_s
            else:
                pause = min(2 * pause, 60)
                if not told:
                    print(
                        f"orderdp track: {result.error}. Training goes on; a later pass catches up.",
                        file=sys.stderr,
                        flush=True,
                    )
                    told = True
            if last:
                return
            ends = time.monotonic() + pause
            while time.monotonic() < ends and alive(parent) and not stop.exists():
                time.sleep(min(0.2, interval_s))


def _pass(grid: Grid, runs: Path, work: Path, reports: Path) -> Result:
    uri, note = store_uri(), work / f"tracked-{grid.scale}.json"
    found = marks(grid, runs, work, reports)
    mark = signature(grid, uri, found)
    gone = uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()
    if not gone and note.exists() and json.loads(note.read_text()).get("signature") == mark:
        return Result("MLflow is up to date.")
    if gone:
        _Cache.store = None
    try:
        store, written = _Cache.open(uri, grid), 0
        stale = [name for name, mark in found.items() if _Cache.written.get(name) != mark]
        for files in read_runs((name for name in stale if name != REPORT), runs, work):
            written += store.bring_up_to_date(files)
            _Cache.written[files.cell] = found[files.cell]
        if REPORT in stale:
            folder = reports / grid.scale
            digest = prefix_digest(
                [
                    prefix_digest([path.name, path.read_bytes().hex()])
                    for path in sorted(folder.rglob("*"))
                    if path.is_file()
                ]
            )
            written += store.report(folder, digest)
            _Cache.written[REPORT] = found[REPORT]
    except Exception as error:  # whatever a store may raise: it must not cost a training anything
        _Cache.store = None
        return Result(
            f"MLflow store {uri} failed: {_first_line(error)}", error=f"MLflow store {uri} failed: {_first_line(error)}"
        )
    temporary = note.with_suffix(".tmp")
    temporary.write_text(json.dumps({"signature": mark}))
    os.replace(temporary, note)
    return Result(f"{written} runs brought up to date in {uri}.", written)


class _Cache:
    """The open store of a watching process, and what it holds of which files: indexing and reading all at every pass
    would cost seconds."""

    store: Store | None = None
    key: tuple[str, int] | None = None
    written: dict[str, str] = {}
    """Marks of what the store says already."""

    @classmethod
    def open(cls, uri: str, grid: Grid) -> Store:
        if cls.store is None or cls.key != (uri, id(grid)):
            cls.store, cls.key, cls.written = Store(uri, grid), (uri, id(grid)), {}
        return cls.store


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextlib.contextmanager
def _sole_tracker(work: Path, wait: bool) -> Iterator[bool]:
    """Holds the place of the only tracker of this project; yields whether it was to be had."""
    with (work / "tracker.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
