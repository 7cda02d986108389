"""What Snakemake itself costs, and how many jobs it starts at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import ROOT

RULES = """
rule all:
    input:
        expand("out/{n}", n=range(16)),

rule shared:
    output:
        "shared/{k}"
    priority: 1
    threads: THREADS
    shell:
        "python job.py {output}"

# Fails at its first try, as a job does that is killed.
rule work:
    input:
        lambda w: f"shared/{int(w.n) % 3}",
    output:
        "out/{n}",
    threads: THREADS
    resources:
        mem_mb=lambda w, attempt: 100 * attempt,
    shell:
        "python job.py {output} --fail-once"
"""
JOB = """
import sys, time
from pathlib import Path
start = time.time()
time.sleep(0.2)
first = not Path("tried", sys.argv[1].replace("/", "-")).exists()
Path("tried", sys.argv[1].replace("/", "-")).touch()
Path("times").open("a").write(f"{start} {time.time()}\\n")
if sys.argv[2:] and first and sys.argv[1].endswith("5"):
    sys.exit(1)
Path(sys.argv[1]).touch()
"""


def most_at_once(spans: list[tuple[float, float]]) -> int:
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def workflow(folder: Path, threads: int) -> Path:
    """A small workflow with our profile and our start hook."""
    shutil.copytree(ROOT / "profiles", folder / "profiles", dirs_exist_ok=True)
    start = f"include: '{ROOT / 'workflow/rules/rate_limit.smk'}'\nonstart:\n    drop_default_rate_limit()\n"
    (folder / "Snakefile").write_text(start + RULES.replace("THREADS", str(threads)))
    (folder / "job.py").write_text(JOB)
    (folder / "tried").mkdir()
    return folder


def spans_of(folder: Path) -> list[tuple[float, float]]:
    return [(float(start), float(end)) for start, end in map(str.split, (folder / "times").read_text().splitlines())]


@pytest.mark.parametrize(("threads", "at_once"), [(1, 2), (2, 1)])
def test_jobs_never_need_more_cores_than_there_are(tmp_path, threads, at_once):
    """Snakemake's issue 3913: its greedy scheduler started more. With jobs that fail, are tried again, and wait for
    each other."""
    folder = workflow(tmp_path, threads)
    done = subprocess.run([snakemake(), "--cores", "2"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(spans_of(folder)) == 3 + 16 + 2
    assert most_at_once(spans_of(folder)) == at_once


def test_trainings_of_the_real_workflow_never_need_more_cores_than_there_are(finished):
    summaries = [json.loads(path.read_text()) for path in finished.folder.glob("runs/*/summary.json")]
    spans = [(summary["started"], summary["ended"]) for summary in summaries if "started" in summary]
    assert len(spans) >= 4
    assert most_at_once(spans) <= 2


def test_the_main_process_has_few_threads(tmp_path):
    """With the default limit of jobs a second there is one more after every pass of the scheduler."""
    folder = workflow(tmp_path, 1)
    running = subprocess.Popen(
        [snakemake(), "--cores", "2"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    most = 0
    while running.poll() is None:
        status = Path(f"/proc/{running.pid}/task")
        most = max(most, len(list(status.iterdir())) if status.exists() else 0)
        time.sleep(0.02)
    assert running.returncode == 0
    assert 0 < most < 12


def snakemake() -> str:
    return str(Path(sys.executable).with_name("snakemake"))
