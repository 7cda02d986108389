"""The registry of the paper's items: complete, read only where it is needed, and open to newcomers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orderdp import grid as grids
from orderdp.reporting import registry
from orderdp.reporting.registry import MODULES, item_of
from tests.reporting.synthetic import tiny_params, write_runs

ROOT = Path(__file__).parents[2]

LONGEST = '''"""A table of one's own: the longest run of each method."""

from orderdp.reporting.items.base import Item, Table
from orderdp.reporting.sheets import Block, Entry, Sheet


def longest(results):
    return results.groupby("label", sort=False, as_index=False)["time_s"].max()


def longest_sheets(table):
    rows = tuple((Entry(row.label), Entry(f"{row.time_s:.2f}")) for row in table.itertuples())
    return [Sheet("The longest run of each method", ("Method", "Seconds"), (Block("", rows),))]


ITEMS = {
    "longest": Item(
        caption="How long the longest run of each method took.",
        artifacts=(Table("longest", "Longest runs", ("results",), longest, longest_sheets),),
    ),
}
'''


def test_every_experiment_of_the_parameters_has_an_item_with_a_caption_and_something_to_show():
    assert set(grids.load(ROOT / "params.yaml").experiments) == set(MODULES)
    names = []
    for experiment in MODULES:
        item = item_of(experiment)
        assert len(item.caption) > 100 and item.artifacts
        names += [(artifact.folder, artifact.name) for artifact in item.artifacts]
    assert len(set(names)) == len(names)


def test_an_item_without_a_caption_is_named(monkeypatch):
    module = sys.modules[item_of("table2").artifacts[0].data.__module__]
    monkeypatch.setitem(module.ITEMS, "table2", registry.Item(" ", ()))
    with pytest.raises(LookupError, match=r"table02\.py needs a caption of 'table2', since .*registry\.py names it"):
        item_of("table2")
    monkeypatch.setattr(module, "ITEMS", {})
    with pytest.raises(LookupError, match=r"table02\.py needs ITEMS\['table2'\]"):
        item_of("table2")
    assert item_of("mine") is None


def run(folder: Path, *command: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def project(folder: Path, params: dict) -> Path:
    """A folder with a copy of the package, these parameters, and made-up runs."""
    shutil.copytree(ROOT / "orderdp", folder / "orderdp", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True))
    return folder


def test_one_table_imports_one_module(tmp_path):
    folder = project(tmp_path, tiny_params())
    code = (
        "import sys; from orderdp.__main__ import main; assert main(['report', '--only', 'table2']) == 0; "
        "print(*sorted(name.rpartition('.')[2] for name in sys.modules if name.startswith('orderdp.reporting.items.')))"
    )
    assert run(folder, "-c", code).split() == ["base", "table02"]
    assert "not run" in (folder / "reports/tiny/tables/table2.md").read_text()


def test_a_newcomers_table_is_one_module_and_one_line(tmp_path):
    """Beside its entry in params.yaml, where every experiment has one."""
    params = tiny_params()
    grid = [{"methods": ["full"]}, {"methods": ["orderdp"], "prune_ratios": [0.7]}]
    entry = {"title": "Longest runs", "reproduces": "Mine", "workloads": ["cifar10-resnet18"], "grid": grid}
    params["experiments"] = {"longest": entry}
    folder = project(tmp_path, params)
    (folder / "orderdp/reporting/items/longest.py").write_text(LONGEST)
    path = folder / "orderdp/reporting/registry.py"
    lines = path.read_text()
    path.write_text(
        lines.replace("MODULES: dict[str, str] = {\n", 'MODULES: dict[str, str] = {\n    "longest": "longest",\n')
    )
    write_runs(grids.load(folder / "params.yaml"), folder / "runs")
    run(folder, "-m", "orderdp", "report")
    made = folder / "reports/tiny"
    assert (made / "tables/longest.csv").read_text().startswith("label,time_s\nWhole Dataset,")
    assert "| OrderDP | " in (made / "tables/longest.md").read_text()
    page = (made / "index.html").read_text()
    assert "How long the longest run of each method took." in page and "The longest run of each method" in page
    assert "Reports and runs agree." in run(folder, "-m", "orderdp", "verify")
