"""Writing files so that they appear whole or not at all, and one owner per folder."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any


def write(path: Path, fill: Callable[[IO[bytes]], None]) -> None:
    """Writes a file under a temporary name beside it and renames it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            fill(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a mapping as indented JSON; NaN and infinity become null."""
    text = json.dumps(_finite(value), indent=1, allow_nan=False) + "\n"
    write(path, lambda file: _put(file, text.encode()))


def _put(file: IO[bytes], content: bytes) -> None:
    file.write(content)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows of numbers; floats to the last digit, so that reading gives back the same bits. A missing value is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write(path, lambda file: _put(file, text.getvalue().encode()))


@contextlib.contextmanager
def owned(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds a folder for this process alone; waits while another one has it.

    The lock lives in the kernel, so a killed owner leaves none behind.

    Args:
        folder: made if missing.
        waiting: called once if another process owns it.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "lock"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The former owner may have removed the folder when it finished: then this lock is on a file that is gone.
            if not path.exists() or os.fstat(descriptor).st_ino != path.stat().st_ino:
                continue
            yield
            return
        finally:
            os.close(descriptor)
