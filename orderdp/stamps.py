"""Fingerprints of reports: what a table, a figure or the page depends on, known before anything has run."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

from orderdp import sources
from orderdp.grid import Grid


def _short(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def artifact_stamp(grid: Grid, experiment: str) -> str:
    """Fingerprint of an experiment's tables and figures: its cells and how they are looked up, its words, the reporting code."""
    entry = grid.experiments[experiment]
    rows = sorted(str(sorted(asdict(row).items())) for row in entry.rows)
    return _short(entry.title, entry.reproduces, grid.note, *rows, sources.reporting_digest())


def page_stamp(grid: Grid) -> str:
    """Fingerprint of the report page: everything on it."""
    return _short(grid.scale, *(artifact_stamp(grid, name) for name in grid.experiments))
