"""Comparisons at the ratio that a rival really reached, where it is not the one that it was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from orderdp.reporting.evidence.intervals import mean
from orderdp.reporting.evidence.runs import FULL, SAME_RATIO, name_of, settings
from orderdp.reporting.evidence.wording import interval_text
from orderdp.reporting.ratios import percent
from orderdp.reporting.results import FINISHED


def leads(rows: pd.DataFrame, ours: str, rival: str, column: str = "test_accuracy") -> pd.DataFrame:
    """How far `ours` lies above the rival at each ratio that the rival really reached, by seed.

    Our value there is read off straight lines between our own ratios, and the full data where the rows have it. Ratios
    that the rival cannot tell apart count once; one outside of our own range is left out.

    Args:
        rows: runs of both, and of the full data.
        ours: method.
        rival: method.
        column: what is compared.

    Returns:
        workload, prune_ratio (the rival's, as asked for), seed, realised (the rival's), lead.
    """
    done = rows[(rows["status"] == FINISHED) & rows[column].notna()]
    with_full = FULL in set(rows["method"])
    records = []
    for workload, part in done.groupby("workload", sort=False):
        reached: list[float] = []
        curves = {}
        for seed, curve in part[part["method"].isin([ours, FULL])].sort_values("realised_prune_ratio").groupby("seed"):
            if not with_full or FULL in set(curve["method"]):
                curves[seed] = curve["realised_prune_ratio"].to_numpy(), curve[column].to_numpy()
        for here, runs in settings(part[part["method"] == rival].sort_values("prune_ratio")):
            realised = float(runs["realised_prune_ratio"].mean())
            if any(abs(realised - other) < SAME_RATIO for other in reached):
                continue
            reached.append(realised)
            for run in runs.to_dict("records"):
                x, y = curves.get(run["seed"], ((), ()))
                if len(x) > 1 and x[0] <= run["realised_prune_ratio"] <= x[-1]:
                    lead = float(np.interp(run["realised_prune_ratio"], x, y)) - run[column]
                    at = {"workload": workload, "prune_ratio": here["prune_ratio"], "seed": run["seed"]}
                    records.append(at | {"realised": run["realised_prune_ratio"], "lead": lead})
    return pd.DataFrame(records, columns=["workload", "prune_ratio", "seed", "realised", "lead"])


def leads_text(
    rows: pd.DataFrame,
    ours: str,
    rivals: Sequence[str],
    ratios: Sequence[float],
    column: str,
    unit: str = "",
    least: float = 0.0,
) -> str:
    """`at equal ratios, read between OrderDP's own: 0.62 points [−0.1, 1.3] over InfoBatch at 44.0 %`; empty where no
    rival fell short.

    Args:
        rows: runs of all, at every ratio that there is, and of the full data if a value can be read between it and the
            smallest ratio.
        ours: method.
        rivals: methods.
        ratios: those of the claim, as asked for.
        column: what is compared.
        unit: of the column.
        least: smallest deviation of a difference that is believed, see `resolution.least_deviation`.
    """
    parts = []
    for rival in rivals:
        found = leads(rows, ours, rival, column)
        for (workload, ratio), part in found.groupby(["workload", "prune_ratio"], sort=False):
            realised = float(part["realised"].mean())
            if any(abs(ratio - asked) < 1e-9 for asked in ratios) and abs(realised - ratio) > SAME_RATIO:
                estimate = mean(part["lead"].tolist(), least=least)
                where = f" on {workload}" if rows["workload"].nunique() > 1 else ""
                text = interval_text(estimate.value, estimate.low, estimate.high, unit)
                parts.append(f"{text} over {name_of(rows, rival)} at {percent(round(realised, 3))}{where}")
    return f"at equal ratios, read between those of {name_of(rows, ours)}: {', '.join(parts)}" if parts else ""
