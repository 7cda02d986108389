"""Dynamic data pruning: one contract (`Pruner`), one file per method, one registry. Torch and NumPy only; usable
alone."""

from __future__ import annotations

from orderdp.pruning.base import Pruner, Selection
from orderdp.pruning.epsilon_greedy import EpsilonGreedy
from orderdp.pruning.full import FullData
from orderdp.pruning.indexed import Indexed
from orderdp.pruning.infobatch import InfoBatch
from orderdp.pruning.orderdp import OrderDP
from orderdp.pruning.orderdp_batches import OrderDPBatches
from orderdp.pruning.random import RandomPruning
from orderdp.pruning.scheduled import ScheduledOrderDP
from orderdp.pruning.static import StaticSubset
from orderdp.pruning.streaming import StreamingOrderDP
from orderdp.pruning.ucb import UCB

__all__ = [
    "PRUNERS", "UCB", "EpsilonGreedy", "FullData", "Indexed", "InfoBatch", "OrderDP", "OrderDPBatches", "Pruner",
    "RandomPruning",
    "ScheduledOrderDP", "Selection", "StaticSubset", "StreamingOrderDP",
]  # fmt: skip

PRUNERS: dict[str, type[Pruner]] = {
    "full": FullData,
    "random": RandomPruning,
    "epsilon_greedy": EpsilonGreedy,
    "ucb": UCB,
    "infobatch": InfoBatch,
    "orderdp": OrderDP,
    "orderdp_batches": OrderDPBatches,
    "orderdp_scheduled": ScheduledOrderDP,
    "static": StaticSubset,
}
