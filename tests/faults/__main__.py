"""`python -m tests.faults [FAMILY...]`: faults on projects that are made for them; ends with what came of them."""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import clocks, disks, files, hostile, kills, servers, together
from tests.faults.count import Count, inject
from tests.faults.undisturbed import make

FAMILIES = {
    module.__name__.rpartition(".")[2]: module.faults
    for module in (kills, files, disks, together, servers, hostile, clocks)
}
"""The longest first, so that all processes end at about the same time."""

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "ORDERDP_NO_TRACKING": "1",
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
}  # fmt: skip
"""As in the workflow, whose tracker runs only where a fault is about it."""


def main() -> int:
    """Injects the faults of the named families, all unless named; several families in processes of their own."""
    arguments = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    arguments.add_argument("families", nargs="*", choices=[*FAMILIES, []], metavar="FAMILY", help=", ".join(FAMILIES))
    arguments.add_argument("--most", type=int, help="a random part of each family, of this size")
    arguments.add_argument("--seed", type=int, default=0, help="of the moments and of the part")
    arguments.add_argument("--folder", type=Path, help="where the project is made, and stays for the next time")
    arguments.add_argument("--match", default="", help="only faults whose name has this in it")
    arguments.add_argument("--verbose", action="store_true", help="name each fault and what it took")
    args = arguments.parse_args()
    families = args.families or [*FAMILIES]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        count = of_family(*families, folder, args) if len(families) == 1 else side_by_side(families, folder, args)
    print(count)
    return bool(count.lost or count.tracebacks)


def of_family(family: str, folder: Path, args: argparse.Namespace) -> Count:
    """Injects the faults of a family in this process."""
    os.environ |= ENVIRONMENT
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    began, count, undisturbed = time.monotonic(), Count(), make(folder)
    chosen = [fault for fault in FAMILIES[family](undisturbed) if args.match in fault.name]
    inject(chosen, count, undisturbed.restore, args.most, args.seed, args.verbose)
    print(f"{family}: {count.injected} faults in {time.monotonic() - began:.0f} s", flush=True)
    return count


def side_by_side(families: list[str], folder: Path, args: argparse.Namespace) -> Count:
    """Injects the faults of each family in a process; one process more than there are cores, since many faults wait."""
    options = ["--seed", str(args.seed), "--match", args.match, *["--verbose"] * args.verbose]
    options += ["--most", str(args.most)] if args.most is not None else []
    at_once = len(os.sched_getaffinity(0)) + 1
    places = queue.SimpleQueue[Path]()
    for number in range(at_once):
        places.put(folder / str(number))

    def inject_in_process(family: str) -> Count:
        place = places.get()
        place.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "tests.faults", family, "--folder", str(place), *options]
        output = ""
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                output += line
        places.put(place)
        return Count.parse(output, f"{family} ended with {process.returncode}")

    total = Count()
    with ThreadPoolExecutor(at_once) as pool:
        for count in pool.map(inject_in_process, families):
            total += count
    return total


if __name__ == "__main__":
    sys.exit(main())
