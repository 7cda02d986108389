"""Which runs a statistic needs, what is missing of them, and values paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from orderdp.reporting.claims.statistics.intervals import Estimate, geometric_mean
from orderdp.reporting.ratios import percent
from orderdp.reporting.results import FINISHED, NOT_RUN

FULL = "full"
ORDERDP = "orderdp"
KEYS = ["workload", "method", "prune_ratio", "explore"]
"""What tells the settings of one experiment apart; the seeds of a setting are its repeats."""

SAME_RATIO = 0.01
"""Realised prune ratios that are this near count as the same."""

Frames = Mapping[str, Any]
BRIEF = "brief"
"""Key of frames that need only a verdict: notes that take time and decide nothing are left out."""


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
        ratios: prune ratios of the grid; all when None.
        panel: of the experiment, where it has several.

    Returns:
        Rows of `results.collect`, one per run.

    Raises:
        NotRun: the grid has no such runs, or some of them are still missing: a verdict on part of the seeds could
            be stopped at whatever moment suits.
    """
    results: pd.DataFrame = frames["results"]
    is_full = results["method"] == FULL
    chosen = pd.Series(True, index=results.index)
    if ratios is not None:
        listed = [ratios] if isinstance(ratios, int | float) else list(ratios)
        at = pd.Series(False, index=results.index)
        for ratio in listed:
            at |= has_ratio(results, ratio)
        chosen &= at | is_full
    if panel is not None:
        chosen &= (results["panel"] == panel) | is_full
    if methods is not None:
        chosen &= results["method"].isin(list(methods))
    rows = results[chosen].drop_duplicates("run")
    absent = [method for method in methods or () if method not in set(rows["method"])]
    if absent or rows.empty:
        raise NotRun(f"this scale has no runs of {' and '.join(absent) or 'this kind'}")
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
    epochs = histories[histories["run"].isin(set(rows["run"]))].drop_duplicates(["run", "epoch"]).sort_values("epoch")
    parts = dict(list(epochs.groupby("run", sort=False)))
    values = [measure(parts[run]) if run in parts else float("nan") for run in rows["run"]]
    return rows.assign(value=values)


