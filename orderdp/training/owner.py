"""One owner per folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


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
