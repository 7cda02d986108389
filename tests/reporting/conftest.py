"""A small grid with made-up runs, and its report, made once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from orderdp.grid import Grid
from orderdp.reporting.artifacts import report
from tests.reporting.synthetic import tiny_grid, write_runs


class Made(NamedTuple):
    """A grid, its runs and its reports."""

    grid: Grid
    runs: Path
    reports: Path

    @property
    def out(self) -> Path:
        """Folder of the scale's report."""
        return self.reports / self.grid.scale


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The whole report; tests must not change it."""
    folder = tmp_path_factory.mktemp("project")
    grid = tiny_grid(folder)
    # Ends in every state: one run of random pruning is missing, one of InfoBatch diverged, all of the same-steps
    # baseline at 70 % did.
    diverged = [name for name in grid.runs if ("infobatch-p70" in name and "-s1-" in name) or "full-steps30" in name]
    write_runs(
        grid, folder / "runs", missing=lambda cell: "random-p70" in cell.name and cell.spec.seed == 2, diverged=diverged
    )
    report(grid, folder / "runs", folder / "reports")
    return Made(grid, folder / "runs", folder / "reports")
