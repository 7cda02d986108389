"""Where a run computes, and in which precision."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from orderdp.spec import PrecisionName, RunSpec


class OutOfMemory(RuntimeError):
    """A batch does not fit on the device."""


def choose_device(name: str | None) -> torch.device:
    """The device asked for, or the best one present: CUDA, then MPS, then the CPU.

    Raises:
        ValueError: the device asked for is not there.
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


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Without AVX512-BF16 or AMX, bf16 on a CPU is emulated and slower than fp32.
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
            " Lower 'batch_size' in the recipe or the workload's overrides in params.yaml (and the learning rate with"
            f" it), or train on more GPUs with torchrun. Said by torch: {str(error).splitlines()[0]}"
        ) from error
