"""What the command line calls: make tables, figures and the page, and check them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from orderdp.grid import Grid
from orderdp.grid.report_fingerprint import artifact_fingerprint, page_fingerprint
from orderdp.reporting import coresets, results, style
from orderdp.reporting.items.base import paths
from orderdp.reporting.page import write_page
from orderdp.reporting.provenance import PAGE, PARTIAL, delete_records, find_records, qualified, write_record
from orderdp.reporting.registry import artifacts_of
from orderdp.reporting.results import Runs
from orderdp.reporting.verify import verify

READERS: dict[str, Callable[..., Any]] = {
    "results": results.collect,
    "pretrainings": results.pretrainings,
    "histories": results.histories,
    "selections": results.selections,
    "diagnostics": results.diagnostics,
    "profiles": results.profiles,
    "study": results.study,
    "settings": results.settings,
    "costs": coresets.costs,
    "overlaps": coresets.overlaps,
}
"""What an artifact may read -> the function of `results.py` that gives it."""

__all__ = ["make", "report", "report_after_failures", "verify"]


def report(
    grid: Grid,
    runs: Path,
    reports: Path,
    only: str | None = None,
    page: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Makes tables, figures and the page from whatever runs there are.

    Args:
        grid: of the scale.
        runs: folder of runs.
        reports: folder of all reports; everything goes to `<reports>/<scale>/`.
        only: an experiment's name, for its tables and figures alone.
        page: the page alone, from tables and figures made before. Neither `only` nor `page`: everything.
        say: receives a line for each record written.

    Returns:
        The provenance records written.

    Raises:
        KeyError: an unknown name; the message lists the known ones.
    """
    if only is not None and only not in grid.experiments:
        raise KeyError(f"The scale {grid.scale!r} has no experiment {only!r}. Known: {', '.join(grid.experiments)}.")
    names = [only] if only is not None else [] if page else list(grid.experiments)
    made = []
    for name in names:
        made.append(make(grid, name, runs, reports, artifact_fingerprint(grid, name)))
        say(f"{name}: {made[-1]}")
    if page or only is None:
        made.append(write_page(grid, runs, reports, page_fingerprint(grid)))
        say(f"{PAGE}: {reports / grid.scale / 'index.html'}")
    return made


def report_after_failures(grid: Grid, runs: Path, reports: Path) -> list[str]:
    """Makes what the workflow could not make because jobs failed, from the runs that there are, and a page that says
    what is missing.

    Its records do not have the names that the workflow looks for, so that the next call of it makes these files again.

    Args:
        grid: of the scale.
        runs: folder of runs.
        reports: folder of all reports.

    Returns:
        The experiments that were made.
    """
    made = []
    for name, experiment in grid.experiments.items():
        fingerprint = artifact_fingerprint(grid, name)
        up_to_date = f"{name}-{fingerprint}.json" in {path.name for path in find_records(reports / grid.scale, name)}
        if not up_to_date and any((runs / job / "summary.json").is_file() for job in experiment.jobs):
            make(grid, name, runs, reports, PARTIAL)
            made.append(name)
    write_page(grid, runs, reports, PARTIAL)
    return made


def make(grid: Grid, experiment: str, runs: Path, reports: Path, fingerprint: str) -> Path:
    """Makes the tables and figures of an experiment, and last the record of what they were made from.

    Args:
        grid: of the scale.
        experiment: a name in the grid. One that the registry lacks gets a record of its runs and nothing else.
        runs: folder of runs; what is not there is shown as not run.
        reports: folder of all reports; files go to `<reports>/<scale>/{tables,figures,provenance}/`.
        fingerprint: ends the record's name, from `orderdp.grid.report_fingerprint.artifact_fingerprint`.

    Returns:
        The record, `provenance/<experiment>-<fingerprint>.json`. Older records of the experiment are deleted before
        anything is written.
    """
    made = artifacts_of(experiment)
    reader = Runs(runs)
    needed = dict.fromkeys(["results", *(kind for artifact in made for kind in artifact.reads)])
    frames = {kind: READERS[kind](grid, reader, [experiment]) for kind in needed}
    out = reports / grid.scale
    footer = style.footer(frames["results"], grid.scale) if grid.experiments[experiment].rows else style.SCALE_FREE
    if grid.experiments[experiment].compares_times:
        footer += of_devices(frames["results"])
    if grid.experiments[experiment].left_out and not grid.experiments[experiment].rows:
        footer = f"left out at scale {grid.scale}"
    delete_records(out, experiment)
    for artifact in made:
        data = artifact.data(*(frames[kind] for kind in artifact.reads))
        artifact.write(data, out / artifact.folder / artifact.name, footer)
    return write_record(
        grid,
        experiment,
        fingerprint,
        out,
        [path.as_posix() for artifact in made for path in paths(artifact).values()],
        functions={artifact.name: qualified(artifact.data) for artifact in made},
        runs={job: reader.checksums.get(job, {}) for job in grid.experiments[experiment].jobs},
    )


def of_devices(results: pd.DataFrame) -> str:
    """What a table or figure of durations adds to its footer if they are not of one device; "" if they are."""
    devices = results.drop_duplicates("run")["device"].dropna().value_counts()
    if len(devices) <= 1 and not devices.index.str.contains(", shared by ").any():
        return ""
    counts = ", ".join(f"{device} ({count})" for device, count in sorted(devices.items()))
    return f" · times of different or shared devices, in runs: {counts}"
