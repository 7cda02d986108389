"""Which runs a statistic needs, what is missing of them, and values paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from orderdp.reporting.ratios import percent
from orderdp.reporting.results import FINISHED, NOT_RUN

FULL = "full"
OURS = "orderdp"
KEYS = ["workload", "method", "prune_ratio", "explore"]
"""What tells the settings of one experiment apart; the seeds of a setting are its repeats."""

SAME_RATIO = 0.01
"""Realised prune ratios that are this near count as the same."""

Frames = Mapping[str, Any]
BRIEF = "brief"
"""Key of frames of which only the verdict is wanted: notes that take time and decide nothing are left out."""


class NotRun(Exception):
    """What a claim is decided from is missing; the message says what."""


def pick(
    frames: Frames,
    methods: Iterable[str] | None = None,
    ratios: float | Sequence[float] | None = None,
    panel: str | None = None,
) -> pd.DataFrame:
    """The runs that a claim is decided from.

    Args:
        frames: limited to the claim's experiments.
        methods: names; all when None. The full data is taken at every ratio and in every panel.
        ratios: prune ratios as asked for; all when None.
        panel: of the experiment, where it has several.

    Returns:
        Rows of `results.collect`, one per cell.

    Raises:
        NotRun: the grid asks for no such runs, or some of them are still missing: a verdict on part of the seeds could
            be stopped at whatever moment suits.
    """
    results: pd.DataFrame = frames["results"]
    is_full = results["method"] == FULL
    chosen = pd.Series(True, index=results.index)
    if ratios is not None:
        wanted = [ratios] if isinstance(ratios, int | float) else list(ratios)
        at = pd.Series(False, index=results.index)
        for ratio in wanted:
            at |= asked_for(results, ratio)
        chosen &= at | is_full
    if panel is not None:
        chosen &= (results["panel"] == panel) | is_full
    if methods is not None:
        chosen &= results["method"].isin(list(methods))
    rows = results[chosen].drop_duplicates("cell")
    absent = [method for method in methods or () if method not in set(rows["method"])]
    if absent or rows.empty:
        raise NotRun(f"no runs of {' and '.join(absent) or 'this kind'} are asked for at this scale")
    missing = int((rows["status"] == NOT_RUN).sum())
    if missing:
        raise NotRun(f"{missing} of {len(rows)} runs are missing")
    return rows


def measured(
    rows: pd.DataFrame, histories: pd.DataFrame, measure: Callable[[pd.DataFrame], float], needs: str = "epoch"
) -> pd.DataFrame:
    """The rows with a column `value`: `measure` of each run's history (one row per epoch, in order); NaN where it has
    none.

    Raises:
        NotRun: the histories lack the column `needs`, as those of runs that are older than it do.
    """
    if needs not in histories:
        raise NotRun(f"the runs did not record their {needs}")
    wanted = (
        histories[histories["cell"].isin(set(rows["cell"]))].drop_duplicates(["cell", "epoch"]).sort_values("epoch")
    )
    parts = dict(list(wanted.groupby("cell", sort=False)))
    values = [measure(parts[cell]) if cell in parts else float("nan") for cell in rows["cell"]]
    return rows.assign(value=values)


def settings(rows: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """(setting, its runs) for every workload, method, prune ratio and explore share."""
    groups = rows.groupby(KEYS, sort=False, dropna=False)
    return [(dict(zip(KEYS, values, strict=True)), part) for values, part in groups]


def asked_for(rows: pd.DataFrame, ratio: float) -> pd.Series:
    """Which rows were asked for this prune ratio; none without one, such as the full data's."""
    return (rows["prune_ratio"].astype(float) - ratio).abs() < 1e-9


def shortfalls(rows: pd.DataFrame) -> str:
    """Which methods pruned less or more than asked: unequal budgets are unequal chances."""
    missed = []
    for here, runs in settings(rows[rows["status"] == FINISHED]):
        realised = float(runs["realised_prune_ratio"].mean())
        if here["prune_ratio"] == here["prune_ratio"] and abs(realised - here["prune_ratio"]) > SAME_RATIO:
            missed.append(f"{runs.iloc[0]['label']} {100 * realised:.1f} % of {percent(here['prune_ratio'])}")
    return "really pruned: " + ", ".join(missed) if missed else ""


