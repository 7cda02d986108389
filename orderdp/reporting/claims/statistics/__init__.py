"""What claims are decided from: `claims.csv` names a statistic, and its function turns frames of results into a
finding."""

from __future__ import annotations

from collections.abc import Callable

from orderdp.reporting.claims.statistics import (
    accuracy,
    computed,
    dynamics,
    lossless,
    prune_ratio,
    same_budget,
    sets,
    theorem_experiment,
    timing,
    toy,
)
from orderdp.reporting.claims.statistics.deciding import (
    CONTRADICTED,
    INCONCLUSIVE,
    NOT_RUN,
    SUPPORTED,
    VERDICTS,
    Finding,
)
from orderdp.reporting.claims.statistics.runs import NotRun

__all__ = ["CONTRADICTED", "INCONCLUSIVE", "NOT_RUN", "STATISTICS", "SUPPORTED", "VERDICTS", "Finding", "NotRun"]

STATISTICS: dict[str, Callable[..., Finding]] = {
    name: function
    for module in (
        accuracy,
        same_budget,
        prune_ratio,
        timing,
        lossless,
        dynamics,
        sets,
        computed,
        toy,
        theorem_experiment,
    )
    for name, function in vars(module).items()
    if getattr(function, "__module__", "") == module.__name__
    and not name.startswith("_")
    and function.__annotations__.get("return") == "Finding"
}
"""Name in `claims.csv` -> function of (frames, **arguments): every public function of these modules that returns a
finding."""