def settings(rows: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """(setting, its runs) for every workload, method, prune ratio and explore share."""
    groups = rows.groupby(KEYS, sort=False, dropna=False)
    return [(dict(zip(KEYS, values, strict=True)), part) for values, part in groups]


def has_ratio(rows: pd.DataFrame, ratio: float) -> pd.Series:
    """Which rows have this prune ratio in the grid; none without one, such as those of the full data."""
    return (rows["prune_ratio"].astype(float) - ratio).abs() < 1e-9


def shortfalls(rows: pd.DataFrame) -> str:
    """Which methods pruned less or more than asked: unequal budgets are unequal chances."""
    missed = []
    for setting, runs in settings(rows[rows["status"] == FINISHED]):
        realised = float(runs["realised_prune_ratio"].mean())
        if setting["prune_ratio"] == setting["prune_ratio"] and abs(realised - setting["prune_ratio"]) > SAME_RATIO:
            missed.append(f"{runs.iloc[0]['label']} {100 * realised:.1f} % of {percent(setting['prune_ratio'])}")
    return "really pruned: " + ", ".join(missed) if missed else ""


def by_seed(rows: pd.DataFrame, column: str) -> dict[int, float]:
    """Seed -> value over the finished runs that have one."""
    done = rows[(rows["status"] == FINISHED) & rows[column].notna()]
    return dict(zip(done["seed"].astype(int), done[column].astype(float), strict=True))


def pairs(one: Mapping[int, float], other: Mapping[int, float]) -> list[tuple[float, float]]:
    """Values of both sides at the seeds that both have, in the order of the seeds."""
    return [(one[seed], other[seed]) for seed in sorted(set(one) & set(other))]


def quotients(one: pd.DataFrame, other: pd.DataFrame, column: str) -> dict[int, float]:
    """Seed -> value of the one over that of the other."""
    a, b = by_seed(one, column), by_seed(other, column)
    return {seed: a[seed] / b[seed] for seed in sorted(set(a) & set(b))}


def leads_by_seed(one: pd.DataFrame, other: pd.DataFrame, column: str) -> dict[int, float]:
    """Seed -> value of the one less that of the other."""
    a, b = by_seed(one, column), by_seed(other, column)
    return {seed: a[seed] - b[seed] for seed in sorted(set(a) & set(b))}


def differences(one: pd.DataFrame, other: pd.DataFrame, column: str) -> list[float]:
    """Value of the one less that of the other at the seeds that both have."""
    return list(leads_by_seed(one, other, column).values())


def opponents(
    rows: pd.DataFrame, method: str, rivals: Sequence[str], any_ratio: bool = False
) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """(label, the method's runs, a rival's runs) for every workload, prune ratio and rival.

    A rival without a prune ratio (the full data) is compared at each ratio of the method; with `any_ratio` all are,
    whatever their ratios. Labels name what differs between the comparisons.
    """
    compared = []
    every = settings(rows)
    of_method = {name: [item for item in every if item[0]["method"] == name] for name in (method, *rivals)}
    for rival in rivals:
        for (setting, runs), (rival_setting, rival_runs) in product(of_method[method], of_method[rival]):
            free = any_ratio or rival_setting["prune_ratio"] != rival_setting["prune_ratio"]
            if setting["workload"] == rival_setting["workload"] and (
                free or abs(setting["prune_ratio"] - rival_setting["prune_ratio"]) < 1e-9
            ):
                compared.append((setting | {"rival": rival, "name": rival_runs.iloc[0]["label"]}, runs, rival_runs))
    if not compared:
        raise NotRun(f"no runs of {method} and {' or '.join(rivals)} that could be compared")
    settings_compared = [setting for setting, _, _ in compared]
    return [(_label(setting, settings_compared), runs, rival_runs) for setting, runs, rival_runs in compared]


def ratio_estimates(
    rows: pd.DataFrame, method: str, rivals: Sequence[str], column: str = "value", any_ratio: bool = False
) -> list[Estimate]:
    """Geometric mean of the column's values of a method over those of each opponent, paired by seed."""
    return [
        geometric_mean(list(quotients(runs, rival_runs, column).values()), label)
        for label, runs, rival_runs in opponents(rows, method, rivals, any_ratio)
    ]


def _label(setting: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> str:
    """`UCB at 70 % on digits-resnet8`, without what all have in common."""
    parts = []
    if len({other["rival"] for other in among}) > 1 or len(among) == 1:
        parts.append(f"against {setting['name']}")
    if len({other["prune_ratio"] for other in among}) > 1:
        parts.append(f"at {percent(setting['prune_ratio'])}")
    if len({(other["rival"], other["prune_ratio"], other["workload"]) for other in among}) < len(among):
        parts.append(f"with s/n = {setting['explore']:g}")
    if len({other["workload"] for other in among}) > 1:
        parts.append(f"on {setting['workload']}")
    return " ".join(parts) or f"on {setting['workload']}"


def place(setting: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """What tells the estimate of one setting from those of all rows: `at 70 %`, with the workload where there are
    several."""
    parts = [f"at {percent(setting['prune_ratio'])}"] if setting["prune_ratio"] == setting["prune_ratio"] else []
    if rows["workload"].nunique() > 1 or not parts:
        parts.append(f"on {setting['workload']}")
    return " ".join(parts)


def rival_label(rows: pd.DataFrame, rivals: Sequence[str]) -> str:
    """The only rival's name, or "its rival"."""
    return label_of(rows, rivals[0]) if len(rivals) == 1 else "its rival"


def label_of(rows: pd.DataFrame, method: str) -> str:
    """How a method is written in the report."""
    return str(rows.loc[rows["method"] == method, "label"].iloc[0])
