"""Runs jobs in processes that live from job to job, so that imports are paid once. A job that fails, or whose process
crashes, is reported by name, and the others go on."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any

from orderdp.files import is_deliberate
from orderdp.jobs import Execution, Interrupted, Job, from_record
from orderdp.launch.explain_failure import explanation, remedy
from orderdp.launch.gpus import require

SPAWN = multiprocessing.get_context("spawn")
"""New interpreters: a fork of a process that has threads, or that has used a GPU, may hang."""
PATIENCE_S = "900"
"""What `torchrun` leaves its processes to end an epoch and save it after a signal, unless the user says otherwise. Its
own 30 seconds are too few; torch before 2.14 knows no other."""


def run_all(jobs: Sequence[Job], execution: Execution, at_once: int, logs: Path) -> int:
    """Runs jobs, the first ones first.

    Args:
        jobs: none needs another one.
        execution: where and how.
        at_once: processes, each of which runs one job at a time.
        logs: folder for the output of each job, `<job>.log`.

    Returns:
        The exit status of the whole: 0 if all are finished, 1 if some failed, 143 after SIGTERM or SIGINT.
    """
    waiting, failed = deque(jobs), 0
    workers: list[_Worker] = []
    try:
        with _stopped_by_signals() as stopped:
            while True:
                while waiting and len(workers) < at_once and not stopped:
                    workers.append(_Worker(execution, logs))
                for worker in workers:
                    if worker.job is None and waiting and not stopped:
                        worker.start(waiting.popleft())
                busy = [worker for worker in workers if worker.job is not None]
                if not busy:
                    break
                ready = wait([worker.connection for worker in busy], timeout=1)
                if stopped:
                    for worker in busy:
                        worker.stop()
                for worker in busy:
                    if worker.connection in ready:
                        job, status, message = worker.result()
                        failed += status != "finished" and not stopped
                        execution.say(f"{status} {job.name}" + (f": {message}" if message else ""))
                        if not worker.process.is_alive():
                            workers.remove(worker)
    finally:  # also where nothing can be said any more, because the disk of the log is full
        for worker in workers:
            worker.connection.close()  # which ends it
            worker.process.join()
    if stopped:
        execution.say("stopped by a signal. The same command goes on")
        return 143
    if failed:
        execution.say(f"{failed} of {len(jobs)} jobs failed")
    return 1 if failed else 0


def run_on_ranks(jobs: Sequence[Job], gpus: int, options: Sequence[str]) -> int:
    """Runs jobs one after another, each by `torchrun` with a process for every GPU.

    Args:
        jobs: none needs another one.
        gpus: processes of a job.
        options: of `python -m orderdp run`, for these processes.

    Returns:
        As :func:`run_all`.
    """
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(gpus)]
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", PATIENCE_S)
    failed = 0
    with _stopped_by_signals() as stopped:
        for job in jobs:
            process = subprocess.Popen([*torchrun, "-m", "orderdp", "run", job.name, *options])
            while process.poll() is None:
                if stopped:
                    process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
            if stopped:
                return 143
            failed += process.returncode != 0
    return 1 if failed else 0


class _Worker:
    """A process that runs one job after another."""

    def __init__(self, execution: Execution, logs: Path) -> None:
        self.logs = logs
        self.job: Job | None = None
        self.told_to_stop = False
        self.connection, other = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_work, args=(other, execution, logs))
        self.process.start()
        other.close()  # so that the end of the process ends the connection

    def start(self, job: Job) -> None:
        self.job = job
        self.connection.send(job.record())

    def stop(self) -> None:
        """Lets its job save its state and end. A second signal would kill it before it says that it has."""
        if self.told_to_stop:
            return
        self.told_to_stop = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, signal.SIGTERM)

    def result(self) -> tuple[Job, str, str]:
        """How its job ended: (job, "finished", "failed" or "interrupted", why). Of a process that crashed the signal
        tells why."""
        assert self.job is not None
        job, self.job = self.job, None
        try:
            return job, *self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode or 0
            status = 128 - code if code < 0 else code
            return job, "failed", explanation(status, job.name, str(self.logs / f"{job.name}.log"))


def _work(connection: Connection, execution: Execution, logs: Path) -> None:
    """The life of a worker: jobs come as records, and how they ended goes back."""
    while True:
        try:
            record = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        log = logs / f"{record['name']}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        faulthandler.enable()  # a crash of compiled code leaves a traceback in the log
        connection.send(_run(record, execution, log))


def _run(record: dict[str, Any], execution: Execution, log: Path) -> tuple[str, str]:
    try:
        require(execution.device)
        from_record(record).run(execution)
        return "finished", ""
    except Interrupted as error:
        return "interrupted", str(error)
    except KeyboardInterrupt:  # from the terminal, before the job could note it
        return "interrupted", "stopped by a signal. The same command goes on"
    except Exception as error:
        if (text := remedy(error)) is not None:
            print(text, file=sys.stderr, flush=True)
            return "failed", text
        if is_deliberate(error):
            print(error, file=sys.stderr, flush=True)
        else:
            traceback.print_exc()
            sys.stderr.flush()
        return "failed", f"{error or type(error).__name__}. Its output is in {log}."


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """A list that holds the number of each SIGTERM and SIGINT that has arrived."""
    numbers: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        numbers.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield numbers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
