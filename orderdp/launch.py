"""`python -m orderdp.launch --gpus N -- COMMAND ...`: what `python -m orderdp COMMAND ...` does, on free GPUs and with
a process for each.

With one GPU or none it is one process, by `orderdp.warm`; with several, torchrun starts them, and they find each other
on this machine.
"""

from __future__ import annotations

import argparse
import os
import sys

from orderdp.gpu_slot import claim


def launcher(gpus: int) -> list[str]:
    """Arguments of Python that the command is appended to."""
    if gpus > 1:
        return ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(gpus), "-m", "orderdp"]
    return ["-m", "orderdp.warm", "--"]


def main() -> None:
    """Waits for devices, then becomes the launcher."""
    parser = argparse.ArgumentParser(prog="orderdp.launch", description="Run a command of orderdp on free GPUs.")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs that the command takes; 0: none is waited for")
    parser.add_argument("command", nargs="+", help="behind --")
    args = parser.parse_args()
    claim(args.gpus)
    os.execv(sys.executable, [sys.executable, *launcher(args.gpus), *args.command])


if __name__ == "__main__":
    main()
