"""(f) How planning, and a call with nothing to do, grow with the number of runs, over bare Snakemake.

Copies the project to a temporary folder, adds seeds until its quick scale has so many runs, and times whole commands,
start-up included. In turn with each it times the same command (for "plan": a dry run) on a bare Snakefile that imports
nothing of ours and has a Snakemake job of four files for every run. Ours puts missing runs into bundles instead, so the
ratio says what our code costs and what bundles save. Nothing is trained: for the call with nothing to do, the summaries
of the runs and the records of the reports are empty files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring import Took, compared
from orderdp.jobs import finished

ROOT = Path(__file__).parents[1]
KEYS = ("runs", "command")
DEFAULTS: dict[str, Any] = {"runs": [100, 1000, 5000], "repeats": 3}
TINY: dict[str, Any] = {"runs": [11], "repeats": 1}
OUTPUTS = ("spec.json", "history.csv", "selection.npz", "summary.json")
BARE = """
RUNS, TABLES = range({runs}), range({tables})


rule all:
    input:
        [f"runs/{{run}}/summary.json" for run in RUNS],
        [f"tables/{{table}}.json" for table in TABLES],


rule train:
    output:
        [f"runs/{{{{run}}}}/{{name}}" for name in {outputs}],
    shell:
        "false"


for table in TABLES:

    rule:
        name:
            f"table_{{table}}"
        input:
            [f"runs/{{run}}/summary.json" for run in RUNS],
        output:
            f"tables/{{table}}.json",
        shell:
            "false"
"""


def project(folder: Path, runs: int) -> int:
    """A copy of the project with about so many runs at its quick scale; returns how many, and leaves out what is not
    planned from."""
    for part in ("Snakefile", "workflow", "profiles", "orderdp", "params.yaml"):
        source = ROOT / part
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / part, ignore=ignore) if source.is_dir() else shutil.copy(source, folder / part)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    names = ("table2", "figure3", "figure4")  # they share runs, as the real ones do
    params["experiments"] = {name: params["experiments"][name] for name in names}
    scale = params["scales"]["quick"]
    for entry in params["scales"].values():
        entry["experiments"] = {}
    scale["seeds"] = [0]
    per_seed = count(folder, params)
    scale["seeds"] = list(range(max(1, round(runs / per_seed))))
    return count(folder, params)


def count(folder: Path, params: dict[str, object]) -> int:
    """Writes the parameters, and asks the copy how many runs they mean."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")
    code = "from orderdp import grid; print(len(grid.load().runs))"
    return int(
        subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment(folder), capture_output=True, check=True
        ).stdout
    )


def environment(folder: Path) -> dict[str, str]:
    """Of the commands: our sources from the folder, no tracker."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "ORDERDP_NO_TRACKING": "1"}


def finish(folder: Path) -> None:
    """Puts a summary without results into each job's folder, and an empty file where the record of each report would
    be, so that nothing is left to do."""
    code = (
        "import json; from orderdp import grid; from orderdp.grid.report_fingerprint import *; g = grid.load(); "
        "print(json.dumps([list(g.jobs), fingerprints(g) | {'page': page_fingerprint(g)}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(folder), capture_output=True, check=True
    )
    jobs, records = json.loads(done.stdout)
    for job in jobs:
        finished.finish(folder / "runs" / job, {"job": job, "status": "finished"})
    touch(folder, [f"reports/quick/provenance/{name}-{mark}.json" for name, mark in records.items()])


def touch(folder: Path, paths: list[str]) -> None:
    """Makes empty files."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def timed(command: list[str], folder: Path, says: str = "") -> Took:
    """Seconds of a command, its children's processor time among them; it must succeed and say this."""
    t0, before = time.perf_counter(), os.times()
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    wall, after = time.perf_counter() - t0, os.times()
    if done.returncode or says not in done.stdout + done.stderr:
        raise SystemExit(f"{' '.join(command)} did not say {says!r}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Took(wall, after.children_user + after.children_system - before.children_user - before.children_system)


def run(runs: Sequence[int], repeats: int) -> Iterator[dict[str, Any]]:
    """Three rows per number of runs."""
    for wanted in runs:
        with tempfile.TemporaryDirectory() as scratch:
            yield from measure(wanted, repeats, Path(scratch))


def measure(wanted: int, repeats: int, scratch: Path) -> Iterator[dict[str, Any]]:
    """The rows of about so many runs."""
    ours, bare = scratch / "ours", scratch / "bare"
    ours.mkdir()
    bare.mkdir()
    runs = project(ours, wanted)
    (bare / "Snakefile").write_text(BARE.format(runs=runs, tables=3, outputs=OUTPUTS))
    dry, nothing = ["snakemake", "-n", "--quiet", "all"], ["snakemake", "--cores", "1"]
    plan = [sys.executable, "-m", "orderdp", "plan"]

    def row(name: str, mine: list[str], theirs: list[str], says: str = "") -> dict[str, Any]:
        pairs = [(timed(mine, ours, says), timed(theirs, bare)) for _ in range(repeats)]
        return {"runs": runs, "command": name} | compared([a for a, _ in pairs], [b for _, b in pairs])

    yield row("plan", plan, dry, f"{runs} to train")
    yield row("dry run, nothing there", dry, dry)
    finish(ours)
    touch(
        bare,
        [f"runs/{run}/{name}" for run in range(runs) for name in OUTPUTS]
        + [f"tables/{table}.json" for table in range(3)],
    )
    yield row("nothing to do", nothing, nothing, "Nothing to be done")
