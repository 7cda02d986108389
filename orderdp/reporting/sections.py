"""The parts of the report's page: each function returns HTML."""

from __future__ import annotations

import base64
import csv
import html
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from orderdp.grid import Experiment, Grid
from orderdp.reporting.layouts import published_sheet
from orderdp.reporting.paper import ITEMS, Item
from orderdp.reporting.provenance import command, records
from orderdp.reporting.registry import Table, artifacts_of, paths
from orderdp.reporting.results import DIVERGED, FINISHED, NOT_RUN, Runs
from orderdp.reporting.sheets import duration_text, to_html
from orderdp.stamps import CAPTIONS

DEVIATIONS = Path(__file__).with_name("deviations.csv")


def escape(text: object) -> str:
    """Text for HTML; a number and its percent sign stay on one line."""
    return html.escape(str(text)).replace(" %", "\u00a0%")


def caption(experiment: str) -> str:
    """An experiment's caption: paragraphs of reStructuredText that use no markup but ``literal`` and *emphasis*."""
    path = CAPTIONS / f"{experiment}.rst"
    if not path.is_file():
        raise FileNotFoundError(f"The experiment {experiment!r} has no caption. Write it to {path}")
    blocks = escape(path.read_text(encoding="utf-8").strip()).split("\n\n")
    text = "".join(f"<p>{block}</p>\n" for block in blocks)
    text = re.sub(r"``(.+?)``", r"<code>\1</code>", text)
    return re.sub(r"(?<![*\w])\*([^*\n]+)\*(?![*\w])", r"<em>\1</em>", text)


def experiment_section(grid: Grid, experiment: Experiment, out: Path) -> str:
    """Heading, caption, tables and figures, and how they were made."""
    parts = [f'<section id="{experiment.name}">\n<h2>{escape(heading(experiment))}</h2>\n']
    if artifacts_of(experiment.name):
        parts.append(f'<div class="caption">{caption(experiment.name)}</div>\n')
    else:
        parts.append('<p class="missing">No table or figure is made of these runs.</p>\n')
    for artifact in artifacts_of(experiment.name):
        files = {kind: out / path for kind, path in paths(artifact).items()}
        if not all(path.is_file() for path in files.values()):
            parts.append(f'<p class="missing">{artifact.title} has not been made yet.</p>\n')
        elif isinstance(artifact, Table):
            parts += [to_html(sheet) for sheet in artifact.layout(pd.read_csv(files["csv"]))]
        else:
            parts.append(_image(files["png"], f"{artifact.title} at this scale: {experiment.title}"))
    return "".join([*parts, _provenance(grid, experiment, out), "</section>\n"])


def heading(experiment: Experiment) -> str:
    """`Table 2: Dynamic pruning methods at three prune ratios`."""
    return f"{experiment.reproduces}: {experiment.title}"


def _image(path: Path, alt: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escape(alt)}"></figure>\n'


def _provenance(grid: Grid, experiment: Experiment, out: Path) -> str:
    found = records(out, experiment.name)
    if not found:
        return f'<p class="missing">Make it: <code>{command(grid, experiment.name)}</code></p>\n'
    record: dict[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    links = ", ".join(
        f'<a href="{escape(name)}">{escape(name)}</a>' for name in [*record["files"], f"provenance/{found[-1].name}"]
    )
    functions = ", ".join(f"<code>{escape(f)}</code>" for f in dict.fromkeys(record["functions"].values()))
    cells = "".join(
        f"<li>{escape(cell)}{'' if files else ' (not run)'}</li>" for cell, files in record["cells"].items()
    )
    return (
        '<details class="provenance"><summary>Made by, from, and as files</summary>\n<dl>'
        f"<dt>Function</dt><dd>{functions}</dd><dt>Command</dt><dd><code>{escape(record['command'])}</code></dd>"
        f"<dt>Files</dt><dd>{links}</dd><dt>Runs read ({len(record['cells'])})</dt><dd><ul class='cells'>{cells}</ul></dd></dl></details>\n"
    )


def not_run_section(grid: Grid) -> str:
    """The paper's tables and figures without an experiment at this scale, with the published numbers folded away."""
    rows = []
    for item in missing_items(grid):
        published = ""
        if item.published:
            sheet = to_html(published_sheet(item.published, f"{item.name} as published"))
            published = f"<details><summary>Published numbers</summary>{sheet}</details>"
        rows.append(
            f"<li><b>{item.name}</b>: {escape(item.title)}. <span class='reason'>The parameters of this scale have no experiment for it.</span>{published}</li>\n"
        )
    if not rows:
        return ""
    return f'<section id="not-run">\n<h2>Not run at this scale</h2>\n<ul class="items">\n{"".join(rows)}</ul>\n</section>\n'


def missing_items(grid: Grid) -> list[Item]:
    """Tables and figures of the paper that the grid has no experiment for."""
    return [item for item in ITEMS if item.experiment not in grid.experiments]


def deviations_section() -> str:
    """Where the project does otherwise than the paper or its released code, and why."""
    with DEVIATIONS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    body = "".join(
        f'<tr><th scope="row">{escape(r["where"])}</th><td>{_code(r["paper"])}</td><td>{_code(r["here"])}</td><td>{_code(r["because"])}</td></tr>\n'
        for r in rows
    )
    return (
        '<section id="deviations">\n<h2>Deviations from the paper</h2>\n<div class="sheet text" tabindex="0"><table><thead><tr><th>Where</th><th>Paper</th>'
        f"<th>Here</th><th>Because</th></tr></thead><tbody>\n{body}</tbody></table></div>\n</section>\n"
    )


def _code(text: str) -> str:
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text))


