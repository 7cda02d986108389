"""No outputs at all."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from orderdp.coresets.base import ProxyOutputs, ordered


@ordered(needs=(), family="random")
def random(outputs: ProxyOutputs, members: Tensor, n_keep: int, rng: np.random.Generator) -> Tensor:
    """A uniform draw without replacement: the members come in random order already."""
    return members[:n_keep]
