"""Values that a pruner remembers: copied into and out of its state, and extended when the data set grows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def copied(value: Any) -> Any:
    """A copy that later changes of the original leave alone."""
    return value.clone() if isinstance(value, Tensor) else list(value) if isinstance(value, list) else value


def extended(value: Any, blank: Any, n: int) -> Any:
    """What is remembered of a data set, taken over for n samples: the new ones get what a new pruner holds of them.

    Args:
        value: a tensor (m,) with one value for each of m samples; anything else is returned as it is.
        blank: the same of a new pruner: a tensor (n,); None where it holds no set yet, so that `value` is a mask without the new ones.
        n: samples from now on.
    """
    if not isinstance(value, Tensor):
        return value
    new = value.new_zeros(n - len(value)) if blank is None else blank[len(value) :]
    return torch.cat([value, new])
