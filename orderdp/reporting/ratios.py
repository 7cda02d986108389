"""Prune ratios as the rows of a grid have them: which there are, and where what was pruned is not what was asked
for."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

VISIBLE = 0.005
"""Distance between the requested ratio and the realised one, in [0, 1], from which figures and notes name the
latter."""


def at_place(rows: pd.DataFrame, place: int, last: bool = False) -> list[tuple[float, pd.DataFrame]]:
    """What one of several figures shows, each of which has one prune ratio of its experiment's grid.

    Args:
        rows: with the columns `workload` and `prune_ratio`, NaN for what has no ratio, such as the full data.
        place: of the figure's ratio among those of a workload, ascending, from 0.
        last: whether the figure also shows the ratios after it, so that none of a longer grid is left out.

    Returns:
        (ratio, its rows and those without a ratio), for each workload and ratio that the figure shows.
    """
    found = []
    for _, of_workload in rows.groupby("workload", sort=False):
        asked = of_workload["prune_ratio"].astype(float)
        ratios = sorted(asked.dropna().unique())
        for ratio in ratios[place:] if last else ratios[place : place + 1]:
            found.append((float(ratio), of_workload[asked.isna() | (asked == ratio)]))
    return found


def percent(ratio: float) -> str:
    """`70 %`, `29.8 %`."""
    return f"{100 * ratio:.6g} %"


def is_other(asked: float, realised: float) -> bool:
    """Whether a method pruned visibly more or less than requested; not if one of the two is unknown."""
    return abs(realised - asked) > VISIBLE


def legend(label: str, asked: float, realised: float = float("nan"), remarks: Sequence[str] = ()) -> str:
    """`OrderDP`; `InfoBatch at 70 % (really 52.5 %, 1 diverged)` where there is something to say of this ratio."""
    said = [f"really {100 * realised:.1f} %"] if is_other(asked, realised) else []
    if not (said := [*said, *remarks]):
        return label
    return f"{label}{'' if asked != asked else f' at {percent(asked)}'} ({', '.join(said)})"


def others_note(table: pd.DataFrame) -> tuple[str, ...]:
    """A note for a table that has no column for it: which methods pruned how much, if it is not what they were asked
    for.

    Args:
        table: rows with `label`, `prune_ratio`, `realised_prune_ratio` and `method`; the full data, which has no ratio
            of its own, is left out.
    """
    found = [
        f"{row['label']} {100 * row['realised_prune_ratio']:.1f} % for {percent(row['prune_ratio'])}"
        for row in table[table["method"] != "full"].to_dict("records")
        if is_other(row["prune_ratio"], row["realised_prune_ratio"])
    ]
    return (f"Really pruned, where it is not the requested ratio: {'; '.join(found)}.",) if found else ()
