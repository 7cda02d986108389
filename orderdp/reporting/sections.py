"""What the templates show: each function returns the values of a part of the report's page."""

from __future__ import annotations

import base64
import csv
from pathlib import Path
from typing import Any

import pandas as pd

from orderdp.grid import Experiment, Grid
from orderdp.reporting.entries import published_sheet
from orderdp.reporting.items.base import Figure, Table, paths
from orderdp.reporting.paper import ITEMS, Item
from orderdp.reporting.provenance import PARTIAL, command, find_records, is_as_made, read_record
from orderdp.reporting.registry import item_of
from orderdp.reporting.results import DIVERGED, FINISHED, NOT_RUN, Runs
from orderdp.reporting.sheets import Sheet, duration_text

DEVIATIONS = Path(__file__).with_name("deviations.csv")


def experiment_section(grid: Grid, experiment: Experiment, runs: Path, out: Path) -> dict[str, Any]:
    """Heading, caption, tables and figures of an experiment, how they were made, and which runs are missing."""
    name, item, records = experiment.name, item_of(experiment.name), find_records(out, experiment.name)
    record = (read_record(records[-1]) if records else None) or {}
    partial = record.get("fingerprint") == PARTIAL
    return {
        "name": name,
        "reproduces": experiment.reproduces,
        "title": experiment.title,
        "caption": "" if item is None else item.caption,
        "artifacts": [_artifact(artifact, out, name) for artifact in (() if item is None else item.artifacts)],
        "record": record,
        "command": record["command"] if record else command(grid, name),
        "files": [*record["files"], f"provenance/{records[-1].name}"] if record else [],
        "planned": len(experiment.jobs),
        "missing": [job for job in experiment.jobs if not (runs / job / "summary.json").is_file()],
        "state": "made from the others" if partial else "an earlier state" if record else "not made",
    }


def _artifact(artifact: Table | Figure, out: Path, experiment: str) -> dict[str, Any]:
    files = {kind: out / path for kind, path in paths(artifact).items()}
    # What is not as it was made is not shown; the page says so, as `verify` does.
    made = all(is_as_made(out, experiment, path) for path in paths(artifact).values())
    sheets = artifact.layout(pd.read_csv(files["csv"])) if made and isinstance(artifact, Table) else []
    image = base64.b64encode(files["png"].read_bytes()).decode() if made and isinstance(artifact, Figure) else ""
    return {"title": artifact.title, "sheets": sheets, "image": image}


def not_run_section(grid: Grid) -> list[tuple[Item, Sheet | None]]:
    """The paper's tables and figures without an experiment at this scale, with the numbers that the paper prints."""
    return [
        (item, published_sheet(item.published, f"{item.name} as published") if item.published else None)
        for item in ITEMS
        if item.experiment not in grid.experiments
    ]


def deviations_section() -> list[dict[str, str]]:
    """Where the project does otherwise than the paper or its released code, and why."""
    with DEVIATIONS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def runs_section(grid: Grid, results: pd.DataFrame) -> dict[str, Any]:
    """How many runs, with which seeds, what diverged, and how long all of them took."""
    distinct = results.drop_duplicates("run")
    rows = []
    for name, part in results.groupby("experiment", sort=False):
        states = part.drop_duplicates("run")["status"].value_counts()
        counts = [states.get(state, 0) for state in (FINISHED, DIVERGED, NOT_RUN)]
        rows.append((grid.experiments[str(name)].reproduces, counts, sorted(part["seed"].unique())))
    diverged = distinct[distinct["status"] == DIVERGED]
    seconds = {part: distinct[f"{part}_s"].sum() for part in ("training", "selection", "evaluation")}
    return {
        "rows": rows,
        "distinct": len(distinct),
        "finished": (distinct["status"] == FINISHED).sum(),
        "not_run": (distinct["status"] == NOT_RUN).sum(),
        "diverged": list(zip(diverged["run"], diverged["diverged_epoch"], strict=True)),
        "total": duration_text(sum(seconds.values())),
    } | {part: duration_text(time) for part, time in seconds.items()}


def environment_section(runs: Runs, names: list[str]) -> dict[str, dict[str, int]]:
    """What the runs say about where they ran: key -> value -> number of runs."""
    values: dict[str, dict[str, int]] = {}
    for summary in map(runs.summary, names):
        for key, value in ((summary or {}).get("environment") or {}).items():
            counts = values.setdefault(key, {})
            counts[str(value)] = counts.get(str(value), 0) + 1
    return values
