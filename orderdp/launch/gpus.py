"""Free GPUs of this machine, each for one command at a time.

Snakemake counts GPUs but does not say which one is free. A lock for each device does, and the kernel releases it when
the process that holds it ends. Under SLURM, which hands devices out itself, and with a single GPU there is nothing to
choose.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


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


@contextlib.contextmanager
def claimed(count: int) -> Iterator[None]:
    """Waits for free GPUs, and shows this process and its children no others.

    Args:
        count: GPUs to hold; 0 leaves the choice to the command.

    Raises:
        ValueError: this machine has fewer.
    """
    present = devices()
    if len(present) <= 1 or not count or "SLURM_JOB_ID" in os.environ:
        yield
        return
    if count > len(present):
        raise ValueError(f"--gpus: {count} GPUs are wanted, but this machine has {len(present)}: {', '.join(present)}.")
    folder = Path(tempfile.gettempdir()) / f"orderdp-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        with contextlib.ExitStack() as locks:
            taken: list[str] = []
            for device in random.sample(present, len(present)):
                with contextlib.suppress(Timeout):
                    locks.enter_context(FileLock(folder / f"{device}.lock", timeout=0))
                    taken.append(device)
                if len(taken) == count:
                    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(sorted(taken, key=present.index))
                    yield
                    return
        # Fewer than wanted: they are free again now, so that two who wait for several cannot block each other.
        time.sleep(0.3 * (1 + random.random()))
