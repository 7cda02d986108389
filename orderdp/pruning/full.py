"""No pruning."""

from __future__ import annotations

import torch
from torch import Tensor

from orderdp.pruning.base import Pruner


class FullData(Pruner):
    """Every sample in every epoch: the baseline."""

    def choose(self, epoch: int, draw: torch.Generator) -> tuple[Tensor, None]:
        """All samples."""
        return torch.ones(self.n, dtype=torch.bool), None
