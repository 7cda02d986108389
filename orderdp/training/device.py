"""Where a run computes, and in which precision."""

from __future__ import annotations

from typing import Literal

import torch


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


def choose_dtype(precision: Literal["fp32", "bf16", "auto"], device: torch.device) -> torch.dtype:
    """The type in which convolutions are computed: bfloat16 for "bf16", and for "auto" where the hardware computes in it."""
    if precision == "fp32":
        return torch.float32
    if precision == "bf16" or _computes_in_bf16(device):
        return torch.bfloat16
    return torch.float32


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Without AVX512-BF16 or AMX, bf16 on a CPU is emulated and slower than fp32.
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
