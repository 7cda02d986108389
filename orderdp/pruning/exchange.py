"""Exchange of observations between ranks, once an epoch."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


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
