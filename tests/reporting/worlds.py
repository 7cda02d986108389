"""Two made-up worlds on the real grid: one in which every claim about runs holds, one in which every one fails."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from orderdp.grid import Grid
from orderdp.reporting.results import collect
from orderdp.reporting.style import FAMILIES

EPOCHS = 20
N = 1000


def wobble(*parts: object) -> float:
    """A number in [-1, 1] that depends on nothing but its arguments."""
    return math.sin(sum((index + 1) * 97.3 * ord(letter) for index, letter in enumerate("|".join(map(str, parts)))))


def world(grid: Grid, nowhere: Any, good: bool) -> dict[str, Any]:
    """Frames as the report hands them to the claims.

    Args:
        grid: of a scale.
        nowhere: an empty folder.
        good: which of the two.
    """
    results = collect(grid, nowhere).astype({"status": "object"})
    filled = pd.DataFrame([row | measures(row, good) for row in results.to_dict("records")], columns=results.columns)
    parts = [history(row, good) for row in filled.to_dict("records")]
    return {
        "results": filled,
        "histories": pd.concat(parts, ignore_index=True),
        "diagnostics": gradients(filled, good),
        "study": study(good),
    }


def measures(row: Mapping[str, Any], good: bool) -> dict[str, Any]:
    """What summary.json would say."""
    method, seed = row["method"], row["seed"]
    ratio = 0.0 if row["prune_ratio"] != row["prune_ratio"] else row["prune_ratio"]
    realised = (
        min(ratio, 0.62)
        if method.startswith("infobatch") and good
        else ratio - (0.02 if method == "orderdp" and not good else 0)
    )
    time = 100 * (1 - 0.98 * realised) * (1 + 0.001 * wobble("time", method, seed, ratio))
    if method.startswith("infobatch"):
        time *= 1.2
    if method == "orderdp" and good:
        time *= 0.97
    if method == "orderdp" and not good:
        time = 100 * (1 + realised) * ((0.5 + row["explore"]) ** 2 if ratio == 0.7 else 1)
    accuracy = 95 + 0.02 * wobble("seed", seed) - lost(method, ratio, row["explore"], good)
    shaky = {"infobatch_nominal": 0.5} if good else {"orderdp": 0.5}
    accuracy += shaky.get(method, 0.005) * wobble("run", method, seed, ratio)
    diverged = (good and method == "infobatch" and seed == 4 and ratio == 0.4) or (
        not good and row["experiment"] == "table9" and method == "orderdp" and seed == 5
    )
    share = 0.01 if good else 0.2
    return {
        "status": "diverged" if diverged else "finished", "diverged_epoch": 2 if diverged else None,
        "test_accuracy": accuracy, "n": N,
        "realised_prune_ratio": realised, "time_s": time, "selection_s": share * time, "training_s": (1 - share) * time,
    }  # fmt: skip


def lost(method: str, ratio: float, explore: float, good: bool) -> float:
    """Points of accuracy below the full data."""
    if method == "full":
        return 0.0
    if method in FAMILIES:  # a fixed subset
        return 2 + 4 * ratio if good else -1.0
    if good:
        return (0.05 * ratio + 20 * max(0.0, ratio - 0.7)) if method == "orderdp" else 1 + 4 * ratio
    if method == "orderdp":
        # The split costs more than the ratio beyond its knee.
        return 60 * min(ratio, 0.7) + 5 * max(0.0, ratio - 0.7) + (8 * abs(explore - 0.5) if ratio == 0.7 else 0)
    return 0.0


def history(row: Mapping[str, Any], good: bool) -> pd.DataFrame:
    """What history.csv would say."""
    method, seed = row["method"], row["seed"]
    ours, infobatch = method == "orderdp", method.startswith("infobatch")
    epoch = np.arange(1, EPOCHS + 1)
    progress = epoch / EPOCHS
    noise = np.array([wobble(method, seed, e) for e in epoch])
    zigzag = (-1.0) ** epoch
    accuracy = row["test_accuracy"] * (1 - np.exp(-8 * progress)) / (1 - math.exp(-8))
    shaken = infobatch if good else method == "full"
    swing = 3.0 if shaken else 1.0 if ours and not good else 0.3
    accuracy = accuracy + (1 + 0.1 * wobble("zigzag", seed)) * swing * zigzag * (1 - progress)
    tied = 4 * np.exp(-8 * progress) + 1
    norm = tied + 0.02 * noise
    if (good and infobatch) or (not good and method == "full"):
        norm = 3 + 1.5 * noise
    if not good and infobatch:
        norm = 0.5 * tied + 0.001 * noise
    scale = ({"infobatch": 4.0, "orderdp": 1.1} if good else {"infobatch": 0.5, "orderdp": 6.0}).get(
        method.removesuffix("_nominal"), 1.0
    )
    swings = infobatch if good else ours
    rolling = (1.5 * zigzag if swings else 0.0) if good or ours else 0.0
    norm = scale * (norm + 4 + rolling) if infobatch or ours else norm + 4
    deviation = (1 + 0.05 * wobble("deviation", method, seed)) * (0.9 if swings else 0.1) * norm
    alike = 0.5 + (0.2 if ours == good else 0.0) + (0.1 if good else -0.1) * progress + 0.01 * noise
    columns = {
        "epoch": epoch, "progress": progress, "test_accuracy": accuracy, "steps": 10, "grad_norm_mean": norm,
        "grad_norm_std": deviation,
        "grad_norm_normalized_mean": 0.9 * norm, "time_s": row["time_s"] * progress,
        "jaccard": np.where(epoch == 1, np.nan, alike),
        "coverage": np.minimum(1.0 if good else 0.9 + 0.01 * wobble("coverage", seed), 0.3 * epoch),
    }  # fmt: skip
    if not good and ours:
        columns["time_s"] = row["time_s"] * np.minimum(1.0, 0.9 + 0.1 * progress)
    return pd.DataFrame(columns).assign(
        run=row["run"], experiment=row["experiment"], method=method, seed=seed, workload=row["workload"]
    )


def gradients(results: pd.DataFrame, good: bool) -> pd.DataFrame:
    """What diagnostics.csv would say."""
    rows = []
    for run in results[results["experiment"] == "table11"].to_dict("records"):
        for epoch in (4, 8, 12, 16, 20, 21):
            cosine = (
                0.7
                + (0.2 * run["prune_ratio"] if (run["method"] == "orderdp") == good else 0.0)
                + 0.01 * wobble("cosine", run["run"], epoch)
            )
            rows.append(
                {
                    "run": run["run"],
                    "experiment": "table11",
                    "epoch": epoch,
                    "progress": (epoch - 1) / EPOCHS,
                    "cosine": cosine,
                }
            )
    return pd.DataFrame(rows)


def study(good: bool, seeds: int = 3) -> dict[str, pd.DataFrame]:
    """What the study of the theorems would say; the fresh rows of the bad world are those of the good world's stale
    ones."""
    place = {"fresh": 1.0, "stale": 1.0} if good else {"fresh": -0.5, "stale": 0.1}
    unbiasedness = [
        {"scores": scores, "n": 100, "s": 20, "q": 5, "draws": 1000, "estimate": 2 + 3 * place[scores],
        "half_width": 0.03, "target": 5.0,
         "full": 2.0, "exact_bias": abs(1 - place[scores]), "variance": 3.0 if good else 6.0,
         "variance_half_width": 0.5, "uniform_variance": 4.0}
        for scores in place
    ]  # fmt: skip
    over = 0.4 if good else 1.7
    convergence = [
        {"scores": scores, "steps": steps, "seed": seed, "gap_averaged": over * (1 + 0.01 * wobble(seed)),
        "gap_best": 0.1, "bound": 1.0}
        for scores in place for steps in (100, 400) for seed in range(seeds)
    ]  # fmt: skip
    room = 1.0 if good else -1.0
    generalization = [
        {"seed": seed, "step": step, "left": 0.0, "right": room * (1 + 0.1 * wobble(seed)) + (0 if step == 2 else 3),
        "optimization_bound": 0.5,
         "bias_bound": room, "surrogate": 1.0 / step, "loss": 0.8 / step, "population": 0.9 / step, "q_n": 0.2 / step}
        for seed in range(seeds) for step in (1, 2, 3)
    ]  # fmt: skip
    return {
        "unbiasedness": pd.DataFrame(unbiasedness),
        "convergence": pd.DataFrame(convergence),
        "generalization": pd.DataFrame(generalization),
    }