def runs_section(grid: Grid, results: pd.DataFrame) -> str:
    """How many runs, with which seeds, what diverged, and how long all of them took."""
    cells = results.drop_duplicates("cell")
    rows = []
    for name, part in results.groupby("experiment", sort=False):
        states = part.drop_duplicates("cell")["status"].value_counts()
        seeds = ", ".join(map(str, sorted(part["seed"].unique())))
        counts = "".join(f"<td>{states.get(state, 0)}</td>" for state in (FINISHED, DIVERGED, NOT_RUN))
        title = escape(heading(grid.experiments[str(name)]).split(":")[0])
        rows.append(f'<tr><th scope="row">{title}</th>{counts}<td class="text">{seeds}</td></tr>\n')
    diverged = cells[cells["status"] == DIVERGED]
    listed = "".join(
        f"<li><code>{escape(cell)}</code>, epoch {epoch:.0f}</li>"
        for cell, epoch in zip(diverged["cell"], diverged["diverged_epoch"], strict=True)
    )
    compute = cells[["selection_s", "training_s", "evaluation_s"]].sum()
    return (
        '<section id="runs">\n<h2>Runs</h2>\n'
        f"<p>{len(cells)} distinct runs; {(cells['status'] == FINISHED).sum()} finished, {len(diverged)} diverged, "
        f"{(cells['status'] == NOT_RUN).sum()} not run. A run that several tables and figures show was trained once. Total "
        f"{duration_text(compute.sum())}: training {duration_text(compute['training_s'])}, selection {duration_text(compute['selection_s'])}, "
        f"evaluation {duration_text(compute['evaluation_s'])}.</p>\n"
        '<div class="sheet" tabindex="0"><table><thead><tr><th></th><th>Finished</th><th>Diverged</th><th>Not run</th><th class="text">Seeds</th></tr></thead>'
        f"<tbody>\n{''.join(rows)}</tbody></table></div>\n"
        + (
            f"<p>Diverged, that is, the training loss became infinite or undefined:</p><ul>{listed}</ul>\n"
            if listed
            else "<p>No run diverged.</p>\n"
        )
        + "</section>\n"
    )


def environment_section(runs: Runs, cells: list[str]) -> str:
    """Distinct values of everything that the runs say about where they ran."""
    summaries = [summary for cell in cells if (summary := runs.summary(cell)) is not None]
    values: dict[str, dict[str, int]] = {}
    for summary in summaries:
        for key, value in summary.get("environment", {}).items():
            counts = values.setdefault(key, {})
            counts[str(value)] = counts.get(str(value), 0) + 1
    rows = []
    for key, counts in values.items():
        texts = [
            escape(value) + (f" ({count} runs)" if len(counts) > 1 else "") for value, count in sorted(counts.items())
        ]
        rows.append(
            f'<tr><th scope="row">{escape(key.replace("_", " "))}</th><td class="text">{"<br>".join(texts)}</td></tr>\n'
        )
    body = (
        f'<div class="sheet text" tabindex="0"><table><tbody>\n{"".join(rows)}</tbody></table></div>\n'
        if rows
        else "<p>No run yet.</p>\n"
    )
    return f'<section id="environment">\n<h2>Environment of the runs</h2>\n{body}</section>\n'
