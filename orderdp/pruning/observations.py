"""The losses that training steps report, from the device to the method's scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
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
