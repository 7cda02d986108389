"""The losses that training steps report: from the device, over the ranks, to the method's scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def joined(pairs: Sequence[Pair]) -> Pair:
    """All (indices, losses) in order of arrival, on the CPU: int64 (m,) and float32 (m,).

    One transfer per tensor however many steps came in: the only place where scores wait for a device.
    """
    if not pairs:
        return torch.empty(0, dtype=torch.int64), torch.empty(0)
    indices, losses = zip(*pairs, strict=True)
    return _cat(indices), _cat(losses)


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    if len({tensor.device for tensor in tensors}) > 1:
        return torch.cat([tensor.cpu() for tensor in tensors])
    return torch.cat(list(tensors)).cpu()


def without_repetition(indices: Tensor, losses: Tensor, n: int) -> Iterator[Pair]:
    """Splits observations into parts that hold each sample at most once: all first arrivals, then all second ones, and
    so on.

    Learning the parts in turn equals learning one observation after the other, because samples do not depend on each
    other.
    """
    if len(indices) == 0:
        return
    if int(torch.bincount(indices, minlength=n).max()) == 1:
        yield indices, losses
        return
    by_sample = np.argsort(indices.numpy(), kind="stable")
    ordered = indices.numpy()[by_sample]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    arrival = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    by_arrival = by_sample[np.argsort(arrival, kind="stable")]
    for part in np.split(by_arrival, np.cumsum(np.bincount(arrival))[:-1]):
        positions = torch.from_numpy(part)
        yield indices[positions], losses[positions]


def rank_and_world_size() -> tuple[int, int]:
    """(rank, number of ranks) of this process: (0, 1) unless `torch.distributed` is initialised."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather(indices: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
    """Every rank's observations in rank order, on every rank.

    Indices travel as int64 and losses as float32: an index in a float is wrong above 2^24.

    Args:
        indices: int64 (m,) on the CPU; m may differ between ranks.
        losses: float32 (m,) on the CPU.
    """
    world = dist.get_world_size()
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    count = torch.tensor([len(indices)], device=device)
    counts = [torch.empty_like(count) for _ in range(world)]
    dist.all_gather(counts, count)
    sizes = [int(c) for c in counts]
    if not any(sizes):
        return indices, losses
    return _gather_padded(indices, sizes, device), _gather_padded(losses, sizes, device)


def _gather_padded(values: Tensor, sizes: list[int], device: torch.device) -> Tensor:
    padded = torch.zeros(max(sizes), dtype=values.dtype, device=device)
    padded[: len(values)] = values.to(device)
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]).cpu()
