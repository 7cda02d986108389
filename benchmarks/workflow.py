"""How planning and a run with nothing to do grow with the number of runs: `python benchmarks/workflow.py [--cells 100 1000 5000]`.

Copies the project to a temporary folder, with seeds added until its quick scale has so many runs, and times whole commands, start-up
included, in turn with the same command on a bare Snakefile of as many jobs, with as many inputs and outputs, that imports nothing of ours.
The ratio says what our own code costs; medians over repeats. "plan" has no bare twin. Nothing is trained: for the run with nothing to do,
empty files stand where results would be.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "workflow.csv"
COLUMNS = ("cells", "command", "seconds", "bare_seconds", "ratio", "repeats", "snakemake", "python", "cores")
OUTPUTS = ("spec.json", "history.csv", "diagnostics.csv", "selection.npz", "summary.json")
BARE = """
CELLS, TABLES = range({cells}), range({tables})


rule all:
    input:
        [f"runs/{{cell}}/summary.json" for cell in CELLS],
        [f"tables/{{table}}.json" for table in TABLES],


rule train:
    output:
        [f"runs/{{{{cell}}}}/{{name}}" for name in {outputs}],
    shell:
        "false"


for table in TABLES:

    rule:
        name:
            f"table_{{table}}"
        input:
            [f"runs/{{cell}}/summary.json" for cell in CELLS],
        output:
            f"tables/{{table}}.json",
        shell:
            "false"
"""


def project(folder: Path, cells: int) -> int:
    """A copy of the project with about so many runs at its quick scale; returns how many, and leaves out what is not planned from."""
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
    scale["seeds"] = list(range(max(1, round(cells / per_seed))))
    return count(folder, params)


def count(folder: Path, params: dict[str, object]) -> int:
    """Writes the parameters, and asks the copy how many runs they mean."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")
    code = "from orderdp import grid; print(len(grid.load().cells))"
    return int(subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(folder), capture_output=True, check=True).stdout)


def environment(folder: Path) -> dict[str, str]:
    """Of the commands: our sources from the folder, no tracker."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "ORDERDP_NO_TRACKING": "1"}


def finish(folder: Path) -> None:
    """Puts an empty file where each output would be, so that nothing is left to do."""
    code = "import json; from orderdp import grid, stamps; g = grid.load(); print(json.dumps([list(g.cells), stamps.stamps(g), stamps.page_stamp(g)]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(folder), capture_output=True, check=True)
    cells, stamps, page = yaml.safe_load(done.stdout)
    paths = [f"runs/{cell}/{name}" for cell in cells for name in OUTPUTS] + ["data/digits/manifest.json"]
    paths += [f"reports/quick/provenance/{name}-{stamp}.json" for name, stamp in [*stamps.items(), ("page", page)]]
    touch(folder, paths)


def touch(folder: Path, paths: list[str]) -> None:
    """Makes empty files."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def timed(command: list[str], folder: Path, says: str) -> float:
    """Wall seconds of a command, which must succeed and say this."""
    t0 = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - t0
    if done.returncode or says not in done.stdout + done.stderr:
        raise SystemExit(f"{' '.join(command)} did not say {says!r}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def measure(cells: int, repeats: int) -> list[dict[str, object]]:
    """Rows of the table for one size."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        ours, bare = Path(scratch, "ours"), Path(scratch, "bare")
        ours.mkdir()
        bare.mkdir()
        real = project(ours, cells)
        (bare / "Snakefile").write_text(BARE.format(cells=real, tables=3, outputs=OUTPUTS))
        dry = ["snakemake", "-n", "--quiet", "all"]
        plan = [sys.executable, "-m", "orderdp", "plan"]

        def add(name: str, mine: list[str], says: str, twin: bool) -> None:
            times = [(timed(mine, ours, says), timed(dry if mine == dry else mine, bare, "") if twin else 0.0) for _ in range(repeats)]
            seconds, other = (statistics.median(column) for column in zip(*times, strict=True))
            row = {"cells": real, "command": name, "seconds": round(seconds, 2), "repeats": repeats}
            rows.append(row | ({"bare_seconds": round(other, 2), "ratio": round(seconds / other, 2)} if twin else {}))

        add("plan", plan, f"{real} to train", False)
        add("dry run, nothing there", dry, "", True)
        finish(ours)
        touch(bare, [f"runs/{cell}/{name}" for cell in range(real) for name in OUTPUTS] + [f"tables/{table}.json" for table in range(3)])
        add("nothing to do", ["snakemake", "--cores", "1"], "Nothing to be done", True)
    return rows


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description="Planning and no-op time over the number of runs.")
    parser.add_argument("--cells", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    version = subprocess.run(["snakemake", "--version"], env=environment(ROOT), capture_output=True, text=True, check=True).stdout.strip()
    machine = {"snakemake": version, "python": sys.version.split()[0], "cores": len(os.sched_getaffinity(0))}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    print("| cells | command | seconds | bare Snakemake | ratio |\n|---:|---|---:|---:|---:|")
    with args.out.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for cells in args.cells:
            for row in measure(cells, args.repeats):
                table.writerow(row | machine)
                file.flush()
                print(f"| {row['cells']:,} | {row['command']} | {row['seconds']} | {row.get('bare_seconds', '')} | {row.get('ratio', '')} |", flush=True)


if __name__ == "__main__":
    main()