def by_seed(rows: pd.DataFrame, column: str) -> dict[int, float]:
    """Seed -> value over the finished runs that have one."""
    done = rows[(rows["status"] == FINISHED) & rows[column].notna()]
    return dict(zip(done["seed"].astype(int), done[column].astype(float), strict=True))


def pairs(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[tuple[float, float]]:
    """Values of both sides at the seeds that both have, in the order of the seeds."""
    return [(ours[seed], theirs[seed]) for seed in sorted(set(ours) & set(theirs))]


def quotients(ours: pd.DataFrame, theirs: pd.DataFrame, column: str) -> dict[int, float]:
    """Seed -> value of ours over that of theirs."""
    a, b = by_seed(ours, column), by_seed(theirs, column)
    return {seed: a[seed] / b[seed] for seed in sorted(set(a) & set(b))}


def leads_by_seed(ours: pd.DataFrame, theirs: pd.DataFrame, column: str) -> dict[int, float]:
    """Seed -> value of ours less that of theirs."""
    a, b = by_seed(ours, column), by_seed(theirs, column)
    return {seed: a[seed] - b[seed] for seed in sorted(set(a) & set(b))}


def differences(ours: pd.DataFrame, theirs: pd.DataFrame, column: str) -> list[float]:
    """Value of ours less that of theirs at the seeds that both have."""
    return list(leads_by_seed(ours, theirs, column).values())


def opponents(
    rows: pd.DataFrame, ours: str, rivals: Sequence[str], any_ratio: bool = False
) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """(label, our runs, a rival's runs) for every workload, prune ratio and rival.

    A rival without a prune ratio (the full data) is met at each of ours; with `any_ratio` all are, whatever they were
    asked for. Labels name what differs between the comparisons.
    """
    found = []
    of_method = {method: [item for item in settings(rows) if item[0]["method"] == method] for method in (ours, *rivals)}
    for rival in rivals:
        for (here, mine), (there, theirs) in product(of_method[ours], of_method[rival]):
            free = any_ratio or there["prune_ratio"] != there["prune_ratio"]
            if here["workload"] == there["workload"] and (
                free or abs(here["prune_ratio"] - there["prune_ratio"]) < 1e-9
            ):
                found.append((here | {"rival": rival, "name": theirs.iloc[0]["label"]}, mine, theirs))
    if not found:
        raise NotRun(f"no runs of {ours} and {' or '.join(rivals)} that could be compared")
    return [(_label(here, [other for other, _, _ in found]), mine, theirs) for here, mine, theirs in found]


def _label(here: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> str:
    """`UCB at 70 % on digits-resnet8`, without what all have in common."""
    parts = []
    if len({other["rival"] for other in among}) > 1 or len(among) == 1:
        parts.append(f"against {here['name']}")
    if len({other["prune_ratio"] for other in among}) > 1:
        parts.append(f"at {percent(here['prune_ratio'])}")
    if len({(other["rival"], other["prune_ratio"], other["workload"]) for other in among}) < len(among):
        parts.append(f"with s/n = {here['explore']:g}")
    if len({other["workload"] for other in among}) > 1:
        parts.append(f"on {here['workload']}")
    return " ".join(parts) or f"on {here['workload']}"


def place(here: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """Where an estimate of one setting stands among those of all rows: `at 70 %`, with the workload where there are
    several."""
    parts = [f"at {percent(here['prune_ratio'])}"] if here["prune_ratio"] == here["prune_ratio"] else []
    if rows["workload"].nunique() > 1 or not parts:
        parts.append(f"on {here['workload']}")
    return " ".join(parts)


def rival_name(rows: pd.DataFrame, rivals: Sequence[str]) -> str:
    """The only rival's name, or "its rival"."""
    return name_of(rows, rivals[0]) if len(rivals) == 1 else "its rival"


def name_of(rows: pd.DataFrame, method: str) -> str:
    """How a method is written in the report."""
    return str(rows.loc[rows["method"] == method, "label"].iloc[0])
