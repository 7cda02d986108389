"""`python -m tests.faults [FAMILY...]`: faults on a project that is made for them; ends with what came of them."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import clocks, disks, files, hostile, kills, servers, together
from tests.faults.count import Count, inject
from tests.faults.undisturbed import make

FAMILIES = {
    module.__name__.rpartition(".")[2]: module.faults
    for module in (files, hostile, disks, clocks, together, servers, kills)
}

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "ORDERDP_NO_TRACKING": "1",
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
}  # fmt: skip
"""As in the workflow, whose tracker runs only where a fault is about it."""


def main() -> int:
    """Injects the faults of the named families, all unless named."""
    arguments = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    arguments.add_argument("families", nargs="*", choices=[*FAMILIES, []], metavar="FAMILY", help=", ".join(FAMILIES))
    arguments.add_argument("--most", type=int, help="a random part of each family, of this size")
    arguments.add_argument("--seed", type=int, default=0, help="of the moments and of the part")
    arguments.add_argument("--folder", type=Path, help="where the project is made, and stays for the next time")
    arguments.add_argument("--match", default="", help="only faults whose name has this in it")
    arguments.add_argument("--verbose", action="store_true", help="name each fault and what it took")
    args = arguments.parse_args()
    os.environ |= ENVIRONMENT
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    count = Count()
    with tempfile.TemporaryDirectory() as temporary:
        undisturbed = make(args.folder or Path(temporary))
        for name in args.families or FAMILIES:
            began, before = time.monotonic(), count.injected
            chosen = [fault for fault in FAMILIES[name](undisturbed) if args.match in fault.name]
            inject(chosen, count, undisturbed.restore, args.most, args.seed, args.verbose)
            took = time.monotonic() - began
            print(f"\r{name}: {count.injected - before} faults in {took:.0f} s", file=sys.stderr)
    print(count)
    return bool(count.lost or count.tracebacks)


if __name__ == "__main__":
    sys.exit(main())
