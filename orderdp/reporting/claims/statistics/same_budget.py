"""Comparisons at the prune ratio that a rival really reached, where that is not the one of the grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    for workload, ratio, realised, values in _by_ratio(leads(rows, method, rival)):
        label = f"at {percent(round(realised, 3))} realised ({percent(ratio)}){_where(rows, workload)}"
        # A mean of two accuracies less a third has the least rounding where both weigh the same.
        least = of_workload(rows, rows[rows["workload"] == workload], 1.5)
        estimates.append(mean(values, label, least))
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
        least = of_workload(rows, rows[rows["workload"] == workload], _terms(gaps))
        estimates.append(mean(slopes, f"on {workload}", 0.1 * least))
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
        ordered = part[part["method"].isin([method, FULL])].sort_values("realised_prune_ratio")
        curves = {
            seed: (curve["realised_prune_ratio"].tolist(), curve[column].tolist())
            for seed, curve in ordered.groupby("seed")
            if not with_full or FULL in set(curve["method"])
        }
        for setting, runs in settings(part[part["method"] == rival].sort_values("prune_ratio")):
            realised = float(runs["realised_prune_ratio"].mean())
            if any(abs(realised - other) < SAME_RATIO for other in reached):
                continue
            reached.append(realised)
            for run in runs.to_dict("records"):
                x, y = curves.get(run["seed"], ([], []))
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
        for workload, ratio, realised, values in _by_ratio(leads(rows, method, rival, column)):
            if any(abs(ratio - asked) < 1e-9 for asked in ratios) and abs(realised - ratio) > SAME_RATIO:
                estimate = mean(values, least=least)
                place = f"at {percent(round(realised, 3))}{_where(rows, workload)}"
                text = interval_text(estimate.value, estimate.low, estimate.high, unit)
                parts.append(f"{text} over {label_of(rows, rival)} {place}")
    return f"at equal ratios, read between those of {label_of(rows, method)}: {', '.join(parts)}" if parts else ""


def _by_ratio(gaps: pd.DataFrame) -> Iterator[tuple[str, float, float, list[float]]]:
    """(workload, ratio of the grid, realised ratio, leads) for each ratio that the rival reached."""
    for _, part in gaps.groupby(["workload", "prune_ratio"], sort=False):
        first = part.iloc[0]
        yield first["workload"], first["prune_ratio"], float(part["realised"].mean()), part["lead"].tolist()


def _where(rows: pd.DataFrame, workload: str) -> str:
    return f" on {workload}" if rows["workload"].nunique() > 1 else ""


def _terms(gaps: pd.DataFrame) -> float:
    """Sum of the squared coefficients of the accuracies in the slope of a line through the leads over their ratios, two
    per lead."""
    realised = gaps.groupby("prune_ratio")["realised"].mean()
    return 2.0 / float(((realised - realised.mean()) ** 2).sum()) if realised.nunique() > 1 else 0.0
