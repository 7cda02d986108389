"""Where a run computes: the device, its precision, its memory and its clock, and how the process is set up."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from orderdp.spec import PrecisionName, RunSpec


def set_up(name: str | None, precision: PrecisionName, threads: int | None = None) -> torch.device:
    """Sets this process up to compute: every kind of job begins with this.

    A resumed run must repeat an unbroken one, so operations are the deterministic ones where torch has them: on a GPU
    all that networks of convolutions use. The backward pass of its attention kernels has none that is as fast, so that
    a transformer's runs end alike to rounding only.

    Args:
        name: of the device; the best one present when None.
        precision: of the recipe, see :func:`allow_tf32`.
        threads: CPU threads; torch's own choice when None.

    Returns:
        the device.

    Raises:
        ValueError: the device is not there.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    allow_tf32(precision)
    device = choose_device(name)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as cuBLAS asks for
        torch.use_deterministic_algorithms(True, warn_only=True)
        # By default torch then also fills every new tensor, at a cost; nothing here reads one before it is written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", message=".*deterministic.*", category=UserWarning)
    return device


class OutOfMemory(RuntimeError):
    """A batch does not fit on the device."""


def choose_device(name: str | None) -> torch.device:
    """The named device, or the best one present: CUDA, then MPS, then the CPU.

    Raises:
        ValueError: the named device is not there.
    """
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if name is None:
        return torch.device(present[0])
    if name.split(":")[0] not in present:
        raise ValueError(f"The device {name!r} is not available here. Available: {', '.join(present)}")
    return torch.device(name)


def choose_dtype(precision: PrecisionName, device: torch.device) -> torch.dtype:
    """The type in which convolutions are computed: bfloat16 for "bf16", and for "auto" where the hardware computes in
    it."""
    if precision in ("fp32", "tf32"):
        return torch.float32
    if precision == "fp16":
        return torch.float16
    if precision == "bf16" or _computes_in_bf16(device):
        return torch.bfloat16
    return torch.float32


def allow_tf32(precision: PrecisionName) -> None:
    """Lets float32 products be computed in TF32 on GPUs that have it (10 bits of mantissa), unless the recipe says
    "fp32"."""
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "fp32"


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """In which float32 products are not computed in TF32, whatever the recipe says."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    allow_tf32("fp32")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Without AVX512-BF16 or AMX, bf16 on a CPU is emulated and slower than fp32. This asks the processor: one that
        # has them and is told to do without (ATEN_CPU_CAPABILITY=avx2) needs `precision: fp32` in its recipe.
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def reset_peak_memory(device: torch.device) -> None:
    """Begins a new measurement of :func:`peak_memory_mb`, where the system can: on CUDA and on Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Most memory in use since :func:`reset_peak_memory`, in MB: of the device on CUDA, of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with contextlib.suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()):
            return int(found[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of the process since its start
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


@contextlib.contextmanager
def memory_named(spec: RunSpec, ranks: int, device: torch.device) -> Iterator[None]:
    """Says what to do where memory runs out.

    Raises:
        OutOfMemory: instead of torch's own error.
    """
    try:
        yield
    except RuntimeError as error:
        # On CPUs torch raises a plain RuntimeError.
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        size = spec.recipe.batch_size
        share = f" ({-(-size // ranks)} on each of {ranks} ranks)" if ranks > 1 else ""
        raise OutOfMemory(
            f"Out of memory on {device} with batch size {size}{share} of {spec.model.name} on {spec.dataset.name}."
            " Compute it in pieces (`run --micro-batch 64`, or bundle:micro_batch=64 of a profile), lower 'batch_size'"
            " in the recipe or the workload's overrides in params.yaml (and the learning rate with it), or train on"
            f" more GPUs with torchrun. Said by torch: {str(error).splitlines()[0]}"
        ) from error


# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 2**30


def keep_freed_memory() -> bool:
    """Tells glibc's allocator to keep up to 1 GiB of freed memory, for blocks of up to that size; returns whether there
    was one to tell.

    By itself it gives the memory of a step's activations back to the system, and the next step finds every page
    missing, until it has seen blocks as large freed before; the larger ones of an evaluation it gives back each time.
    Counted on ResNet-8 with 28 x 28 pixels: 10,000 page faults a step in the first epoch, and a third of the processor
    time of that epoch and of every evaluation. Nothing that is computed changes. Other allocators, and GPUs, keep what
    they have anyway.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    # Setting either ends glibc's own adjusting of both.
    return bool(mallopt(M_MMAP_THRESHOLD, KEPT)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT))


class Stopwatch:
    """Runs from its creation.

    On CUDA the two ends are events in the device's stream, so that kernels still queued from before (an evaluation) are
    not counted, and no wait is needed to start. Elsewhere it is the process's clock.

    Args:
        device: where the work runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._start = self._mark()

    def seconds(self) -> float:
        """Time since creation; waits for what was queued until now."""
        end = self._mark()
        if not self._on_cuda:
            return end - self._start
        end.synchronize()
        return self._start.elapsed_time(end) / 1000

    def _mark(self):  # type: ignore[no-untyped-def]  # a float, or a CUDA event
        if not self._on_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
