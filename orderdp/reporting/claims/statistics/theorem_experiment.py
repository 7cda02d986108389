"""Claims that the study of the theorems decides: convex training on real data, see `orderdp.theory.experiments`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from orderdp.reporting.claims.statistics.deciding import Context, Finding, decide_equivalence, decide_one_sided
from orderdp.reporting.claims.statistics.intervals import Estimate, mean, normal
from orderdp.reporting.claims.statistics.runs import Frames, NotRun

LOOSE = 0.25
"""Share of a bound below which holding it says little."""


def unbiased(frames: Frames, *, scores: str, margin: float) -> Finding:
    """Where the mean update lies between grad L (0) and grad L_q (1), along the line through both: within a margin of
    1?"""
    statistic = f"place of the mean update between ∇L (0) and ∇L_q (1), {scores} scores"
    context = Context(statistic, trials="draws", notes=(_exact_bias(frames, scores),))
    return decide_equivalence(_places(frames, scores), context, 1 - margin, 1 + margin)


def biased_for_loss(frames: Frames, *, scores: str) -> Finding:
    """The same place: above 0?"""
    context = Context(f"place of the mean update between ∇L (0) and ∇L_q (1), {scores} scores", trials="draws")
    return decide_one_sided(_places(frames, scores), context)


def variance_lower(frames: Frames, *, scores: str) -> Finding:
    """Total variance of the update over that of the mean gradient of q samples drawn uniformly: below 1?"""
    rows = _of_scores(_table(frames, "unbiasedness"), scores)
    if "variance" not in rows:
        raise NotRun("the study did not record variances")
    estimates = []
    for row in rows.to_dict("records"):
        ratio, half_width = (row[name] / row["uniform_variance"] for name in ("variance", "variance_half_width"))
        estimates.append(normal(ratio, half_width, int(row["draws"]), _sizes(row)))
    context = Context("variance of the update over that of a uniform batch of q", "×", trials="draws")
    return decide_one_sided(estimates, context, 1.0, side=-1)


def convergence_holds(frames: Frames, *, scores: str, gap: str) -> Finding:
    """L_q less its minimum over the bound of Theorem 3 at the rate R/(G sqrt(T)), mean over seeds at each T: below
    1?"""
    rows = _of_scores(_table(frames, "convergence"), scores)
    rows = rows.assign(value=rows[gap] / rows["bound"])
    estimates = [mean(part["value"].tolist(), f"T = {steps:,}") for steps, part in rows.groupby("steps")]
    notes = (_room(max(estimate.value for estimate in estimates)),)
    return decide_one_sided(
        estimates, Context(f"gap over bound, {scores} scores", "×", notes=notes), threshold=1.0, side=-1
    )


def _room(share: float) -> str:
    """What a bound is worth that is never reached by far."""
    return (
        f"at most {100 * share:.0f} % of the bound is used: it holds by being loose, and would for much else"
        if share < LOOSE
        else ""
    )


def generalization_holds(frames: Frames) -> Finding:
    """Right less left side of Theorem 4 at the iterate where it is least, per run: above 0?"""
    rows = _table(frames, "generalization")
    room = rows["right"] - rows["left"]
    least = room.groupby(rows["seed"]).min()
    step = rows.iloc[int(room.argmin())]
    sides = f"left {step['left']:.3g}, right {step['right']:.3g}"
    place = f"there: {sides}, of which optimization {step['optimization_bound']:.3g}"
    empty = (
        "the left side is not above 0, so that any bound from 0 on would hold: this says next to nothing"
        if step["left"] <= 0
        else ""
    )
    notes = (place, empty)
    return decide_one_sided(
        [mean(least.tolist())], Context("least room between the sides along a run", trials="runs", notes=notes)
    )


def _places(frames: Frames, scores: str) -> list[Estimate]:
    rows = _of_scores(_table(frames, "unbiasedness"), scores)
    rows = rows[rows["q"] < rows["s"]]
    if rows.empty:
        raise NotRun(f"the study has no rows with {scores} scores and q < s")
    estimates = []
    for row in rows.to_dict("records"):
        apart = row["target"] - row["full"]
        place, half_width = (row["estimate"] - row["full"]) / apart, row["half_width"] / abs(apart)
        estimates.append(normal(place, half_width, int(row["draws"]), _sizes(row)))
    return estimates


def _sizes(row: Mapping[Hashable, Any]) -> str:
    return f"n = {row['n']:,}, s = {row['s']}, q = {row['q']}"


def _exact_bias(frames: Frames, scores: str) -> str:
    bias = _of_scores(_table(frames, "unbiasedness"), scores)["exact_bias"].max()
    return f"exactly, from γ on these scores: |E g̃ − ∇L_q| / |∇L_q| = {bias:.2g}"


def _table(frames: Frames, name: str) -> pd.DataFrame:
    study = frames.get("study") or {}
    if name not in study or study[name].empty:
        raise NotRun("the study of the theorems has not been run")
    return study[name]


def _of_scores(table: pd.DataFrame, scores: str) -> pd.DataFrame:
    rows = table[table["scores"] == scores]
    if rows.empty:
        raise NotRun(f"the study has no rows with {scores} scores")
    return rows
