"""Runs on coresets in the grid: what decides their names, which proxies and coresets they need, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from orderdp import grid as grids
from orderdp.coresets import CORESETS
from orderdp.reporting.style import FAMILIES, SHADES, look
from orderdp.spec import SpecError
from tests.spec.test_grid import load, params, put  # noqa: F401

LIST = (
    "import json; from orderdp import grid; "
    "print(json.dumps({r.name: r.spec.coreset and r.spec.coreset.method for r in grid.load().runs.values()}))"
)


def proxies(grid):
    return {name: job for name, job in grid.jobs.items() if job.kind == "proxy"}


def seeds(grid):
    return {row.seed for row in grid.experiments["table1"].rows}


def coreset_runs(grid):
    return {name for name, run in grid.runs.items() if run.spec.coreset is not None}


def test_one_proxy_serves_all_methods_ratios_and_seeds():
    grid = grids.load()
    assert len(proxies(grid)) == len(grid.coresets) == 1
    (coresets,) = grid.coresets.values()
    assert len(coresets.spec.wanted) == len(coreset_runs(grid)) == (15 * 3 + 6) * len(seeds(grid))
    assert {grid.runs[name].coreset[0] for name in coreset_runs(grid)} == {coresets.name}
    assert {grid.runs[name].coreset[1] for name in coreset_runs(grid)} == set(coresets.spec.wanted)
    assert grid.experiments["table1"].coresets == (coresets.name,)


def test_every_registered_method_is_in_the_table():
    assert {run.spec.coreset.method for run in grids.load().runs.values() if run.spec.coreset} == set(CORESETS)


def test_proxies_repeat_no_run():
    grid = grids.load()
    for proxy in proxies(grid).values():
        seeds = range(proxy.spec.seed, proxy.spec.seed + proxy.spec.models + 1)
        assert not {run.spec.seed for run in grid.runs.values()} & set(seeds)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("coresets/proxy/models", 5),
        ("coresets/proxy/validation", 0.2),
        ("coresets/proxy/deepfool/iterations", 10),
        ("coresets/proxy/seed", 2000),
        ("scales/quick/coresets/proxy/overrides", {"epochs": 12}),
    ],
)
def test_the_protocol_decides_every_static_run_and_no_other(tmp_path, params, where, value):  # noqa: F811
    before = load(tmp_path, params)
    put(params, where, value)
    after = load(tmp_path, params)
    assert set(before.runs) - set(after.runs) == coreset_runs(before)
    assert len(after.runs) == len(before.runs)
    assert not set(proxies(before)) & set(proxies(after))


def test_balance_renames_runs_but_trains_no_new_proxy(tmp_path, params):  # noqa: F811
    before = load(tmp_path, params)
    put(params, "coresets/balance", False)
    after = load(tmp_path, params)
    # The unbalanced random subset and the protocol's would now be one run, shared by both rows.
    assert len(set(before.runs) - set(after.runs)) == (15 * 3 + 5) * len(seeds(before))
    assert set(proxies(before)) == set(proxies(after))


def test_an_option_renames_its_method_only(tmp_path, params):  # noqa: F811
    before = load(tmp_path, params)
    put(params, "methods/glister/coreset/options/rounds", 3)
    gone = set(before.runs) - set(load(tmp_path, params).runs)
    assert {before.runs[name].spec.coreset.method for name in gone} == {"glister"}
    assert len(gone) == 3 * len(seeds(before))


@pytest.mark.parametrize(
    ("file", "renamed"),
    [
        ("coresets/glister.py", {"glister"}),
        ("coresets/quotas.py", set(CORESETS)),
        ("training/proxy.py", set(CORESETS)),
        ("jobs/coresets.py", set()),
        ("coresets/command.py", set()),
    ],
)
def test_an_edit_renames_the_coresets_that_it_decides(copy, file, renamed):
    def runs():
        return json.loads(
            subprocess.run([sys.executable, "-c", LIST], cwd=copy, capture_output=True, text=True, check=True).stdout
        )

    before = runs()
    path = copy / "orderdp" / file
    path.write_text(path.read_text() + "\nEDITED = True\n")
    gone = set(before) - set(runs())
    assert {before[name] for name in gone} == renamed


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (
            "methods/herding/coreset/name",
            "herdng",
            r"methods\.herding\.coreset\.name: unknown name 'herdng'\. Known: random, contextual",
        ),
        (
            "methods/herding/coreset/options",
            {"a": 1},
            r"methods\.herding\.coreset\.options\.a: unknown option of herding\. Known: none",
        ),
        ("methods/glister/coreset/options", {"rate": 0.1}, r"methods\.glister\.coreset\.options\.rounds: missing"),
        ("methods/el2n_2/coreset/models", 9, r"methods\.el2n_2\.coreset: 'models' must be at most the proxy's 4"),
        (
            "scales/quick/early_epochs/el2n_2",
            3,
            r"'epoch' must be one of the proxy's 'early_epochs' \[1, 2, 8\]\. Got 3",
        ),
        (
            "scales/quick/coresets/proxy/early_epochs",
            [1, 2, 30],
            r"coresets\.proxy: 'early_epochs' must be at most the proxy's 8 epochs",
        ),
        ("scales/quick/coresets/proxy/modles", 3, r"scales\.quick\.coresets\.proxy\.modles: Unknown key"),
        ("coresets/proxy/validation", 0.5, r"coresets\.proxy\.validation: Input should be less than 0\.5\. Got 0\.5"),
        ("coresets/balance", "even", r"coresets\.balance"),
        ("methods/herding/coreset", None, r"methods\.herding: needs a 'name', a 'coreset' or 'based_on'"),
        (
            "methods/ucb/coreset",
            {"name": "random"},
            r"methods\.ucb: needs 'coreset' if, and only if, its 'name' is static",
        ),
    ],
)
def test_bad_input_is_one_error_that_names_it(tmp_path, params, where, value, message):  # noqa: F811
    put(params, where, value)
    with pytest.raises(SpecError, match=message):
        load(tmp_path, params)


def test_families_are_those_of_the_methods():
    grid = grids.load()
    specs = {row.method: grid.runs[row.run].spec for row in grid.experiments["table1"].rows}
    found = {
        method: CORESETS[spec.coreset.method].method.family
        for method, spec in specs.items()
        if spec.coreset is not None
    }
    assert found == FAMILIES
    assert len({look(method) for method in FAMILIES}) == len(FAMILIES)
    assert {family: len(shades) for family, shades in SHADES.items()} == {
        f: list(FAMILIES.values()).count(f) for f in SHADES
    }
