"""Free GPUs of this machine, each for one command at a time, and what keeps a command from using one.

Snakemake counts GPUs but does not say which one is free. A lock for each device does, and the kernel releases it when
the process that holds it ends. Locks go by UUID, since an index says another device in each process that sees a part of
them, such as a job of SLURM.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

VISIBLE = "CUDA_VISIBLE_DEVICES"
SIGNS = (Path("/proc/driver/nvidia"), Path("/dev/nvidia0"), Path("/dev/dxg"))
"""One of these is there where a driver is; the last one in Windows' Linux."""
GIVEN_BY_SLURM = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE")


def cards(listed: str) -> list[list[str]]:
    """UUIDs of the devices of each card, in the order of their indices.

    Args:
        listed: what `nvidia-smi --list-gpus` prints. Of a card that is split (MIG), its slices are the devices.
    """
    found: list[list[str]] = []
    for line in listed.splitlines():
        if card := re.search(r"\(UUID: (GPU-[^)\s]+)\)", line):
            found.append([card[1]])
        elif found and (part := re.search(r"\(UUID: (MIG-[^)\s]+)\)", line)):
            whole = found[-1][0].startswith("GPU-")
            found[-1] = [part[1]] if whole else [*found[-1], part[1]]
    return found


def devices() -> list[str]:
    """The GPUs that this process may use, by UUID where `nvidia-smi` knows them, else as CUDA_VISIBLE_DEVICES names
    them."""
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        listed = ""
    of_cards = cards(listed)
    present = [device for card in of_cards for device in card]
    if VISIBLE not in os.environ:
        return present
    chosen: list[str] = []
    for item in map(str.strip, os.environ[VISIBLE].split(",")):
        if not of_cards:
            name = item
        elif item.isdecimal():  # of a split card, CUDA shows the first slice
            name = of_cards[int(item)][0] if int(item) < len(of_cards) else ""
        else:
            name = next((uuid for uuid in present if item and uuid.startswith(item)), "")
        if name in ("", "-1"):
            break  # as CUDA does: what stands behind a device that is not there does not count
        chosen.append(name)
    return chosen


def expected() -> bool:
    """Whether this process was given a GPU, or its machine has one, as far as anything but CUDA itself can tell."""
    if VISIBLE in os.environ:
        return os.environ[VISIBLE].strip() not in ("", "-1")
    return any(sign.exists() for sign in SIGNS) or any(os.environ.get(name) for name in GIVEN_BY_SLURM)


@contextlib.contextmanager
def claimed(count: int | None) -> Iterator[bool]:
    """Waits for free GPUs, and shows this process and its children no others; gives whether it has any.

    Args:
        count: GPUs to hold. 0: the CPU, and no GPU is shown. None leaves the choice to the command. On a machine
            without a sign of a GPU, every number means the CPU.

    Raises:
        ValueError: this machine has fewer, or none that can be used although one was given.
    """
    if count == 0:
        os.environ[VISIBLE] = ""
    if not count or not expected():
        yield False
        return
    present = devices()
    if count > len(present):
        names = f": {', '.join(present)}" if present else ""
        raise ValueError(
            f"--gpus: {count} wanted, but {len(present)} can be used here{names}. {given()} `nvidia-smi --list-gpus` "
            "shows what the driver knows. `--gpus 0` computes on the CPU."
        )
    folder = Path(tempfile.gettempdir()) / f"orderdp-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        with contextlib.ExitStack() as locks:
            taken: list[str] = []
            for device in random.sample(present, len(present)):
                with contextlib.suppress(Timeout):  # the UUIDs of some drivers' slices have slashes
                    locks.enter_context(FileLock(folder / f"{device.replace('/', '_')}.lock", timeout=0))
                    taken.append(device)
                if len(taken) == count:
                    os.environ[VISIBLE] = ",".join(sorted(taken, key=present.index))
                    yield True
                    return
        # Fewer than wanted: they are free again now, so that two who wait for several cannot block each other.
        time.sleep(0.3 * (1 + random.random()))


def given() -> str:
    """Where this process was told of a GPU, as a sentence."""
    told = {name: os.environ[name] for name in (VISIBLE, *GIVEN_BY_SLURM) if os.environ.get(name)}
    if told:
        return "Given: " + ", ".join(f"{name}={value}" for name, value in told.items()) + "."
    signs = ", ".join(str(sign) for sign in SIGNS if sign.exists())
    return f"A driver is here: {signs}." if signs else "Nothing here looks like a GPU."


def require(device: str | None) -> None:
    """Computes something on the GPU that this process was given, if it was. A training would otherwise fall back to the
    CPU without a word.

    Args:
        device: what the process is to compute on; only `cuda` and `cuda:<index>` are looked at.

    Raises:
        ValueError: it cannot be used, and why: this torch is for CPUs, the driver is too old, the card is too old, or
            none is visible.
    """
    if device is None or not device.startswith("cuda"):
        return
    import torch

    try:
        (torch.zeros(1, device="cuda") + 1).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for CPUs alone"
        raise ValueError(
            f"This job was given a GPU that it cannot use: {reason}. {given()} torch {torch.__version__} is built "
            f"{built}; docs/clusters.md says which drivers and cards that needs. `--gpus 0` computes on the CPU."
        ) from None
