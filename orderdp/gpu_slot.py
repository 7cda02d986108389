"""`python -m orderdp.gpu_slot -- COMMAND`: run a command on one free GPU of this machine.

Snakemake counts GPUs but does not say which one is free. A lock per device does, and the kernel releases it however the command ends.
With no GPU, or one, or under SLURM (which hands devices out itself) the command just runs.
"""

from __future__ import annotations

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
    """Waits for a device, then becomes the command, which keeps the lock until it ends."""
    command = sys.argv[sys.argv.index("--") + 1 :]
    found = devices()
    if len(found) > 1 and "SLURM_JOB_ID" not in os.environ:
        folder = Path(tempfile.gettempdir()) / f"orderdp-gpus-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        os.environ["CUDA_VISIBLE_DEVICES"] = _wait_for_one(folder, found)
    os.execvp(command[0], command)


def _wait_for_one(folder: Path, found: list[str]) -> str:
    while True:
        for device in random.sample(found, len(found)):
            descriptor = os.open(folder / f"{device}.lock", os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            os.set_inheritable(descriptor, True)
            return device
        time.sleep(0.3)


if __name__ == "__main__":
    main()
