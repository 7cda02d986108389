"""(h) Processor time of Snakemake's main process, over the same without our start hook.

Runs a workflow of short jobs with `workflow/rules/rate_limit.smk`, as the project does, and with Snakemake's default
limit of jobs a second, under which every pass of the scheduler leaves a timer behind. The seconds are processor time of
the main process alone, not of its jobs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import Took, compared, rounded
from benchmarks.workflow import ROOT, environment

KEYS = ("jobs", "job_s", "cpu_s_per_100_jobs", "most_threads", "reference_cpu_s_per_100_jobs", "reference_most_threads")
DEFAULTS: dict[str, Any] = {"jobs": 300, "job_s": 1.0, "repeats": 1}
TINY: dict[str, Any] = {"jobs": 4, "job_s": 0.1, "repeats": 1}
RULES = """
rule all:
    input:
        [f"out/{{n}}" for n in range({jobs})],


rule job:
    output:
        "out/{{n}}",
    shell:
        "sleep {job_s}; touch {{output}}"
"""
HOOK = f"""
include: "{ROOT / "workflow/rules/rate_limit.smk"}"


onstart:
    drop_default_rate_limit()
"""


def main_process(snakefile: str) -> tuple[float, int]:
    """Processor seconds of the main process of a run, and the most threads that it had."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "Snakefile").write_text(snakefile)
        command = ["snakemake", "--cores", "2", "--scheduler", "greedy"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=folder, env=environment(ROOT), **quiet)
        seconds, threads = 0.0, 0
        while process.poll() is None:
            # Fields 14, 15 and 20 of proc(5)'s stat, counted behind the command's name.
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            threads = max(threads, int(fields[17]))
            time.sleep(0.05)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed")
        return seconds, threads


def run(jobs: int, job_s: float, repeats: int) -> Iterator[dict[str, Any]]:
    """One row."""
    rules = RULES.format(jobs=jobs, job_s=job_s)
    pairs = [(main_process(HOOK + rules), main_process(rules)) for _ in range(repeats)]
    row: dict[str, Any] = {"jobs": jobs, "job_s": job_s}
    taken = {}
    for name, runs in (("", [ours for ours, _ in pairs]), ("reference_", [plain for _, plain in pairs])):
        seconds = statistics.median(seconds for seconds, _ in runs)
        row |= {
            f"{name}cpu_s_per_100_jobs": rounded(100 * seconds / jobs),
            f"{name}most_threads": max(threads for _, threads in runs),
        }
        taken[name] = [Took(seconds, seconds) for seconds, _ in runs]
    yield row | compared(taken[""], taken["reference_"])
