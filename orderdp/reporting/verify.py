"""Whether the tables and figures on disk still belong to the runs on disk."""

from __future__ import annotations

import json
from pathlib import Path

from orderdp.grid import Grid
from orderdp.reporting.files import sha256_of
from orderdp.reporting.provenance import PAGE, PARTIAL, RUN_FILES, command, records


def verify(grid: Grid, runs: Path, reports: Path) -> list[str]:
    """Compares the records of a report with the runs and the report's files.

    Args:
        grid: of the scale.
        runs: folder of runs.
        reports: folder of all reports.

    Returns:
        One sentence per problem: a record is missing, a run is missing or has changed since it was read, a file of the
        report is missing or has been changed. Empty if all is well.
    """
    return verify_artifacts(grid, runs, reports) + _page(grid, reports / grid.scale)


def verify_artifacts(grid: Grid, runs: Path, reports: Path) -> list[str]:
    """The same for the tables and figures alone: what the page itself can say about what it shows."""
    out = reports / grid.scale
    problems: list[str] = []
    known: dict[tuple[str, str], str | None] = {}
    for experiment in grid.experiments:
        found = records(out, experiment)
        if len(found) != 1:
            what = "has no record" if not found else "has more than one record"
            problems.append(f"{experiment} {what} in {out / 'provenance'}. Make it again: {command(grid, experiment)}")
            continue
        record = json.loads(found[0].read_text(encoding="utf-8"))
        problems += _cells(experiment, record["cells"], grid.experiments[experiment].folders, runs, known)
        problems += _files(experiment, record["files"], out)
    return problems


def _page(grid: Grid, out: Path) -> list[str]:
    """The page must show the tables and figures that are there now."""
    found = records(out, PAGE)
    if len(found) != 1:
        return [f"The page has no record in {out / 'provenance'}. Make it again: {command(grid, PAGE)}"]
    record = json.loads(found[0].read_text(encoding="utf-8"))
    now = {path.name: sha256_of(path) for experiment in grid.experiments for path in records(out, experiment)}
    stale = (
        []
        if record["shows"] == now
        else [f"The page shows older tables or figures. Make it again: {command(grid, PAGE)}"]
    )
    if record["stamp"] == PARTIAL:
        stale.append(f"The page was made after jobs had failed. Finish the workflow: {go_on(grid)}")
    return stale + _files(PAGE, record["files"], out)


def go_on(grid: Grid) -> str:
    """The command that makes what is missing."""
    return f"snakemake --cores all --config scale={grid.scale}"


def _cells(
    experiment: str,
    read: dict[str, dict[str, str]],
    wanted: tuple[str, ...],
    runs: Path,
    known: dict[tuple[str, str], str | None],
) -> list[str]:
    problems = []
    for cell in wanted:
        if not (runs / cell / "summary.json").is_file():
            problems.append(f"{experiment}: the run {cell} is missing")
            continue
        if cell not in read:
            problems.append(f"{experiment}: made without the run {cell}, which the parameters ask for")
        elif not read[cell]:
            problems.append(f"{experiment}: made before the run {cell} was finished")
        for name in RUN_FILES:
            if name not in read.get(cell, {}):
                continue
            if (cell, name) not in known:
                known[cell, name] = sha256_of(runs / cell / name)
            if (now := known[cell, name]) != read[cell][name]:
                problems.append(
                    f"{experiment}: {name} of the run {cell} "
                    + ("is missing" if now is None else "has changed since it was read")
                )
    extra = [cell for cell in read if cell not in wanted]
    return problems + [
        f"{experiment}: made with the run {cell}, which the parameters no longer ask for" for cell in extra
    ]


def _files(experiment: str, written: dict[str, str], out: Path) -> list[str]:
    problems = []
    for name, digest in written.items():
        now = sha256_of(out / name)
        if now is None:
            problems.append(f"{experiment}: {out / name} is missing")
        elif now != digest:
            problems.append(f"{experiment}: {out / name} is not the file that was made")
    return problems
