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
from orderdp.reporting.provenance import PAGE, PARTIAL, discard, record, records
from orderdp.reporting.results import Runs, collect, diagnostics, histories, pretrainings, study, with_pretraining
from orderdp.reporting.sheets import markdown, to_html
from orderdp.reporting.verify import go_on, verify_artifacts

CSS = Path(__file__).with_name("page.css")
FILES = ("index.html", "metrics.json", "claims.csv", "claims.md", "claims.json")


def write_page(grid: Grid, runs: Runs | Path, reports: Path, stamp: str) -> Path:
    """Writes the page, the claims (`claims.csv`, `.md`, `.json`), `metrics.json`, and last the record of what the page
    shows.

    Args:
        grid: of the scale.
        runs: folder of runs.
        reports: folder of all reports; what the page shows must already lie in `<reports>/<scale>/`.
        stamp: ends the record's name, from `orderdp.stamps.page_stamp`; PARTIAL for a page that begins with what is
            missing.

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
    write(out / "index.html", _html(grid, runs, reports, numbers, claims, stamp == PARTIAL))
    write_json(out / "metrics.json", {} if numbers is None else metrics(numbers))
    shows = {path.name: sha256_of(path) for experiment in grid.experiments for path in records(out, experiment)}
    return record(grid, PAGE, stamp, out, FILES, shows=shows)


def decided(grid: Grid, runs: Runs) -> pd.DataFrame:
    """The paper's claims with their verdicts on the runs that there are, from `claims.evaluate`."""
    readers = {"results": collect, "histories": histories, "diagnostics": diagnostics, "study": study}
    frames = {name: read(grid, runs) for name, read in readers.items()}
    return evaluate(frames | {"results": with_pretraining(frames["results"], pretrainings(grid, runs))})


def in_order(grid: Grid) -> list[str]:
    """The grid's experiments in the order of the paper, others after."""
    order = [item.experiment for item in ITEMS]
    return sorted(grid.experiments, key=lambda name: order.index(name) if name in order else len(order))


def _html(
    grid: Grid, runs: Runs, reports: Path, table2: pd.DataFrame | None, claims: pd.DataFrame, partial: bool
) -> str:
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
    missing = _missing(grid, runs.folder, out) if partial else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{sections.escape(title)}</title>\n<style>\n{"".join(path.read_text(encoding="utf-8") for path in (CSS, scorecard.CSS))}</style>\n</head>\n<body>\n'
        f"{_contents(grid, names)}<main>\n{_header(grid)}{missing}{_problems(grid, runs.folder, reports)}{''.join(body)}"
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
    content = "".join(map(to_html, sheets)) or '<p class="missing">Table 2 has no runs yet.</p>\n'
    return f'<section id="headline">\n<h2>In short</h2>\n{content}</section>\n'


def _missing(grid: Grid, runs: Path, out: Path) -> str:
    """Says at the top what is missing after jobs have failed, and which tables and figures that concerns."""
    missing: dict[str, None] = {}
    items = []
    for name in in_order(grid):
        experiment = grid.experiments[name]
        lacks = [folder for folder in experiment.folders if not (runs / folder / "summary.json").is_file()]
        missing |= dict.fromkeys(lacks)
        if lacks:
            found = records(out, name)
            state = (
                "made from the others"
                if found and found[-1].stem.endswith(f"-{PARTIAL}")
                else "an earlier state"
                if found
                else "not made"
            )
            items.append(
                f'<li><a href="#{name}">{sections.escape(experiment.reproduces)}</a>: {len(lacks)} of {len(experiment.folders)} missing; {state}</li>'
            )
    count = "1 result is" if len(missing) == 1 else f"{len(missing)} results are"
    names = "".join(f"<li><code>{sections.escape(name)}</code></li>" for name in missing)
    return (
        f'<div class="problems"><p><b>This report is not complete: jobs of the workflow failed, and {count} missing.</b> '
        f"<code>{sections.escape(go_on(grid))}</code> tries them again; the logs are in <code>logs/</code>. Tables and figures that this concerns:</p>\n"
        f"<ul>{''.join(items)}</ul>\n<details><summary>What is missing</summary><ul>{names}</ul></details></div>\n"
    )


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
