"""Commands and jobs in processes that can be killed. They are forks of one process that has imported torch and MLflow
once, so that a fault costs less than a second."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

FORK = multiprocessing.get_context("forkserver")
SLOW_IMPORTS = [
    "orderdp.jobs.trainer", "orderdp.reporting.artifacts", "torch._dynamo", "sklearn.datasets", "mlflow",
    "mlflow.store.tracking.sqlalchemy_store", "scipy.stats",
]  # fmt: skip
FORK.set_forkserver_preload([*SLOW_IMPORTS, __name__])


class Child:
    """A process at work in a project's folder.

    Args:
        folder: of the project.
        task: a function of a module, which gives the exit status.
        arguments: of the task.
        log: folder for what it says; the one that holds the project's folder unless given.
        prepare: called first, with nothing: limits, other users.
    """

    def __init__(
        self,
        folder: Path,
        task: Callable[..., int],
        *arguments: Any,
        log: Path | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.log = (log or folder.parent) / f"{os.getpid()}-{time.monotonic_ns()}.log"
        self.process: ForkServerProcess = FORK.Process(
            target=_begin, args=(folder, self.log, prepare, task, *arguments)
        )
        self.process.start()

    def end(self, timeout: float = 300) -> tuple[int, str]:
        """Waits; (exit status, as a shell gives it; what it said)."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            output = self.log.read_text(errors="replace")
            return 1, f"{output}\nTraceback (most recent call last): none, but it did not end within {timeout} s"
        code = self.process.exitcode
        output = self.log.read_text(errors="replace") if self.log.exists() else ""
        self.log.unlink(missing_ok=True)
        return (128 - code if code < 0 else code), output

    def kill(self, number: signal.Signals, after_s: float) -> None:
        """Sends a signal after a while, if it has not ended by then."""
        self.process.join(after_s)
        if self.process.exitcode is None:
            os.kill(self.process.pid or 0, number)


def _begin(
    folder: Path, log: Path, prepare: Callable[[], None] | None, task: Callable[..., int], *arguments: Any
) -> None:
    os.chdir(folder)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if prepare is not None:
        prepare()
    status = task(*arguments)
    sys.stdout.flush()
    os._exit(status)


def command(*words: str) -> int:
    """`python -m orderdp WORDS`."""
    from orderdp.__main__ import main

    try:
        return main(list(words))
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1


def job(record: dict[str, Any], threads: int = 1) -> int:
    """A job of the grid, as a bundle runs it. A training saves its state after every epoch."""
    from orderdp.jobs import Execution, trainer
    from orderdp.launch.pool import _run

    trainer.train.__defaults__ = (0.0, None)
    status, message = _run(record, Execution(threads=threads), Path("log"))
    print(f"{status}: {message}", file=sys.stderr, flush=True)
    return 0 if status == "finished" else 1
