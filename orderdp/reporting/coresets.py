"""What coresets cost to choose, and how alike they are: tidy tables from the folders in which `python -m orderdp
coresets` left them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from orderdp.grid import Grid
from orderdp.reporting.results import Runs

COST = ["workload", "method", "seed", "select_s", "proxy_s"]
OVERLAP = ["workload", "prune_ratio", "method", "label", "other", "other_label", "overlap", "pairs"]


def costs(grid: Grid, runs: Runs, experiments: Sequence[str]) -> pd.DataFrame:
    """One row per workload, static method and seed whose coresets are chosen.

    Returns:
        workload, method, seed, `select_s` (seconds to choose for all ratios at once, without the proxy) and `proxy_s`
        (seconds of the proxy's training that the method's evidence took, as if no other method had shared it).
    """
    places = {
        (row.workload, where[0])
        for name in experiments
        for row in grid.experiments[name].rows
        if (where := grid.runs[row.run].coreset)
    }
    parts = []
    for workload, folder in sorted(places):
        if runs.summary(folder) is not None:
            frame = runs.read(folder, "costs.csv", lambda content: pd.read_csv(io.BytesIO(content)))
            parts.append(frame.assign(workload=workload)[COST])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COST)


def overlaps(grid: Grid, runs: Runs, experiments: Sequence[str]) -> pd.DataFrame:
    """One row per workload, prune ratio and pair of static methods, in the order of the grid, each with itself too.

    Returns:
        workload, prune_ratio, method, label, other, other_label, `overlap` (share of the samples that both keep, in [0,
        1], mean over `pairs`; of two methods for each seed, of a method with itself for each two seeds). Only what is
        chosen has rows.
    """
    sets: dict[tuple[str, float], dict[tuple[str, str], dict[int, np.ndarray]]] = {}
    for row in (row for name in experiments for row in grid.experiments[name].rows):
        where = grid.runs[row.run].coreset
        if where is not None and row.prune_ratio is not None and runs.summary(where[0]) is not None:
            arrays = runs.read(where[0], "coresets.npz", _arrays)
            sets.setdefault((row.workload, row.prune_ratio), {}).setdefault((row.method, row.label), {})[row.seed] = (
                arrays[where[1]]
            )
    records: list[dict[str, Any]] = []
    for (workload, ratio), methods in sets.items():
        for (one, mine), (other, others) in itertools.combinations_with_replacement(methods.items(), 2):
            same = one == other
            pairs = (
                itertools.combinations(mine.values(), 2)
                if same
                else ((mine[s], others[s]) for s in sorted(set(mine) & set(others)))
            )
            shares = [len(np.intersect1d(a, b)) / len(a) for a, b in pairs]
            mean = float(np.mean(shares)) if shares else float("nan")
            records.append(dict(zip(OVERLAP, (workload, ratio, *one, *other, mean, len(shares)), strict=True)))
    return pd.DataFrame(records, columns=OVERLAP)


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
