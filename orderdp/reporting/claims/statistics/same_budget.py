"""Comparisons at the prune ratio that a rival really reached, where that is not the one of the grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from orderdp.reporting.claims.statistics.deciding import Context, Finding, decide_one_sided
from orderdp.reporting.claims.statistics.intervals import interval_text, mean
from orderdp.reporting.claims.statistics.resolution import of_workload
from orderdp.reporting.claims.statistics.runs import FULL, ORDERDP, SAME_RATIO, Frames, NotRun, label_of, pick, settings
from orderdp.reporting.ratios import percent
from orderdp.reporting.results import FINISHED


def higher_at_same_budget(frames: Frames, *, rival: str, method: str = ORDERDP) -> Finding:
    """Final accuracy of `method` less that of the rival at the ratio that the rival really reached.

    The rival may prune less than asked. The accuracy of `method` is therefore read off, seed by seed, at the realised
    ratio of the rival, on straight lines between the ratios of `method` and the full data. Of several ratios of the
    grid that came to the same realised one, the first counts.
    """
    rows = pick(frames, [method, rival, FULL])
    estimates = []
    for workload, gaps in leads(rows, method, rival).groupby("workload", sort=False):
        for ratio, part in gaps.groupby("prune_ratio"):
            where = f" on {workload}" if rows["workload"].nunique() > 1 else ""
            estimates.append(
                mean(
                    part["lead"].tolist(),
                    f"at {percent(round(part['realised'].mean(), 3))} realised ({percent(ratio)}){where}",
                    # A mean of two accuracies less a third has the least rounding where both weigh the same.
                    of_workload(rows, rows[rows["workload"] == workload], 1.5),
                )
            )
    if not estimates:
        raise NotRun(f"no realised prune ratio of {rival} lies within those of {method}")
    statistic = f"accuracy of {label_of(rows, method)} less that of {label_of(rows, rival)} at the same realised ratio"
    return decide_one_sided(estimates, Context(statistic, "points", runs=rows, favours=method))


def lead_grows(frames: Frames, *, rival: str, method: str = ORDERDP) -> Finding:
    """Slope, per seed, of that difference over the realised ratio: points per 10 points of ratio."""
    rows = pick(frames, [method, rival, FULL])
    estimates = []
    for workload, gaps in leads(rows, method, rival).groupby("workload", sort=False):
        slopes = [
            0.1 * float(np.polyfit(part["realised"], part["lead"], 1)[0])
            for _, part in gaps.groupby("seed")
            if part["realised"].nunique() > 2
        ]
        estimates.append(
            mean(slopes, f"on {workload}", 0.1 * of_workload(rows, rows[rows["workload"] == workload], _terms(gaps)))
        )
    if not estimates or not any(estimate.count for estimate in estimates):
        raise NotRun(f"{rival} reached fewer than three different prune ratios")
    statistic = f"growth of the lead of {label_of(rows, method)} over {label_of(rows, rival)} per 10 % pruned"
    return decide_one_sided(estimates, Context(statistic, "points", runs=rows, favours=method))


def leads(rows: pd.DataFrame, method: str, rival: str, column: str = "test_accuracy") -> pd.DataFrame:
    """How far `method` lies above the rival at each ratio that the rival really reached, by seed.

    The value of `method` there is read off straight lines between its ratios, and the full data where the rows have it.
    Ratios that the rival cannot tell apart count once; one outside of the method's range is left out.

    Args:
        rows: runs of both, and of the full data.
        method: its name.
        rival: the other method.
        column: what is compared.

    Returns:
        workload, prune_ratio (the rival's, as in the grid), seed, realised (the rival's), lead.
    """
    done = rows[(rows["status"] == FINISHED) & rows[column].notna()]
    with_full = FULL in set(rows["method"])
    records = []
    for workload, part in done.groupby("workload", sort=False):
        reached: list[float] = []
        curves = {}
        for seed, curve in (
            part[part["method"].isin([method, FULL])].sort_values("realised_prune_ratio").groupby("seed")
        ):
            if not with_full or FULL in set(curve["method"]):
                curves[seed] = curve["realised_prune_ratio"].to_numpy(), curve[column].to_numpy()
        for setting, runs in settings(part[part["method"] == rival].sort_values("prune_ratio")):
            realised = float(runs["realised_prune_ratio"].mean())
            if any(abs(realised - other) < SAME_RATIO for other in reached):
                continue
            reached.append(realised)
            for run in runs.to_dict("records"):
                x, y = curves.get(run["seed"], ((), ()))
                if len(x) > 1 and x[0] <= run["realised_prune_ratio"] <= x[-1]:
                    lead = float(np.interp(run["realised_prune_ratio"], x, y)) - run[column]
                    at = {"workload": workload, "prune_ratio": setting["prune_ratio"], "seed": run["seed"]}
                    records.append(at | {"realised": run["realised_prune_ratio"], "lead": lead})
    return pd.DataFrame(records, columns=["workload", "prune_ratio", "seed", "realised", "lead"])


def leads_text(
    rows: pd.DataFrame,
    method: str,
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
        method: its name.
        rivals: methods.
        ratios: those of the claim, as in the grid.
        column: what is compared.
        unit: of the column.
        least: smallest deviation of a difference that is believed, see `resolution.least_deviation`.
    """
    parts = []
    for rival in rivals:
        gaps = leads(rows, method, rival, column)
        for (workload, ratio), part in gaps.groupby(["workload", "prune_ratio"], sort=False):
            realised = float(part["realised"].mean())
            if any(abs(ratio - asked) < 1e-9 for asked in ratios) and abs(realised - ratio) > SAME_RATIO:
                estimate = mean(part["lead"].tolist(), least=least)
                where = f" on {workload}" if rows["workload"].nunique() > 1 else ""
                text = interval_text(estimate.value, estimate.low, estimate.high, unit)
                parts.append(f"{text} over {label_of(rows, rival)} at {percent(round(realised, 3))}{where}")
    return f"at equal ratios, read between those of {label_of(rows, method)}: {', '.join(parts)}" if parts else ""


def _terms(gaps: pd.DataFrame) -> float:
    """Sum of the squared coefficients of the accuracies in the slope of a line through the leads over their ratios, two
    per lead."""
    realised = gaps.groupby("prune_ratio")["realised"].mean()
    return 2.0 / float(((realised - realised.mean()) ** 2).sum()) if realised.nunique() > 1 else 0.0
