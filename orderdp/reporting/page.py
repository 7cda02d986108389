"""`reports/<scale>/index.html`: one self-contained page that opens offline, on a phone and on paper."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from orderdp.files import write, write_json
from orderdp.grid import Grid
from orderdp.reporting import scorecard, sections
from orderdp.reporting.claims import evaluate
from orderdp.reporting.headline import headline_sheets, metrics
from orderdp.reporting.html import render
from orderdp.reporting.paper import ITEMS
from orderdp.reporting.provenance import PAGE, PARTIAL, delete_records, is_as_made, write_record
from orderdp.reporting.results import Runs, collect, diagnostics, histories, pretrainings, study, with_pretraining
from orderdp.reporting.sheets import markdown, write_csv
from orderdp.reporting.verify import page_shows, resume_command, verify_artifacts

FILES = ("index.html", "metrics.json", "claims.csv", "claims.md", "claims.json")


def write_page(grid: Grid, runs: Runs | Path, reports: Path, fingerprint: str) -> Path:
    """Writes the page, the claims (`claims.csv`, `.md`, `.json`), `metrics.json`, and last the record of what the page
    shows.

    Args:
        grid: of the scale.
        runs: folder of runs.
        reports: folder of all reports; what the page shows must already lie in `<reports>/<scale>/`.
        fingerprint: ends the record's name, from `grid.report_fingerprint.page_fingerprint`; PARTIAL for a page that
            begins with what is missing.

    Returns:
        The record, `provenance/page-<fingerprint>.json`.
    """
    runs = runs if isinstance(runs, Runs) else Runs(runs)
    out = reports / grid.scale
    claims = decide_claims(grid, runs)
    table2 = Path("tables/table2.csv")
    numbers = pd.read_csv(out / table2) if is_as_made(out, "table2", table2) else None
    delete_records(out, PAGE)
    write_csv(out / "claims.csv", claims)
    write(out / "claims.md", "\n".join(map(markdown, scorecard.scorecard_sheets(claims))))
    write_json(out / "claims.json", scorecard.claim_metrics(claims))
    order = [item.experiment for item in ITEMS]  # of the paper; others follow
    names = sorted(grid.experiments, key=lambda name: order.index(name) if name in order else len(order))
    experiments = [sections.experiment_section(grid, grid.experiments[name], runs.folder, out) for name in names]
    page = render(
        "page.html.j2",
        grid=grid,
        partial=fingerprint == PARTIAL,
        missing=list(dict.fromkeys(folder for experiment in experiments for folder in experiment["missing"])),
        resume_command=resume_command(grid),
        problems=verify_artifacts(grid, runs.folder, reports),
        scorecard=scorecard.scorecard_html(claims),
        headline=[] if numbers is None else headline_sheets(numbers),
        experiments=experiments,
        not_run=sections.not_run_section(grid),
        deviations=sections.deviations_section(),
        runs=sections.runs_section(grid, collect(grid, runs)),
        environment=sections.environment_section(runs, list(grid.runs)),
    )
    write(out / "index.html", page)
    write_json(out / "metrics.json", {} if numbers is None else metrics(numbers))
    return write_record(grid, PAGE, fingerprint, out, FILES, shows=page_shows(grid, out))


def decide_claims(grid: Grid, runs: Runs) -> pd.DataFrame:
    """The paper's claims with their verdicts on the runs that there are, from `claims.evaluate`."""
    frames = {"histories": histories(grid, runs), "diagnostics": diagnostics(grid, runs), "study": study(grid, runs)}
    return evaluate({"results": with_pretraining(collect(grid, runs), pretrainings(grid, runs))} | frames)
