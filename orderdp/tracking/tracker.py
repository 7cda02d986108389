"""One pass from the files to MLflow, and the loop that repeats it while runs train."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from orderdp.files import write_json
from orderdp.grid import Grid
from orderdp.jobs.finished import DamagedRun
from orderdp.tracking.files import REPORT, alive, file_states, read_runs, rows_checksum, state_checksum
from orderdp.tracking.store import Store, local_uri, shown, store_uri, without_secrets


@dataclass(frozen=True)
class Result:
    """What a pass did."""

    text: str
    written: int = 0
    error: str | None = None


def track(grid: Grid, *, runs: Path, work: Path, reports: Path, look: bool = True) -> Result:
    """Brings MLflow up to date, in the place of a watcher, which goes on afterwards.

    Args:
        grid: the scale to track.
        runs: finished runs.
        work: runs in training.
        reports: folder of the scales' reports.
        look: look into the store, too, for what the UI has deleted; else only at the files that have changed.

    Returns:
        What was done; a store that is away is an error in it, not an exception.
    """
    work.mkdir(parents=True, exist_ok=True)
    stop = work / "tracker.stop"
    stop.touch()
    with _sole_tracker(work, wait=True):
        try:
            if look:
                (work / f"tracked-{grid.scale}.json").unlink(missing_ok=True)
                _Cache.store = None
            return _pass(grid, runs, work, reports)
        finally:
            stop.unlink(missing_ok=True)


def watch(grid: Grid, *, runs: Path, work: Path, reports: Path, parent: int | None, interval_s: float = 2.0) -> None:
    """Repeats passes until the parent process is gone, and gives way to other trackers; never raises.

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
    stop, pause, warned = work / "tracker.stop", interval_s, False
    child = os.getppid() == parent

    def parent_is_there() -> bool:
        # A parent that has ended but has not been waited for still has its number. Its children have another parent.
        return os.getppid() == parent if child else alive(parent)

    while True:
        with _sole_tracker(work, wait=False) as alone:
            last = not parent_is_there()
            result = _pass(grid, runs, work, reports) if alone else Result("")
            if result.error is None:
                pause = interval_s
            else:
                pause = min(2 * pause, 60)
                if not warned:
                    print(
                        f"orderdp track: {result.error}. Training goes on; a later pass catches up.",
                        file=sys.stderr,
                        flush=True,
                    )
                    warned = True
        if last:
            return
        ends = time.monotonic() + pause
        while time.monotonic() < ends and parent_is_there():
            time.sleep(min(0.2, interval_s))
        wait_until = time.monotonic() + 60
        while stop.exists() and parent_is_there() and time.monotonic() < wait_until:  # another tracker is at work
            time.sleep(min(0.2, interval_s))


def _pass(grid: Grid, runs: Path, work: Path, reports: Path) -> Result:
    uri, note = store_uri(), work / f"tracked-{grid.scale}.json"
    states = file_states(grid, runs, work, reports)
    now = state_checksum(grid, uri, states)
    gone = uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()
    with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
        if not gone and json.loads(note.read_text()).get("state") == now:
            return Result("MLflow is up to date.")
    if gone:
        _Cache.store = None
    try:
        mark = "local" if uri == local_uri() else checkout_mark(work)
        store, written, damaged = _Cache.open(uri, grid, mark), 0, list[str]()
        stale = [name for name, state in states.items() if _Cache.written.get(name) != state]
        for name in stale:
            try:
                for files in read_runs([name] if name != REPORT else [], runs, work):
                    written += store.bring_up_to_date(files)
                    _Cache.written[name] = states[name]
            except DamagedRun as error:
                damaged.append(str(error))
        if REPORT in stale:
            folder = reports / grid.scale
            written_files = (path for path in sorted(folder.rglob("*")) if path.is_file())
            checksums = [rows_checksum([path.name, path.read_bytes().hex()]) for path in written_files]
            written += store.report(folder, rows_checksum(checksums))
            _Cache.written[REPORT] = states[REPORT]
    except Exception as error:  # whatever a store may raise: it must not cost a training anything
        _Cache.store = None
        text = f"MLflow store {shown(uri)} failed: {without_secrets(_first_line(error), uri)}"
        return Result(text, error=text)
    if damaged:
        text = f"{written} runs brought up to date in {shown(uri)}. Left out: {' '.join(damaged)}"
        return Result(text, written, error=text)
    temporary = note.with_suffix(".tmp")
    temporary.write_text(json.dumps({"state": now}))
    os.replace(temporary, note)
    return Result(
        f"{written} runs brought up to date in {shown(uri)}." if written else "MLflow is up to date.", written
    )


def checkout_mark(work: Path) -> str:
    """A random mark of this project folder, kept in it. A copy of the folder, or a folder that was moved, gets another
    one: on a server that both use, neither touches the other's runs."""
    path, here = work / "checkout.json", str(work.resolve())
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        stored = json.loads(path.read_text())
        if stored["folder"] == here:
            return str(stored["mark"])
    mark = uuid.uuid4().hex[:12]
    write_json(path, {"mark": mark, "folder": here})
    return mark


class _Cache:
    """The open store of a watching process, and what it holds of which files: indexing and reading all at every pass
    would cost seconds."""

    store: Store | None = None
    key: tuple[str, int] | None = None
    written: dict[str, str] = {}
    """Marks of what the store says already."""

    @classmethod
    def open(cls, uri: str, grid: Grid, checkout: str) -> Store:
        if cls.store is None or cls.key != (uri, id(grid)):
            cls.store, cls.key, cls.written = Store(uri, grid, checkout), (uri, id(grid)), {}
        return cls.store


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextlib.contextmanager
def _sole_tracker(work: Path, wait: bool) -> Iterator[bool]:
    """Holds the place of the only tracker of this project; yields whether it could be had."""
    lock = FileLock(work / "tracker.lock", timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
