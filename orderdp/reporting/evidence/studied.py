"""Claims that the study of the theorems decides: convex training on real data, see `orderdp.theory.experiments`."""

from __future__ import annotations

import pandas as pd

from orderdp.reporting.evidence.deciding import Context, Finding, NotRun, beyond, inside
from orderdp.reporting.evidence.intervals import Estimate, mean, normal
from orderdp.reporting.evidence.runs import Frames


def unbiased(frames: Frames, *, scores: str, margin: float) -> Finding:
    """Where the mean update lies between grad L (0) and grad L_q (1), along the line through both: within a margin of 1?"""
    context = Context(
        f"place of the mean update between ∇L (0) and ∇L_q (1), {scores} scores", trials="draws", note=_exact_bias(frames, scores)
    )
    return inside(_places(frames, scores), context, 1 - margin, 1 + margin)


def biased_for_loss(frames: Frames, *, scores: str) -> Finding:
    """The same place: above 0?"""
    return beyond(
        _places(frames, scores), Context(f"place of the mean update between ∇L (0) and ∇L_q (1), {scores} scores", trials="draws")
    )


def convergence_holds(frames: Frames, *, scores: str, gap: str) -> Finding:
    """L_q less its minimum over the bound of Theorem 3 at the rate R/(G sqrt(T)), mean over seeds at each T: below 1?"""
    rows = _of_scores(_table(frames, "convergence"), scores)
    rows = rows.assign(value=rows[gap] / rows["bound"])
    estimates = [mean(part["value"].tolist(), f"T = {steps:,}") for steps, part in rows.groupby("steps")]
    return beyond(estimates, Context(f"gap over bound, {scores} scores", "×"), threshold=1.0, side=-1)


def generalization_holds(frames: Frames) -> Finding:
    """Right less left side of Theorem 4 at the iterate where it is least, per run: above 0?"""
    rows = _table(frames, "generalization")
    room = rows["right"] - rows["left"]
    least = room.groupby(rows["seed"]).min()
    step = rows.loc[room.idxmin()]
    note = f"there: left {step['left']:.3g}, right {step['right']:.3g}, of which optimization {step['optimization_bound']:.3g}"
    return beyond([mean(least.tolist())], Context("least room between the sides along a run", trials="runs", note=note))


def _places(frames: Frames, scores: str) -> list[Estimate]:
    rows = _of_scores(_table(frames, "unbiasedness"), scores)
    rows = rows[rows["q"] < rows["s"]]
    if rows.empty:
        raise NotRun(f"the study has no rows with {scores} scores and q < s")
    estimates = []
    for row in rows.to_dict("records"):
        apart = row["target"] - row["full"]
        label = f"n = {row['n']:,}, s = {row['s']}, q = {row['q']}"
        estimates.append(normal((row["estimate"] - row["full"]) / apart, row["half_width"] / abs(apart), int(row["draws"]), label))
    return estimates


def _exact_bias(frames: Frames, scores: str) -> str:
    bias = _of_scores(_table(frames, "unbiasedness"), scores)["exact_bias"].max()
    return f"exactly, from γ on these scores: |E g̃ − ∇L_q| / |∇L_q| = {bias:.2g}"


def _table(frames: Frames, name: str) -> pd.DataFrame:
    study = frames.get("study") or {}
    if name not in study or study[name].empty:
        raise NotRun("the study of the theorems has not been run")
    return study[name]


def _of_scores(table: pd.DataFrame, scores: str) -> pd.DataFrame:
    found = table[table["scores"] == scores]
    if found.empty:
        raise NotRun(f"the study has no rows with {scores} scores")
    return found
