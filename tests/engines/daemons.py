"""Programs that run beside a test, on ports that nobody uses."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))])
"""Debian keeps servers where only root looks."""


def until(true: Callable[[], object], what: str, timeout_s: float = 60) -> None:
    """Waits for something."""
    ends = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < ends, f"{what} did not happen within {timeout_s:.0f} s"
        time.sleep(0.3)


@contextlib.contextmanager
def daemon(
    folder: Path, *words: str, user: int | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the end of the block. What it says is in the folder."""
    with (folder / f"{Path(words[0]).name}.out").open("ab") as output:
        process = subprocess.Popen(
            words, env={**os.environ, "PATH": PATH, **(environment or {})}, stdout=output, stderr=output, user=user
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    """Whether somebody takes connections at a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_ports(count: int) -> list[int]:
    """Numbers of ports that nobody uses."""
    with contextlib.ExitStack() as taken:
        sockets = [taken.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
