"""`python -m benchmarks [name ...]`: measures, and writes `results/<kind of CPU>/<name>.csv`, `.png` and `.pdf`.
Without names, all of them."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import torch

from benchmarks.figures import FIGURES
from benchmarks.measuring import MACHINE, MEASURED, hide_unused_bf16, kind_of_cpu, machine
from benchmarks.summary import write_summary
from benchmarks.workload import allocate_as_usual
from orderdp.files import write_rows
from orderdp.reporting import style

RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> None:
    """Measures the chosen benchmarks; each benchmark's rows are printed as they come and written at its end."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed and memory, as ratios measured in one process."
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(FIGURES)}; all when none is given")
    parser.add_argument(
        "--options",
        type=json.loads,
        default={},
        metavar="JSON",
        help="""instead of a benchmark's own, as '{"repeats": 3}'""",
    )
    parser.add_argument(
        "--tiny", action="store_true", help="the smallest setting: shows that it runs, measures nothing"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    if unknown := sorted(set(args.names) - set(FIGURES)):
        parser.error(f"no benchmark is called {', '.join(unknown)}. Known: {', '.join(FIGURES)}.")
    torch.set_num_threads(args.threads)
    hide_unused_bf16()
    named = args.names or [name for name in FIGURES if name != "gpu" or args.tiny or torch.cuda.is_available()]
    for name in named:
        module = import_module(f"benchmarks.{name}")
        settings = {**module.DEFAULTS, **(module.TINY if args.tiny else {}), **args.options}
        if unknown := sorted(set(settings) - set(module.DEFAULTS)):
            parser.error(f"'{name}' has no option {', '.join(unknown)}. Known: {', '.join(module.DEFAULTS)}.")
        write(name, module, settings, args.out / kind_of_cpu())
        write_summary(args.out, list(FIGURES))


def write(name: str, module: ModuleType, settings: dict[str, Any], out: Path) -> None:
    """Runs one benchmark, and leaves its table and figure."""
    print(f"{name} {json.dumps(settings)}", flush=True)
    allocate_as_usual()
    where, rows = machine(), []
    for row in module.run(**settings):
        rows.append({**row, **where})
        print("  " + ", ".join(f"{key} {value}" for key, value in row.items() if value is not None), flush=True)
        columns = [*module.KEYS, *(column for column in MEASURED if any(column in row for row in rows)), *MACHINE]
        write_rows(
            out / f"{name}.csv", columns, rows
        )  # after each, so that a benchmark that is cut off leaves what it measured
    style.save(FIGURES[name](pd.read_csv(out / f"{name}.csv")), out / name)


if __name__ == "__main__":
    main()
