"""`python -m orderdp.gpu_slot [--count N] -- COMMAND`: run a command on one free GPU of this machine, or on N.

Snakemake counts GPUs but does not say which one is free. A lock per device does, and the kernel releases it however the
command ends. With no GPU, or one, or under SLURM (which hands devices out itself), or with a count of 0 the command
just runs.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def devices() -> list[str]:
    """Ids of the GPUs that this process may use."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [item for item in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if item.strip()]
    if not Path("/proc/driver/nvidia").exists():
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number in range(len(listed.splitlines()))]


def main() -> None:
    """Waits for devices, then becomes the command, which keeps the locks until it ends."""
    parser = argparse.ArgumentParser(prog="orderdp.gpu_slot", description="Run a command on free GPUs.")
    parser.add_argument(
        "--count", type=int, default=1, help="devices that the command takes; 0: leave the choice to it"
    )
    parser.add_argument("command", nargs="+", help="behind --")
    args = parser.parse_args()
    claim(args.count)
    os.execvp(args.command[0], args.command)


def claim(count: int) -> None:
    """Waits for devices and shows this process no others. It holds them until it ends, also as another program
    (`exec`)."""
    found = devices()
    if len(found) > 1 and count and "SLURM_JOB_ID" not in os.environ:
        if count > len(found):
            sys.exit(
                f"orderdp.gpu_slot: {count} GPUs are asked for (--count), {len(found)} are here: {', '.join(found)}"
            )
        folder = Path(tempfile.gettempdir()) / f"orderdp-gpus-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_wait_for(count, folder, found))


def _wait_for(count: int, folder: Path, found: list[str]) -> list[str]:
    """Locks `count` devices at once. Whoever finds fewer gives them back, so that two who wait for several cannot block
    each other."""
    while True:
        with contextlib.ExitStack() as stack:
            taken: list[str] = []
            for device in random.sample(found, len(found)):
                descriptor = os.open(folder / f"{device}.lock", os.O_CREAT | os.O_RDWR, 0o600)
                stack.callback(os.close, descriptor)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.set_inheritable(descriptor, True)
                    taken.append(device)
                if len(taken) == count:
                    stack.pop_all()  # stays open, and with it locked, in the command
                    return sorted(taken, key=found.index)
        time.sleep(0.3 * (1 + random.random()))


if __name__ == "__main__":
    main()
