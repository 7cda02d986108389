"""What `plan` says of a grid beside its numbers: what a scale replaces and leaves out, and what no table is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from orderdp import __main__ as command_line
from orderdp import grid as grids
from orderdp.jobs import costs
from orderdp.planning.bundles import Bundle
from orderdp.planning.plan import describe
from orderdp.reporting.artifacts import report
from orderdp.spec import DatasetSpec, SpecError
from tests.spec.conftest import copy, forget, read_here  # noqa: F401
from tests.spec.test_code_fingerprint import small_grid

ROOT = Path(__file__).parents[2]
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
        params["scales"][scale]["substitutes"]["mine-resnet8"] = "mine-resnet8"


def test_everything_that_a_scale_changes_is_listed(params, tmp_path):
    params["scales"]["quick"] |= {
        "methods": {"ucb": {"period": 2}},
        "coresets": {"balance": False, "proxy": {"overrides": {"epochs": 10}, "early_epochs": [1, 2, 10]}},
        "early_epochs": {"grand_4": 2, "el2n_2": 1, "el2n_20": 10},
        "experiments": {
            "table9": {"seeds": [0, 1]},
            "figure1": {
                "seeds": [0],
                "only": [{"methods": ["infobatch"], "prune_ratios": [0.7], "label_noise": [0.0]}],
            },
            "figures9_11": {"epochs": {0.99: 200}},
        },
    }
    lines = plan(written(params, tmp_path), "quick", tmp_path)
    first = lines.index("Different at this scale, by scales.quick:")
    assert lines[first + 1 : first + 12] == [
        "  methods.ucb.options.period: 2 instead of 10",
        "  coresets.balance: False instead of True",
        "  coresets.proxy.overrides.epochs: 10 instead of 20",
        "  coresets.proxy.early_epochs: 1, 2, 10 instead of 2, 4, 20",
        "  methods.grand_4.coreset.epoch: 2 instead of 4",
        "  methods.el2n_2.coreset.epoch: 1 instead of 2",
        "  methods.el2n_20.coreset.epoch: 10 instead of 20",
        "  experiments.table9.seeds: 0, 1 instead of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "  experiments.figure1.seeds: 0 instead of 0, 1, 2, 3, 4",
        "  experiments.figure1.grid: only prune_ratios 0.7 and label_noise 0 of infobatch",
        "  experiments.figures9_11.grid: 200 epochs at prune ratio 0.99",
    ]
    assert not any("Different at this scale" in line for line in plan(written(params, tmp_path), "paper", tmp_path))


def test_a_method_that_is_added_to_a_grid_is_trained_at_every_scale(params, tmp_path):
    """No scale states a grid again, from which it would be missing."""
    before = {scale: len(grids.load(written(params, tmp_path), scale).runs) for scale in SCALES}
    params["methods"]["mine"] = {"label": "Mine", "based_on": "orderdp", "options": {"initial_score": 5.0}}
    params["experiments"]["variants"]["grid"][1]["methods"].append("mine")
    path = written(params, tmp_path)
    for scale in SCALES:
        assert len(grids.load(path, scale).runs) > before[scale]


def test_a_workload_of_ones_own_leaves_the_other_runs_as_they_are(params, tmp_path):
    """Where a scale does not list it, it is left out, or trained as it is, as the scale says."""
    before = {scale: set(grids.load(written(params, tmp_path), scale).runs) for scale in SCALES}
    add_mine(params)
    path = written(params, tmp_path)
    for scale in SCALES:
        grid = grids.load(path, scale)
        mine = grid.experiments["mine"]
        assert set(grid.runs) - set(mine.runs) <= before[scale]
        said = f"without mine-resnet8, for which scales.{scale}.substitutes names nothing"
        assert (said in describe(grid, tmp_path / "runs")) == (scale == "fashion") == (not mine.rows)
        assert mine.left_out == (("mine-resnet8",) if scale == "fashion" else ())


def test_garbage_is_collected_with_a_workload_of_one_scale(params, tmp_path, monkeypatch, capsys):
    add_mine(params)
    written(params, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert command_line.gc(command_line.parser().parse_args(["gc"])) == 0
    assert "Every run belongs to a grid." in capsys.readouterr().out


def test_a_workload_that_is_nowhere_is_a_mistake(params, tmp_path):
    add_mine(params, scales=())
    params["experiments"]["mine"]["workloads"] = ["mine-resnet9"]
    message = (
        r"experiments\.mine\.workloads: 'mine-resnet9' has no entry under scales\.fashion\.substitutes, nor at any"
        r" other "
        r"scale\. Add `mine-resnet9: NAME` there, with the name of an entry of `workloads`"
    )
    with pytest.raises(SpecError, match=message) as caught:
        grids.load(written(params, tmp_path), "fashion")
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
    assert set(record["runs"]) == set(grid.experiments["mine"].runs) and record["files"] == {}
    assert "No table or figure is made of these runs." in (tmp_path / "reports/quick/index.html").read_text()


def test_photographs_in_any_number_are_planned(read_here, monkeypatch):  # noqa: F811
    """Two plans: before the data set is prepared, and from the counts of its manifest."""
    path = read_here / "orderdp/datasets/imagenet.py"
    path.write_text(re.sub(r"(n_train|n_test)=\d+", r"\1=None", path.read_text()))
    assert path.read_text().count("n_train=None") == 4
    monkeypatch.chdir(read_here)
    costs._counted.cache_clear()
    grid = small_grid(read_here)
    runs = [run for run in grid.runs.values() if run.spec.dataset.name == "imagenet"]
    unknown = [costs.seconds(run.spec, None) for run in runs]
    assert "GPU hours" in describe(grid, read_here / "runs")
    assert all(Bundle("train-0", (run,)).minutes(1) > 5 and run.resources().memory_mb > 0 for run in runs)
    Path("data/imagenet").mkdir(parents=True)
    Path("data/imagenet/manifest.json").write_text(json.dumps({"samples": {"train": 1000, "test": 200}}))
    costs._counted.cache_clear()
    forget()
    known = costs.facts(DatasetSpec(name="imagenet"))
    assert (known["n_train"], known["n_test"]) == (1000, 200)
    assert all(costs.seconds(run.spec, None) < before / 100 for run, before in zip(runs, unknown, strict=True))
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
        ("optimizers/sgd/trust", 3, r"optimizers\.sgd\.trust: Unknown key\. Got 3"),
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
            (
                r"workloads\.digits-resnet8\.overrides\.optimizer\.weight_decay: Input should be greater than or equal"
                r" to 0\. Got -1"
            ),
        ),
        (
            "workloads/digits-resnet8/overrides/optimizer",
            {"name": "adamw", "decay": "all", "clip_norm": None, "beta2": 0.9, "weight_decay": 0, "eps": 0.1},
            r"workloads\.digits-resnet8\.overrides\.optimizer\.layer_decay: Field required",
        ),
        (
            "workloads/digits-resnet8/overrides/augment",
            {
                "size": 32,
                "min_scale": 0.1,
                "flip": True,
                "interpolation": "bilinear",
                "rand_augment": None,
                "test_resize": 36,
            },
            r"workloads\.digits-resnet8\.overrides\.augment: these changes do not fit the recipe 'digits', which"
            r" states "
            r"recipes\.digits\.augment\.crop_padding beside them \(Unknown key\. Got 0\)\. Take a recipe that they fit "
            r"\(imagenet, timm, swin, vit_mae, mae\), or write one under 'recipes'",
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
