"""No evidence at all."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from orderdp.coresets.base import Evidence, ordered


@ordered(needs=(), family="random")
def random(evidence: Evidence, members: Tensor, budget: int, rng: np.random.Generator) -> Tensor:
    """A uniform draw without replacement: the members come in random order already."""
    return members[:budget]
