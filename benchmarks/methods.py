"""The pruning methods as the benchmarks build them: every registered one, at a prune ratio of 70 %."""

from __future__ import annotations

from typing import Any

from orderdp.pruning import PRUNERS, Pruner

PRUNE_RATIO = 0.7
# Methods that choose every few epochs choose in each here, and begin without a warm-up: the cost of an epoch that
# chooses.
OPTIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "random": {"prune_ratio": PRUNE_RATIO},
    "epsilon_greedy": {"prune_ratio": PRUNE_RATIO, "period": 1, "warmup_epochs": 0},
    "ucb": {"prune_ratio": PRUNE_RATIO, "period": 1, "warmup_epochs": 0},
    "infobatch": {"prune_ratio": PRUNE_RATIO, "ratio_of": "all"},
    "orderdp": {"prune_ratio": PRUNE_RATIO, "explore": 0.5},
    "orderdp_batches": {"prune_ratio": PRUNE_RATIO, "candidates": 256},
    "orderdp_scheduled": {"prune_ratio": PRUNE_RATIO, "rise": 0.2, "epochs": 200},
    "static": {"prune_ratio": PRUNE_RATIO},
}


def build(name: str, n: int) -> Pruner:
    """A method of the registry over n samples."""
    options = OPTIONS[name]
    return PRUNERS[name].at_ratio(n, **options) if options else PRUNERS[name](n)
