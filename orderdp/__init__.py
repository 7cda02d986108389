"""OrderDP: dynamic data pruning for deep learning.

Names are loaded on first use, so that light modules (`orderdp.grid`) do not pay for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orderdp.pruning import (
        UCB,
        EpsilonGreedy,
        FullData,
        Indexed,
        InfoBatch,
        OrderDP,
        OrderDPBatches,
        Pruner,
        RandomPruning,
        ScheduledOrderDP,
        StaticSubset,
        StreamingOrderDP,
        Subset,
    )

__version__ = "0.2.1"
__all__ = [
    "UCB",
    "EpsilonGreedy",
    "FullData",
    "Indexed",
    "InfoBatch",
    "OrderDP",
    "OrderDPBatches",
    "Pruner",
    "RandomPruning",
    "ScheduledOrderDP",
    "StaticSubset",
    "StreamingOrderDP",
    "Subset",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__ or name == "Selection":
        return getattr(importlib.import_module("orderdp.pruning"), name)
    raise AttributeError(f"module 'orderdp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
