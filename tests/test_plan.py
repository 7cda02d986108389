"""What `plan` says of a grid beside its numbers: what a scale replaces and leaves out, and what no table is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from orderdp import __main__ as command_line
from orderdp import costs, resources
from orderdp import grid as grids
from orderdp.plan import describe
from orderdp.reporting.artifacts import report
from orderdp.spec import SpecError
from tests.spec.conftest import copy, forget, read_here  # noqa: F401
from tests.spec.test_sources import small_grid

ROOT = Path(__file__).parents[1]
SCALES = ("quick", "fashion", "cifar", "paper")


@pytest.fixture
def params():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def written(params, folder):
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False))
    return path


def plan(path, scale, folder):
    return describe(grids.load(path, scale), folder / "runs").splitlines()


def add_mine(params, scales=("quick",)):
    """An experiment on a workload of one's own, at these scales only."""
    params["workloads"]["mine-resnet8"] = params["workloads"]["digits-resnet8"]
    params["experiments"]["mine"] = {
        "title": "On my data",
        "reproduces": "Mine",
        "workloads": ["mine-resnet8"],
        "grid": [{"methods": ["full"]}],
    }
    for scale in scales:
        params["scales"][scale]["workloads"]["mine-resnet8"] = "mine-resnet8"


def test_a_grid_that_the_scale_replaces_is_said(params, tmp_path):
    """Editing `experiments.beyond.grid` changes nothing at `quick`, which has a list of its own."""
    params["scales"]["quick"]["experiments"] = {"beyond": {"grid": [{"methods": ["full"]}]}, "table2": {"seeds": [0]}}
    before = set(grids.load(written(params, tmp_path), "quick").cells)
    params["experiments"]["beyond"]["grid"] = [{"methods": ["ucb"], "prune_ratios": [0.5]}]
    path = written(params, tmp_path)
    assert set(grids.load(path, "quick").cells) == before
    said = "Not used at this scale, as scales.quick.experiments states other values: experiments.beyond.grid."
    assert said in plan(path, "quick", tmp_path)
    del params["scales"]["quick"]["experiments"]["beyond"]
    assert not any("scales.quick.experiments" in line for line in plan(written(params, tmp_path), "quick", tmp_path))


def test_everything_that_a_scale_replaces_is_listed(params, tmp_path):
    params["scales"]["quick"] |= {
        "methods": {"ucb": {"period": 2}},
        "coresets": {"balance": False, "proxy": {"overrides": {"epochs": 10}, "early_epochs": [1, 2, 10]}},
        "early_epochs": {"grand_4": 2, "el2n_2": 1, "el2n_20": 10},
        "experiments": {"table9": {"seeds": [0, 1]}, "figure1": {"seeds": [0]}},
    }
    assert "seeds" in params["experiments"]["table9"] and "seeds" not in params["experiments"]["figure1"]
    assert grids.load(written(params, tmp_path), "quick").replaced == {
        "scales.quick.experiments": ("experiments.table9.seeds",),
        "scales.quick.methods": ("methods.ucb.options.period",),
        "scales.quick.coresets": ("coresets.balance", "coresets.proxy.overrides.epochs", "coresets.proxy.early_epochs"),
        "scales.quick.early_epochs": (
            "methods.grand_4.coreset.epoch",
            "methods.el2n_2.coreset.epoch",
            "methods.el2n_20.coreset.epoch",
        ),
    }
    assert grids.load(written(params, tmp_path), "paper").replaced == {}


def test_a_workload_of_ones_own_at_one_scale_leaves_the_others_as_they_are(params, tmp_path):
    before = {scale: set(grids.load(written(params, tmp_path), scale).cells) for scale in SCALES}
    add_mine(params)
    path = written(params, tmp_path)
    for scale in SCALES:
        grid = grids.load(path, scale)
        mine = grid.experiments["mine"]
        assert set(grid.cells) - set(mine.cells) <= before[scale]
        said = f"without mine-resnet8, for which scales.{scale}.workloads names nothing"
        assert (said in describe(grid, tmp_path / "runs")) == (scale != "quick") == (not mine.rows)
        assert mine.left_out == (() if scale == "quick" else ("mine-resnet8",))


def test_garbage_is_collected_with_a_workload_of_one_scale(params, tmp_path, monkeypatch, capsys):
    add_mine(params)
    written(params, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert command_line.gc(command_line.parser().parse_args(["gc"])) == 0
    assert "Every run belongs to a grid." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mine-resnet8",
            r"experiments\.mine\.workloads: 'mine-resnet8' has no entry under scales\.cifar\.workloads, nor at any other scale\. "
            r"Add `mine-resnet8: mine-resnet8` there",
        ),
        (
            "mine-resnet9",
            r"'mine-resnet9' has no entry .* Add `mine-resnet9: NAME` there, with the name of an entry of `workloads`",
        ),
    ],
)
def test_a_workload_that_no_scale_has_is_a_mistake(params, tmp_path, name, message):
    add_mine(params, scales=())
    params["experiments"]["mine"]["workloads"] = [name]
    with pytest.raises(SpecError, match=message) as caught:
        grids.load(written(params, tmp_path), "cifar")
    assert str(caught.value).startswith("1 problem")


