"""Which samples are trained on, and with which weights."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Subset(NamedTuple):
    """Samples of a data set.

    Example:
        >>> import torch
        >>> Subset(torch.tensor([2, 0]), None).indices.tolist()
        [2, 0]
    """

    indices: Tensor
    """int64 (q,): a pruner's in training order; a coreset's on the CPU, each once, the best first."""
    weights: Tensor | None
    """float32 (q,), a coreset's with mean 1; None where all weigh 1."""
