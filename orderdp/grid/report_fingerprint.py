"""Fingerprints of reports: what a table, a figure or the page depends on, known before anything has run.

Light, as the Snakefile imports it at every parse: no pandas, and no file of a run is read.
"""

from __future__ import annotations

import hashlib

from orderdp import code_fingerprint as code
from orderdp.grid import Grid


def fingerprints(grid: Grid) -> dict[str, str]:
    """Experiment -> fingerprint of its tables and figures, for every experiment of the grid."""
    return {name: artifact_fingerprint(grid, name) for name in grid.experiments}


def artifact_fingerprint(grid: Grid, experiment: str) -> str:
    """Fingerprint of an experiment's tables and figures: its runs (whose names end in their fingerprints) and how they
    are looked up, in which order, its job or settings, its words, the scale, the reporting code with its captions.

    Raises:
        KeyError: the grid has no such experiment.
    """
    entry = grid.experiments[experiment]
    rows = sorted(str(sorted(vars(row).items())) for row in entry.rows)
    order = dict.fromkeys(row.label for row in entry.rows)  # of table lines and legends
    words = (grid.scale, grid.note, entry.title, entry.reproduces)
    made_of = (repr(entry.settings), entry.job or "")
    return _short(*words, *made_of, *order, *rows, code.reporting_checksum())


def page_fingerprint(grid: Grid) -> str:
    """Fingerprint of the report page: everything on it."""
    return _short(grid.scale, *fingerprints(grid).values())


def _short(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
