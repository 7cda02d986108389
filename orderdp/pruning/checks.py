"""Checks of what a user hands to a pruner; each message names the argument, the value and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

_UNINDEXED = (
    "If these are images or labels, the loader lacks the wrapper: DataLoader(Indexed(dataset), ...) yields (index,"
    " sample)."
)


def whole(owner: object, name: str, value: Any, least: int) -> int:
    """An integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        length = " Give its length, len(...)." if name == "n" and hasattr(value, "__len__") else ""
        raise ValueError(
            f"The '{name}' of {_name(owner)} must be an integer of at least {least}. Got {value!r}.{length}"
        )
    return int(value)


def fraction(owner: object, name: str, value: Any, *, zero: bool = False, one: bool = False) -> float:
    """A number between 0 and 1; the ends are allowed only where `zero` or `one` says so."""
    inside = isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) <= 1
    if not inside or (value == 0 and not zero) or (value == 1 and not one):
        span = f"{'[' if zero else '('}0, 1{']' if one else ')'}"
        raise ValueError(f"The '{name}' of {_name(owner)} must be in {span}. Got {value!r}.")
    return float(value)


def n_kept(owner: object, n: int, prune_ratio: Any) -> int:
    """Samples that a prune ratio in (0, 1) keeps: round((1 - prune_ratio) n). `int` would cut 0.58 * 50,000 down to
    28,999."""
    count = round((1 - fraction(owner, "prune_ratio", prune_ratio)) * whole(owner, "n", n, 1))
    if count == 0:
        raise ValueError(
            f"The 'prune_ratio' of {_name(owner)} must keep at least one of n = {n} samples. Got {prune_ratio!r}."
        )
    return count


def initial(owner: object, score: Any) -> float:
    """The score of samples never seen: a number or infinity."""
    if isinstance(score, bool) or not isinstance(score, Real) or score != score:
        raise ValueError(f"The 'initial_score' of {_name(owner)} must be a number or infinity. Got {score!r}.")
    return float(score)


def as_indices(indices: Tensor | Sequence[int], n: int) -> Tensor:
    """Sample numbers as a 1-d int64 tensor; those on the CPU are checked against n (on a device the check would wait
    for it)."""
    try:
        tensor = torch.as_tensor(indices)
    except (TypeError, ValueError, RuntimeError) as error:  # texts, dictionaries, samples of different shapes
        raise ValueError(
            f"Indices must be integers, one per sample. Got {type(indices).__name__}. {_UNINDEXED}"
        ) from error
    if tensor.numel() == 0:
        tensor = tensor.long()  # an empty list comes as floats
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool or tensor.dim() != 1:
        raise ValueError(
            f"Indices must be a 1-d tensor of integers, as Indexed(dataset) yields them. Got {tensor.dtype} of shape"
            f" {tuple(tensor.shape)}. " + _UNINDEXED
        )
    tensor = tensor.long()
    if tensor.device.type == "cpu" and len(tensor):
        low, high = (int(end) for end in torch.aminmax(tensor))
        if low < 0 or high >= n:
            wrong = low if low < 0 else high
            raise IndexError(
                f"Index {wrong} is out of range for a pruner over n = {n} samples. Is the pruner's n the data set's"
                " length?"
            )
    return tensor


def per_sample(losses: Any, count: int) -> None:
    """One loss for each of `count` indices."""
    if not isinstance(losses, Tensor) or not losses.is_floating_point():
        kind = losses.dtype if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(f"The losses must be a tensor of floats, one per sample. Got {kind}.")
    if losses.dim() != 1 or len(losses) != count:
        raise ValueError(
            f"The losses must be per sample: shape ({count},) for {count} indices, got {tuple(losses.shape)}. "
            'Give the loss function reduction="none" and average over everything but the batch.'
        )


def _name(owner: object) -> str:
    return getattr(owner, "__name__", type(owner).__name__)
