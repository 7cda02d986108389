"""Time and memory of every coreset method at CIFAR's size: `python benchmarks/coresets.py [--n 50000] [--classes 10
100] [--methods ...]`.

Each method selects 30 % of made-up outputs, class by class, in a separate process. "seconds" is `select` alone, with
the outputs in memory; "peak" is how much the process grew meanwhile at most, on top of the outputs. What a proxy run
costs is not in it, and so neither is DeepFool's search, of which the method only ranks the result. The table is
printed, and written as CSV.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from orderdp.coresets import CORESETS, ProxyOutputs, select

RESULTS = Path(__file__).parent / "results" / torch.backends.cpu.get_cpu_capability().lower() / "coresets.csv"
COLUMNS = (
    "method", "classes", "n", "features", "kept", "balanced", "threads", "seconds", "peak_mib", "evidence_mib", "torch",
    "error", "machine",
)  # fmt: skip


def made_up(
    n: int, classes: int, features: int, needs: tuple[str, ...], *, epochs: int = 10, models: int = 2
) -> ProxyOutputs:
    """Classes that a linear layer tells apart with few mistakes, and probabilities between a guess and certainty."""
    g = torch.Generator().manual_seed(0)
    centers = torch.randn(classes, features, generator=g)
    head = 8 / features**0.5 * torch.randn(classes, features, generator=g) / 10 + centers / 20

    def outputs(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.randn(len(labels), features, generator=g).mul_(0.7).add_(centers[labels], alpha=0.3).relu_()
        return hidden @ head.T, hidden

    labels, held_out = (torch.randint(classes, (size,), generator=g) for size in (n, n // 10))
    logits, hidden = outputs(labels)
    validation_logits, validation_hidden = outputs(held_out)
    losses = torch.rand(epochs, n, generator=g) * 3
    fields = {
        "logits": logits.unsqueeze(0),
        "features": hidden,
        "correct": losses < 1.5,
        "losses": losses,
        "early_logits": logits.repeat(models, 1, 1) / 4,
        "early_norms": hidden.norm(dim=1).repeat(models, 1),
        "validation_logits": validation_logits,
        "validation_features": validation_hidden,
        "validation_labels": held_out,
        "perturbation": torch.rand(n, generator=g),
    }
    return ProxyOutputs(labels, classes, **{name: fields[name] for name in needs})


def one(
    method: str, n: int, classes: int, features: int, keep: float, balanced: bool, threads: int
) -> dict[str, object]:
    """A row of the table, measured in this process."""
    torch.set_num_threads(threads)
    outputs = made_up(n, classes, features, CORESETS[method].method.needs)  # type: ignore[attr-defined]
    size = sum(value.nbytes for value in vars(outputs).values() if isinstance(value, torch.Tensor))
    before = resident_mib(forget_peak=True)
    t0 = time.perf_counter()
    select(method, outputs, [round(keep * n)], np.random.default_rng(0), balance=balanced)
    seconds = time.perf_counter() - t0
    return {
        "seconds": round(seconds, 2),
        "peak_mib": round(resident_mib() - before),
        "evidence_mib": round(size / 2**20),
    }


def resident_mib(*, forget_peak: bool = False) -> float:
    """The largest resident size so far; with `forget_peak` the present one, and the largest is counted again from
    there where Linux allows it."""
    if forget_peak:
        with contextlib.suppress(OSError):  # elsewhere a peak below that of making the outputs stays unseen
            Path("/proc/self/clear_refs").write_text("5")
    try:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def apart(method: str, classes: int, args: argparse.Namespace) -> dict[str, object]:
    """A row of the table, measured in a separate process."""
    options = {
        "n": args.n,
        "features": args.features,
        "keep": args.keep,
        "balanced": not args.unbalanced,
        "threads": args.threads,
    }
    head = {
        "method": method,
        "classes": classes,
        "kept": round(args.keep * args.n),
        "torch": torch.__version__,
        "machine": args.machine,
    }
    row = {**head, **options}
    command = [sys.executable, __file__, "--one", json.dumps({"method": method, "classes": classes, **options})]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout)
    except subprocess.TimeoutExpired:
        return {**row, "error": f"stopped after {args.timeout:g} s"}
    if done.returncode:
        return {**row, "error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    return {**row, **json.loads(done.stdout)}


def machine() -> str:
    """Processor and number of cores."""
    name = str(torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine())
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name}, {os.cpu_count()} cores"


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description="Time and memory of every coreset method.")
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--keep", type=float, default=0.3)
    parser.add_argument("--methods", nargs="+", choices=CORESETS, default=list(CORESETS))
    parser.add_argument("--unbalanced", action="store_true", help="from all samples at once instead of class by class")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds for each method")
    parser.add_argument("--machine", default=machine(), help="what the results call this machine")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(**args.one)))
        return
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        table.writeheader()
        for classes in args.classes:
            print(
                f"\nn = {args.n:,}, {classes} classes, {args.threads} threads\n\n"
                "| method | seconds | peak, MiB |\n|---|---:|---:|"
            )
            for method in args.methods:
                row = apart(method, classes, args)
                table.writerow(row)
                file.flush()
                print(f"| {method} | {row.get('seconds', '')} | {row.get('peak_mib', row.get('error'))} |", flush=True)


if __name__ == "__main__":
    main()
