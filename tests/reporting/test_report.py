"""The report as a whole: files, records, checks and the page."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from orderdp.grid import report_fingerprint as fingerprints
from orderdp.reporting.artifacts import make, of_devices, report, verify
from orderdp.reporting.items.base import paths
from orderdp.reporting.paper import ITEMS
from orderdp.reporting.registry import MODULES, artifacts_of
from orderdp.reporting.results import collect
from tests.reporting.conftest import Made
from tests.reporting.synthetic import tiny_grid, tiny_params, write_run

ROOT = Path(__file__).parents[2]


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def copy(made, tmp_path):
    """The report and its runs, to be changed."""
    shutil.copytree(made.runs, tmp_path / "runs")
    shutil.copytree(made.reports, tmp_path / "reports")
    return Made(made.grid, tmp_path / "runs", tmp_path / "reports")


def test_every_experiment_of_the_parameters_makes_something(made):
    assert set(made.grid.experiments) <= set(MODULES)
    for experiment in made.grid.experiments:
        for artifact in artifacts_of(experiment):
            for path in paths(artifact).values():
                assert (made.out / path).stat().st_size > 0
    assert not list(made.reports.rglob("*.tmp"))


def test_files_are_small(made):
    sizes = {path.name: path.stat().st_size for path in (made.out / "figures").glob("*.png")}
    assert max(sizes.values()) < 150_000, sizes
    header = (made.out / "figures" / "figure1.png").read_bytes()[16:24]
    assert int.from_bytes(header[:4], "big") == 1200


@pytest.mark.slow
def test_same_runs_give_the_same_bytes_in_another_process(made, tmp_path):
    code = (
        "import sys, pathlib; from orderdp.grid import load; from orderdp.reporting.artifacts import report; "
        "report(load(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, made.runs.parent / "params.yaml", made.runs, tmp_path]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"})
    assert digests(tmp_path) == digests(made.reports)


def test_record_says_what_was_read_and_written(made):
    (path,) = (made.out / "provenance").glob("table9-*.json")
    assert path.stem == f"table9-{fingerprints.artifact_fingerprint(made.grid, 'table9')}"
    record = json.loads(path.read_text())
    assert record["command"] == "python -m orderdp report --scale tiny --only table9"
    assert record["functions"] == {"table9": "orderdp.reporting.items.table09.table9"}
    assert set(record["runs"]) == set(made.grid.experiments["table9"].runs)
    for cell, files in record["runs"].items():
        diverged = json.loads((made.runs / cell / "summary.json").read_text())["status"] == "diverged"
        assert set(files) == {"summary.json", "history.csv"} or diverged
        for name, digest in files.items():
            assert hashlib.sha256((made.runs / cell / name).read_bytes()).hexdigest() == digest
    assert set(record["files"]) == {"tables/table9.csv", "tables/table9.md", "tables/table9.tex"}
    for name, digest in record["files"].items():
        assert hashlib.sha256((made.out / name).read_bytes()).hexdigest() == digest


def test_durations_of_different_or_shared_devices_say_so(made):
    frame = pd.DataFrame({"run": ["a", "a", "b", "c"], "device": ["One Card", "One Card", "One Card", None]})
    assert of_devices(frame) == ""
    frame.loc[2, "device"] = "Another Card, shared by 4 runs"
    assert of_devices(frame) == (
        " · times of different or shared devices, in runs: Another Card, shared by 4 runs (1), One Card (1)"
    )
    assert "shared by 2 runs (2)" in of_devices(frame.assign(device=["One Card, shared by 2 runs"] * 3 + [None]))
    assert set(collect(made.grid, made.runs)["device"].dropna()) == {"made up"}


def test_verify_names_the_run_that_is_missing_and_nothing_else(made):
    problems = verify(made.grid, made.runs, made.reports)
    assert problems and all("random-p70" in problem and "is missing" in problem for problem in problems)
    assert {problem.split(":")[0] for problem in problems} == {"table2", "figures12_13"}


def test_verify_finds_a_run_that_changed(copy):
    before = set(verify(copy.grid, copy.runs, copy.reports))
    cell = copy.grid.experiments["figure1"].runs[0]
    write_run(copy.grid.runs[cell], copy.runs, shift=1.0)
    problems = set(verify(copy.grid, copy.runs, copy.reports)) - before
    assert f"figure1: history.csv of the run {cell} has changed since it was read" in problems
    assert f"table2: summary.json of the run {cell} has changed since it was read" in problems
    assert not any("selection.npz" in problem for problem in problems)  # no table or figure of the full data reads it


def test_verify_finds_a_run_that_came_later_and_one_that_went(copy):
    late = next(cell for name, cell in copy.grid.runs.items() if not (copy.runs / name).exists())
    write_run(late, copy.runs)
    gone = copy.grid.experiments["figures9_11"].runs[0]
    shutil.rmtree(copy.runs / gone)
    problems = verify(copy.grid, copy.runs, copy.reports)
    assert f"table2: made before the run {late.name} was finished" in problems
    assert f"figures9_11: the run {gone} is missing" in problems


def test_verify_finds_changed_and_missing_files_and_records(copy):
    (copy.out / "tables" / "table2.md").write_text("better")
    (copy.out / "figures" / "figure3.png").unlink()
    next((copy.out / "provenance").glob("figure1-*.json")).unlink()
    problems = "\n".join(verify(copy.grid, copy.runs, copy.reports))
    assert "table2.md is not the file that was made" in problems
    assert "figure3.png is missing" in problems
    assert "figure1 has no record" in problems and "--only figure1" in problems
    assert "The page shows older tables or figures" in problems


def test_a_new_grid_point_is_noticed(copy, tmp_path):
    params = tiny_params()
    params["scales"]["tiny"]["seeds"] = [0, 1, 2, 3]
    grid = tiny_grid(tmp_path, params)
    for cell in grid.runs.values():
        if cell.spec.seed == 3:
            write_run(cell, copy.runs)
    assert any("made without the run" in problem for problem in verify(grid, copy.runs, copy.reports))


def test_only_one_experiment_and_its_older_record_goes(copy):
    for path in (copy.out / "provenance").glob("table2-*.json"):
        path.rename(path.with_name("table2-000000000000.json"))
    before = digests(copy.reports)
    (record,) = report(copy.grid, copy.runs, copy.reports, only="table2")
    after = digests(copy.reports)
    assert [path.name for path in (copy.out / "provenance").glob("table2-*")] == [record.name]
    assert {name for name in before if after.get(name) != before[name]} == {"tiny/provenance/table2-000000000000.json"}


def test_a_failed_make_leaves_no_record(copy, monkeypatch):
    monkeypatch.setattr("orderdp.reporting.style.save", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(copy.grid, "figure3", copy.runs, copy.reports, "abc")
    assert not list((copy.out / "provenance").glob("figure3-*"))


def test_unknown_experiment_lists_the_known(made, tmp_path):
    with pytest.raises(KeyError, match=r"no experiment 'table99'. Known: table2, table9"):
        report(made.grid, made.runs, tmp_path, only="table99")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_nothing_run_still_makes_a_report_that_says_so(made, tmp_path):
    report(made.grid, tmp_path / "runs", tmp_path)
    assert "| OrderDP | not run |" in (tmp_path / "tiny" / "tables" / "table2.md").read_text()
    page = (tmp_path / "tiny" / "index.html").read_text()
    assert "not run" in page and "No run yet." in page


def test_metrics_are_those_of_table2(made):
    metrics = json.loads((made.out / "metrics.json").read_text())["digits-resnet8"]
    assert set(metrics) == {"full", "random", "infobatch", "orderdp", "full_same_steps"}
    assert set(metrics["orderdp"]) == {"p30", "p70"}
    assert 90 < metrics["orderdp"]["p70"]["accuracy"] < 100 and 0.2 < metrics["orderdp"]["p70"]["time_ratio"] < 0.5
    assert metrics["full_same_steps"]["p70"] == {"accuracy": None, "difference": None, "time_ratio": None}


class Reader(HTMLParser):
    """Checks that tags close in order, and gathers links and text."""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.links, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [
            (tag, name, value) for name, value in attrs if name in ("src", "href", "srcset", "data", "action")
        ]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(made):
    reader = Reader()
    reader.source = (made.out / "index.html").read_text(encoding="utf-8")
    reader.feed(reader.source)
    reader.whole = " ".join(" ".join(reader.text).split())
    return reader


def test_page_is_well_formed(page):
    assert page.open == [] and page.source.startswith("<!DOCTYPE html>")
    assert len(page.ids) == len(set(page.ids))


def test_page_needs_no_other_file_to_be_seen(page, made):
    assert "<script" not in page.source and "@import" not in page.source and "url(" not in page.source
    for tag, name, value in page.links:
        assert value.startswith("data:") if (name == "src" or tag == "link") else not re.match(r"\w+://", value)
    for _, _, value in (link for link in page.links if link[0] == "a"):
        assert value[1:] in page.ids if value.startswith("#") else (made.out / value).is_file()


def in_the_papers_order(experiments) -> list[str]:
    paper = [item.experiment for item in ITEMS if item.experiment in experiments]
    return [*paper, *(name for name in experiments if name not in paper)]


def test_page_shows_what_it_must(page, made):
    for text in (
        "a test with <made-up> runs & nothing else",
        "diverged",
        "2 of 3",
        "Not run at this scale",
        "Deviations from the paper",
        "orderdp.reporting.items.table02.table2",
        "python -m orderdp report --scale tiny --only figure4",
        "made up",
        "2.14.1",
    ):
        assert text in page.whole, text
    order = [
        page.source.index(f'<section id="{name}">')
        for name in ("claims", "headline", *in_the_papers_order(made.grid.experiments))
    ]
    assert order == sorted(order)
    for name in ("Table 1", "Table 3", "Table 4", "Table 7"):
        assert f"{name} :" in page.whole
    assert page.source.count("data:image/png;base64,") == len(list((made.out / "figures").glob("*.png")))


def test_page_warns_of_what_is_incomplete(page):
    assert "incomplete or out of date in 2 points" in page.whole


def test_fingerprints_follow_what_a_report_depends_on(made, tmp_path):
    before = fingerprints.fingerprints(made.grid)
    assert set(before) == set(made.grid.experiments)
    params = tiny_params()
    params["experiments"]["figure1"]["title"] = "Another title"
    params["methods"]["random"]["label"] = "Another label"
    after = fingerprints.fingerprints(tiny_grid(tmp_path, params))
    assert {name for name in before if before[name] != after[name]} == {"figure1", "table2", "figures12_13"}
    assert fingerprints.page_fingerprint(made.grid) != fingerprints.page_fingerprint(tiny_grid(tmp_path, params))
