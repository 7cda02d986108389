"""In which memory format a network and its images are computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def arrange(model: nn.Module, device: torch.device) -> nn.Module:
    """Moves a network to a device, in the memory format that is fastest there and safe.

    Channels last, except on CPUs for networks with a convolution that oneDNN cannot compute there, see `unsafe_on_cpu`.
    Such a network keeps torch's plain format and brings its images into it.

    Args:
        model: with parameters of any device; changed in place.
        device: where it will compute.

    Returns:
        the model.
    """
    if device.type != "cpu" or next(unsafe_on_cpu(model), None) is None:
        return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    # One tensor in channels last is enough for torch to choose that format, so the images must be plain, too.
    model.register_forward_pre_hook(_plain)
    return model.to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload, no-any-return]


def unsafe_on_cpu(model: nn.Module) -> Iterator[str]:
    """Names of the convolutions whose backward pass in channels last can corrupt the heap on a CPU without AVX-512.

    oneDNN 3.12, which torch 2.14.1 is built with, writes beyond a buffer in its AVX2 kernel for the weight gradients of
    1 x 1 convolutions with a stride and 2 to 6 input channels: the process dies some allocations later, or computes on
    with wrong numbers. One, seven, eight and more input channels, stride 1 and the plain format are fine (each was
    tried). `ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2` shows the fault on newer CPUs. The fault is not known to
    be reported or mended upstream; look at it again with a newer torch.
    """
    for name, module in model.named_modules():
        if (
            isinstance(module, nn.Conv2d)
            and set(module.kernel_size) == {1}
            and set(module.stride) != {1}
            and module.in_channels // module.groups < 8
        ):
            yield name


def _plain(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.contiguous() if isinstance(x, Tensor) else x for x in inputs)
