"""Whether the tables and figures on disk still belong to the runs on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from orderdp.grid import Grid
from orderdp.jobs.finished import DamagedRun, damaged
from orderdp.reporting.provenance import PAGE, PARTIAL, RUN_FILES, checksum, command, find_records, read_record


def verify(grid: Grid, runs: Path, reports: Path) -> list[str]:
    """Compares the records of a report with the runs and the report's files.

    Args:
        grid: of the scale.
        runs: folder of runs.
        reports: folder of all reports.

    Returns:
        One sentence per problem: a finished run is damaged, a record is missing, a run is missing or has changed since
        it was read, a file of the
        report is missing or has been changed. Empty if all is well.
    """
    broken = [str(DamagedRun(runs / name, why)) for name, why in damaged(runs, grid.jobs, contents=True).items()]
    return broken + verify_artifacts(grid, runs, reports) + _page_problems(grid, reports / grid.scale)


def verify_artifacts(grid: Grid, runs: Path, reports: Path) -> list[str]:
    """The same for the tables and figures alone: what the page itself can say about what it shows."""
    out = reports / grid.scale
    problems: list[str] = []
    checksum_once = cache(checksum)  # experiments share runs
    for name, experiment in grid.experiments.items():
        paths = find_records(out, name)
        if len(paths) != 1:
            state = "has more than one record" if paths else "has no record"
            problems.append(f"{name} {state} in {out / 'provenance'}. Make it again: {command(grid, name)}")
            continue
        record = read_record(paths[0])
        if record is None:
            problems.append(f"{paths[0]} is damaged. Make it again: {command(grid, name)}")
            continue
        for run in experiment.jobs:
            problems += _run_problems(name, run, record["runs"].get(run), runs / run, checksum_once)
        problems += [
            f"{name}: made with the run {run}, which the parameters no longer ask for"
            for run in record["runs"]
            if run not in experiment.jobs
        ]
        problems += _file_problems(name, record["files"], out)
    return problems


def page_shows(grid: Grid, out: Path) -> dict[str, str | None]:
    """Record of a table or figure that is there now -> its checksum: what the page's record holds of them."""
    return {path.name: checksum(path) for experiment in grid.experiments for path in find_records(out, experiment)}


def resume_command(grid: Grid) -> str:
    """The command that makes what is missing."""
    return f"snakemake --cores all --config scale={grid.scale}"


def _page_problems(grid: Grid, out: Path) -> list[str]:
    paths = find_records(out, PAGE)
    if len(paths) != 1:
        return [f"The page has no record in {out / 'provenance'}. Make it again: {command(grid, PAGE)}"]
    record = read_record(paths[0])
    if record is None:
        return [f"{paths[0]} is damaged. Make it again: {command(grid, PAGE)}"]
    problems = _file_problems(PAGE, record["files"], out)
    if record["shows"] != page_shows(grid, out):
        problems.append(f"The page shows older tables or figures. Make it again: {command(grid, PAGE)}")
    if record["fingerprint"] == PARTIAL:
        problems.append(f"The page was made after jobs had failed. Finish the workflow: {resume_command(grid)}")
    return problems


def _run_problems(
    experiment: str,
    run: str,
    recorded: Mapping[str, str] | None,
    folder: Path,
    checksum_once: Callable[[Path], str | None],
) -> list[str]:
    """What differs between a run and what an experiment read of it; `recorded`: file name -> checksum."""
    if not (folder / "summary.json").is_file():
        return [f"{experiment}: the run {run} is missing"]
    if recorded is None:
        return [f"{experiment}: made without the run {run}, which the parameters ask for"]
    if not recorded:
        return [f"{experiment}: made before the run {run} was finished"]
    problems = []
    for name in RUN_FILES:
        if name in recorded and (now := checksum_once(folder / name)) != recorded[name]:
            change = "is missing" if now is None else "has changed since it was read"
            problems.append(f"{experiment}: {name} of the run {run} {change}")
    return problems


def _file_problems(experiment: str, recorded: Mapping[str, str], out: Path) -> list[str]:
    problems = []
    for name, written in recorded.items():
        if (now := checksum(out / name)) != written:
            change = "is missing" if now is None else "is not the file that was made"
            problems.append(f"{experiment}: {out / name} {change}")
    return problems
