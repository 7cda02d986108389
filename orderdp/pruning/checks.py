"""Checks of what a user hands to a pruner; each message names the argument, the value and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor


def whole(owner: object, name: str, value: object, least: int) -> int:
    """An integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"The '{name}' of {type(owner).__name__} must be an integer of at least {least}. Got {value!r}.")
    return int(value)


def fraction(owner: object, name: str, value: float, *, zero: bool = False, one: bool = False) -> float:
    """A number between 0 and 1; the ends are allowed only where `zero` or `one` says so."""
    inside = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    if not inside or (value == 0 and not zero) or (value == 1 and not one):
        span = f"{'[' if zero else '('}0, 1{']' if one else ')'}"
        raise ValueError(f"The '{name}' of {type(owner).__name__} must be in {span}. Got {value!r}.")
    return float(value)


def as_indices(indices: Tensor | Sequence[int], n: int) -> Tensor:
    """Sample numbers as a 1-d int64 tensor; those on the CPU are checked against n (on a device the check would wait for it)."""
    tensor = torch.as_tensor(indices)
    if tensor.dtype.is_floating_point or tensor.dtype == torch.bool or tensor.dim() != 1:
        raise ValueError(
            f"Indices must be a 1-d tensor of integers, as Indexed(dataset) yields them. Got {tensor.dtype} of shape {tuple(tensor.shape)}."
        )
    tensor = tensor.long()
    if tensor.device.type == "cpu" and len(tensor) and (int(tensor.min()) < 0 or int(tensor.max()) >= n):
        wrong = int(tensor.min()) if int(tensor.min()) < 0 else int(tensor.max())
        raise IndexError(f"Index {wrong} is out of range for a pruner over n = {n} samples. Is the pruner's n the data set's length?")
    return tensor


def per_sample(losses: Tensor, count: int) -> None:
    """One loss for each of `count` indices."""
    if losses.dim() != 1 or len(losses) != count:
        raise ValueError(
            f"The losses must be per sample: shape ({count},) for {count} indices, got {tuple(losses.shape)}. "
            'Give the loss function reduction="none" and average over everything but the batch.'
        )
