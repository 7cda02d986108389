"""(k) What commands take on 2,000 finished runs: seconds and memory, over the same command on a tenth of them.

Copies the project twice to temporary folders, adds seeds until its quick scale has so many runs, and gives each run
made-up files in the format of real ones. Then it times whole commands, start-up included, on the large and the small
project in turn. A ratio of ten means that a command's time grows with the number of runs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Took, compared
from benchmarks.workflow import environment, project
from orderdp.grid import load
from tests.reporting.synthetic import write_runs

KEYS = ("runs", "command", "took_s", "memory_mb")
ORDERDP = (sys.executable, "-m", "orderdp")
COMMANDS: dict[str, tuple[str, ...]] = {
    "report, the first": (*ORDERDP, "report"),
    "track, the first": (*ORDERDP, "track"),
    "track, nothing new": (*ORDERDP, "track"),
    "plan": (*ORDERDP, "plan"),
    "verify": (*ORDERDP, "verify"),
    "gc": (*ORDERDP, "gc"),
    "gc --damaged": (*ORDERDP, "gc", "--damaged"),
    "report --only table2": (*ORDERDP, "report", "--only", "table2"),
    "report --page": (*ORDERDP, "report", "--page"),
    "snakemake -n": ("snakemake", "-n", "--quiet", "all"),
}
ONCE = {"report, the first", "track, the first"}
"""Commands that are measured once, because they find nothing to do the second time."""
DEFAULTS: dict[str, Any] = {"runs": 2000, "repeats": 3, "commands": list(COMMANDS)}
TINY: dict[str, Any] = {"runs": 110, "repeats": 1, "commands": ["report, the first", "verify"]}


def run(runs: int, repeats: int, commands: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row per command."""
    with tempfile.TemporaryDirectory() as scratch:
        large, small = Path(scratch, "large"), Path(scratch, "small")
        for folder, wanted in ((large, runs), (small, runs // 10)):
            folder.mkdir()
            count = project(folder, wanted)
            write_runs(load(folder / "params.yaml"), folder / "runs")
            if folder == large:
                total = count
        for name in commands:
            command, pairs = COMMANDS[name], []
            for _ in range(1 if name in ONCE else repeats):
                (mine, memory_mb), (theirs, _) = measured(command, large), measured(command, small)
                pairs.append((mine, theirs))
            ratios = compared([mine for mine, _ in pairs], [theirs for _, theirs in pairs], goal=10)
            yield {"runs": total, "command": name, "took_s": ratios["seconds"], "memory_mb": memory_mb} | ratios


INSIDE = """
import resource, subprocess, sys, time
began = time.perf_counter()
status = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
took, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
print(status, took, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""Starts a command from a small process, since a process is charged with the memory of the one that it forked from."""


def measured(command: tuple[str, ...], folder: Path) -> tuple[Took, int]:
    """(seconds of a command that must succeed, the most memory that it held, in MB)."""
    env = environment(folder) | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    words = [sys.executable, "-c", INSIDE, shutil.which(command[0], path=env["PATH"]) or command[0], *command[1:]]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=True)
    status, took, cpu, kilobytes = map(float, done.stdout.split())
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {status:.0f} in {folder}")
    return Took(took, cpu), round(kilobytes / 1024)