def test_an_experiment_without_a_table_is_said_and_reported_all_the_same(params, tmp_path):
    add_mine(params)
    params["experiments"] = {name: params["experiments"][name] for name in ("mine", "table10")}
    for scale in params["scales"].values():
        scale["experiments"] = {}
    grid = grids.load(written(params, tmp_path), "quick")
    lines = describe(grid, tmp_path / "runs").splitlines()
    (line,) = [line for line in lines if "no table or figure is made of them" in line]
    assert "mine" in lines[lines.index(line) - 1]
    made = report(grid, tmp_path / "runs", tmp_path / "reports")
    record = json.loads(made[0].read_text())
    assert set(record["runs"]) == set(grid.experiments["mine"].cells) and record["files"] == {}
    assert "No table or figure is made of these runs." in (tmp_path / "reports/quick/index.html").read_text()


def test_photographs_in_any_number_are_planned(read_here, monkeypatch):  # noqa: F811
    """Two plans: before the data set is prepared, and from the counts of its manifest."""
    path = read_here / "orderdp/datasets/imagenet.py"
    path.write_text(path.read_text().replace("n_train=1281167, n_test=50000", "n_train=None, n_test=None"))
    assert "n_train=None" in path.read_text()
    monkeypatch.chdir(read_here)
    costs._counted.cache_clear()
    grid = small_grid(read_here)
    cells = [cell for cell in grid.cells.values() if cell.spec.dataset.name == "imagenet"]
    unknown = [costs.seconds(cell.spec, None) for cell in cells]
    assert "GPU hours" in describe(grid, read_here / "runs")
    assert all(resources.runtime(cell, 1) > 5 and resources.mem_mb(cell, 1) > 0 for cell in cells)
    Path("data/imagenet").mkdir(parents=True)
    Path("data/imagenet/manifest.json").write_text(json.dumps({"samples": {"train": 1000, "test": 200}}))
    costs._counted.cache_clear()
    forget()
    assert costs.facts("imagenet")["n_train"] == 1000 and costs.facts("imagenet")["n_test"] == 200
    assert all(costs.seconds(cell.spec, None) < before / 100 for cell, before in zip(cells, unknown, strict=True))
    costs._counted.cache_clear()


def test_a_wrong_key_of_a_recipe_is_told_at_the_recipe_once(params, tmp_path):
    params["recipes"]["paper"]["schedule"]["maxlr"] = 0.1
    with pytest.raises(
        SpecError, match=r"^1 problem in .*\n  recipes\.paper\.schedule\.maxlr: Unknown key\. Got 0\.1$"
    ):
        grids.load(written(params, tmp_path), "quick")


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("recipes/mae/epoch", 3, r"recipes\.mae\.epoch: Unknown key\. Got 3"),  # which no run of this scale uses
        ("recipes/paper/optimizer/trust", 3, r"recipes\.paper\.optimizer\.trust: Unknown key\. Got 3"),
        (
            "recipes/paper/augment/crop_padding",
            17,
            r"recipes\.paper\.augment\.crop_padding: .*less than or equal to 16\. Got 17",
        ),
        ("recipes/paper/epochs", None, r"recipes\.paper\.epochs: Input should be a valid integer"),
        (
            "workloads/digits-resnet8/overrides/schedul",
            {"max_lr": 1},
            r"workloads\.digits-resnet8\.overrides\.schedul: Unknown key",
        ),
        (
            "workloads/digits-resnet8/overrides/optimizer",
            {"name": "sgd", "decay": "all", "clip_norm": None, "nesterov": False, "weight_decay": -1},
            r"workloads\.digits-resnet8\.overrides\.optimizer\.weight_decay: Input should be greater than or equal to 0\. Got -1",
        ),
        (
            "workloads/digits-resnet8/overrides/optimizer",
            {"name": "adamw", "decay": "all", "clip_norm": None, "beta2": 0.9, "weight_decay": 0, "eps": 0.1},
            r"workloads\.digits-resnet8\.overrides\.optimizer\.layer_decay: Field required",
        ),
        (
            "workloads/digits-resnet8/overrides/augment",
            {"size": 32, "min_scale": 0.1, "flip": True, "rand_augment": None, "test_resize": 36},
            r"workloads\.digits-resnet8\.overrides\.augment: these changes do not fit the recipe 'paper', which states "
            r"recipes\.paper\.augment\.crop_padding beside them \(Unknown key\. Got 4\)\. Take a recipe that they fit "
            r"\(imagenet, timm, swin, mae, vit_mae\), or write one under 'recipes'",
        ),
        ("coresets/proxy/overrides", {"epoch": 3}, r"coresets\.proxy\.overrides\.epoch: Unknown key\. Got 3"),
        (
            "experiments/figures9_11/grid/0/epochs",
            0,
            r"experiments\.figures9_11\.grid\.0\.epochs: .*greater than or equal to 1",
        ),
    ],
)
def test_what_is_wrong_with_a_recipe_is_named_where_it_was_written(params, tmp_path, where, value, message):
    *keys, last = where.split("/")
    place = params
    for key in keys:
        place = place[int(key) if isinstance(place, list) else key]
    place[last] = value
    with pytest.raises(SpecError, match=message) as caught:
        grids.load(written(params, tmp_path), "quick")
    assert {line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]} == {
        re.split(r"(?<!\\): ", message)[0].replace("\\", "")
    }
