"""Runs a trial by the workflow, and shows how far it is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

import orderdp
from orderdp.jobs import is_finished
from orderdp.trial.project import SCALE

LOG = Path("logs/trial.log")
WIDTH = 30
EVERY_S = 0.5
QUIET_S = 30.0
"""Between two lines where no terminal shows a bar."""


class Failed(RuntimeError):
    """Runs of a trial failed."""


def run(folder: Path, seconds: Mapping[str, float], cores: int, options: list[str], out: IO[str]) -> None:
    """Trains what is missing, with a bar of the progress.

    A trial that was killed leaves its Snakemake at work; then this one follows it and does the rest.

    Args:
        folder: of the trial.
        seconds: run -> estimated duration, of all runs.
        cores: processors.
        options: of Snakemake, further ones.
        out: where the bar is shown.

    Raises:
        Failed: runs failed; the log says which.
        KeyboardInterrupt: stopped by a signal.
    """
    bar = _Bar(folder, seconds, out)
    lock = FileLock(folder / f".work/snakemake-{SCALE}.lock")  # as the Snakefile names it
    (folder / ".work").mkdir(exist_ok=True)
    told = False
    while True:
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            break
        if not told:
            bar.line("The workflow of an earlier call is at work. This one follows it")
        told = True
        bar.show()
        time.sleep(EVERY_S)
    if all(is_finished(folder / "runs", name) for name in seconds):
        if told:
            bar.show(end=True)
        return
    # The installed package, or the checkout that this one was started from.
    path = os.pathsep.join(filter(None, (str(Path(orderdp.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "snakemake", "runs", "--cores", str(cores), "--quiet", "all", *options]
    (folder / LOG).parent.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("ab") as log:
        environment = os.environ | {"PYTHONPATH": path, "ORDERDP_NO_TRACKING": "1"}
        # A terminal sends its signals to Snakemake, too, which lets the runs save their states.
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            while process.poll() is None:
                bar.show()
                time.sleep(EVERY_S)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    bar.show(end=True)
    if process.returncode:
        failed = [name for name in seconds if not is_finished(folder / "runs", name)]
        raise Failed(
            f"{len(failed)} of {len(seconds)} runs are not finished, {failed[0]} for one. {folder / LOG} says why. The"
            " same command goes on."
        )


class _Bar:
    """How much of the estimated time of all runs is done."""

    def __init__(self, folder: Path, seconds: Mapping[str, float], out: IO[str]) -> None:
        self.folder, self.seconds, self.out = folder, seconds, out
        self.total = sum(seconds.values())
        self.began, self.before = time.monotonic(), self._done()[0]
        self.told = -QUIET_S
        self.live = out.isatty()

    def _done(self) -> tuple[float, int]:
        """Estimated seconds of what is done, and how many runs are finished."""
        done, finished = 0.0, 0
        for name, seconds in self.seconds.items():
            if is_finished(self.folder / "runs", name):
                done, finished = done + seconds, finished + 1
                continue
            with contextlib.suppress(OSError, ValueError, KeyError, ZeroDivisionError):
                status = json.loads((self.folder / ".work" / name / "status.json").read_text(encoding="utf-8"))
                done += seconds * status["epoch"] / status["epochs"]
        return done, finished

    def show(self, end: bool = False) -> None:
        passed = time.monotonic() - self.began
        if not self.live and not end and passed - self.told < QUIET_S:
            return
        self.told = passed
        done, finished = self._done()
        share = done / self.total
        filled = int(WIDTH * share)
        words = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {100 * share:3.0f} %, {finished} of {len(self.seconds)} runs"
        if done > self.before and not end:
            left = passed * (self.total - done) / (done - self.before)
            words += f", about {duration(left)} left"
        self.out.write(f"\r{words:<{WIDTH + 50}}" + ("\n" if end else "") if self.live else words + "\n")
        self.out.flush()

    def line(self, text: str) -> None:
        self.out.write(f"{text}\n")
        self.out.flush()


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
