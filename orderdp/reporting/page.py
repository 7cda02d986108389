"""`reports/<scale>/index.html`: one self-contained page that opens offline, on a phone and on paper."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from orderdp.grid import Grid
from orderdp.reporting import scorecard, sections
from orderdp.reporting.claims import evaluate
from orderdp.reporting.files import sha256_of, write, write_csv, write_json
from orderdp.reporting.headline import headline_sheets, metrics
from orderdp.reporting.paper import ITEMS
from orderdp.reporting.provenance import PAGE, discard, record, records
from orderdp.reporting.results import Runs, collect, diagnostics, histories, study
from orderdp.reporting.sheets import markdown, to_html
from orderdp.reporting.verify import verify_artifacts

CSS = Path(__file__).with_name("page.css")
FILES = ("index.html", "metrics.json", "claims.csv", "claims.md", "claims.json")


def write_page(grid: Grid, runs: Runs | Path, reports: Path, stamp: str) -> Path:
    """Writes the page, the claims (`claims.csv`, `.md`, `.json`), `metrics.json`, and last the record of what the page shows.

    Args:
        grid: of the scale.
        runs: folder of runs.
        reports: folder of all reports; what the page shows must already lie in `<reports>/<scale>/`.
        stamp: ends the record's name, from `orderdp.stamps.page_stamp`.

    Returns:
        The record, `provenance/page-<stamp>.json`.
    """
    runs = runs if isinstance(runs, Runs) else Runs(runs)
    out = reports / grid.scale
    discard(out, PAGE)
    table2 = out / "tables" / "table2.csv"
    numbers = pd.read_csv(table2) if table2.is_file() else None
    claims = decided(grid, runs)
    write_csv(out / "claims.csv", claims)
    write(out / "claims.md", "\n".join(map(markdown, scorecard.scorecard_sheets(claims))))
    write_json(out / "claims.json", scorecard.claim_metrics(claims))
    write(out / "index.html", _html(grid, runs, reports, numbers, claims))
    write_json(out / "metrics.json", {} if numbers is None else metrics(numbers))
    shows = {path.name: sha256_of(path) for experiment in grid.experiments for path in records(out, experiment)}
    return record(grid, PAGE, stamp, out, FILES, shows=shows)


def decided(grid: Grid, runs: Runs) -> pd.DataFrame:
    """The paper's claims with their verdicts on the runs that there are, from `claims.evaluate`."""
    readers = {"results": collect, "histories": histories, "diagnostics": diagnostics, "study": study}
    return evaluate({name: read(grid, runs) for name, read in readers.items()})


def in_order(grid: Grid) -> list[str]:
    """The grid's experiments in the order of the paper, others after."""
    order = [item.experiment for item in ITEMS]
    return sorted(grid.experiments, key=lambda name: order.index(name) if name in order else len(order))


def _html(grid: Grid, runs: Runs, reports: Path, table2: pd.DataFrame | None, claims: pd.DataFrame) -> str:
    out, names = reports / grid.scale, in_order(grid)
    results = collect(grid, runs)
    body = [
        scorecard.scorecard_html(claims),
        _headline(table2),
        *(sections.experiment_section(grid, grid.experiments[name], out) for name in names),
        sections.not_run_section(grid),
        sections.deviations_section(),
        sections.runs_section(grid, results),
        sections.environment_section(runs, list(grid.cells)),
    ]
    title = f"OrderDP reproduced: scale {grid.scale}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{sections.escape(title)}</title>\n<style>\n{"".join(path.read_text(encoding="utf-8") for path in (CSS, scorecard.CSS))}</style>\n</head>\n<body>\n'
        f"{_contents(grid, names)}<main>\n{_header(grid)}{_problems(grid, runs.folder, reports)}{''.join(body)}"
        "<footer>Made by <code>python -m orderdp report</code> from the files of the runs; see each section for its own command.</footer>\n"
        "</main>\n</body>\n</html>\n"
    )


def _header(grid: Grid) -> str:
    return (
        "<header>\n<h1>OrderDP reproduced</h1>\n"
        "<p>Tables and figures of “OrderDP: A Theoretically Guaranteed Lossless Dynamic Data Pruning Framework” made again from training runs of this project, with the published "
        f"numbers beside them. Scale: <b>{sections.escape(grid.scale)}</b>.</p>\n"
        f'<p class="note">{sections.escape(grid.note)}</p>\n</header>\n'
    )


def _contents(grid: Grid, names: list[str]) -> str:
    links = [("claims", "The paper’s claims"), ("headline", "In short")]
    links += [(name, grid.experiments[name].reproduces) for name in names]
    links += [("not-run", "Not run")] if sections.missing_items(grid) else []
    links += [("deviations", "Deviations"), ("runs", "Runs"), ("environment", "Environment")]
    items = "".join(f'<li><a href="#{anchor}">{sections.escape(text)}</a></li>' for anchor, text in links)
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>\n'


def _headline(table2: pd.DataFrame | None) -> str:
    sheets = [] if table2 is None else headline_sheets(table2)
    content = "".join(map(to_html, sheets)) or '<p class="missing">Table 2 has no runs at 70 % yet.</p>\n'
    return f'<section id="headline">\n<h2>In short</h2>\n{content}</section>\n'


def _problems(grid: Grid, runs: Path, reports: Path) -> str:
    """Says at the top that what is shown is incomplete or older than the runs."""
    problems = verify_artifacts(grid, runs, reports)
    if not problems:
        return ""
    items = "".join(f"<li>{sections.escape(problem)}</li>" for problem in problems)
    return (
        f'<details class="problems"><summary>This report is incomplete or out of date in {len(problems)} points; '
        f"<code>python -m orderdp verify</code> lists them too.</summary><ul>{items}</ul></details>\n"
    )
