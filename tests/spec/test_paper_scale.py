"""Tables 3 to 7: what their experiments lay out at the paper's scale, and what smaller scales leave out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from orderdp import grid as grids
from orderdp.reporting.paper import ITEMS
from orderdp.spec import SpecError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def params():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def load(params, folder):
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False))
    return grids.load(path, "paper")


@pytest.fixture(scope="module")
def grid(params, tmp_path_factory):
    start = time.perf_counter()
    grid = load(params, tmp_path_factory.mktemp("paper"))
    assert time.perf_counter() - start < 5
    return grid


def of(grid, experiment):
    return [grid.runs[name] for name in grid.experiments[experiment].runs]


def test_every_run_is_complete(grid):
    assert {"imagenet", "cifar10", "cifar100"} <= set(grid.datasets)
    assert len(of(grid, "table3")) == 6 * 3 and len(of(grid, "table4")) == 7 * 3
    assert len(of(grid, "table6")) == 6 * 15 * 3 and len(of(grid, "table7")) == 4 * 9 * 3
    assert {run.name for run in of(grid, "table4")} & {run.name for run in of(grid, "table3")}  # shared, trained once


def test_changing_the_optimizer_leaves_nothing_of_the_old_one(grid):
    names = [
        run.spec.recipe.optimizer.name
        for run in of(grid, "table7")
        if run.spec.method.name == "full" and run.spec.seed == 0
    ]
    assert names == ["sgd", "adamw", "lars", "lamb"]
    lars = next(run for run in of(grid, "table7") if run.spec.recipe.optimizer.name == "lars")
    assert lars.spec.recipe.schedule.max_lr == 5.2 and lars.spec.recipe.schedule.base_momentum == 0.85
    assert "-lars-" in lars.name


def test_the_method_prunes_the_pretraining_and_fine_tuning_is_whole(grid):
    assert len(of(grid, "table5")) == 3 * 2 * 3
    runs = [run for run in of(grid, "table5") if run.starts_from is not None]
    assert len(runs) == 2 * 3
    for run in runs:
        before = grid.runs[run.starts_from]
        assert run.spec.method.name == "full" and run.spec.pretraining == before.spec
        assert before.spec.recipe.task == "reconstruct" and before.starts_from is None
        assert grid.users[before.name] == ("table5",)
        assert before.name not in grid.experiments["table5"].runs  # it is trained, and no row shows it
        assert run.spec.seed == before.spec.seed
        assert "orderdp.models.mae" in run.sources and "orderdp.models.timm_networks" in run.sources
    assert {grid.runs[run.starts_from].spec.method.name for run in runs} == {"full", "orderdp"}
    assert any("-pre_orderdp_p30.8-" in run.name for run in runs)


def test_each_network_of_table5_has_its_own_ratio(grid):
    asked = {(row.stands_for, row.prune_ratio) for row in grid.experiments["table5"].rows if row.method == "orderdp"}
    assert asked == {(("imagenet-resnet50-timm",), 0.298), (("imagenet-swin",), 0.221), (("imagenet-vit-mae",), 0.308)}
    assert sum(row.method == "full" for row in grid.experiments["table5"].rows) == 3 * 3


def test_an_entry_of_an_unknown_workload_is_named(params, tmp_path):
    table5 = params["experiments"]["table5"]
    wrong = {**table5, "grid": [{**table5["grid"][1], "workloads": ["imagenet-swim"]}]}
    message = (
        r"experiments\.table5\.grid\.0\.workloads: unknown name 'imagenet-swim'\. Known: imagenet-resnet50-timm,"
        r" imagenet-swin"
    )
    with pytest.raises(SpecError, match=message):
        load({**params, "experiments": {**params["experiments"], "table5": wrong}}, tmp_path)


def test_an_entry_stands_only_for_its_own_workloads(params, tmp_path):
    """Where one network of ours stands for several of the paper's, a row names those that the entry is for."""
    table6 = params["experiments"]["table6"]
    one = {
        **table6,
        "grid": [
            {"methods": ["full"]},
            {"methods": ["orderdp"], "prune_ratios": [0.3], "workloads": ["cifar10-resnet18"]},
        ],
    }
    substitutes = dict.fromkeys(table6["workloads"][:-1], "fashion-resnet8") | {"imagenet-resnet50": None}
    path = tmp_path / "params.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                **params,
                "experiments": {"table6": one},
                "scales": {
                    "fashion": {**params["scales"]["cifar"], "unlisted": "left out", "substitutes": substitutes}
                },
                "scale": "fashion",
            }
        )
    )
    rows = grids.load(path).experiments["table6"].rows
    assert {row.stands_for for row in rows if row.method == "orderdp"} == {("cifar10-resnet18",)}
    assert {len(row.stands_for) for row in rows if row.method == "full"} == {5}


@pytest.mark.parametrize("scale", ["cifar", "paper"])
def test_every_table_and_figure_of_the_paper_is_laid_out_in_seconds(scale):
    start = time.process_time()
    grid = grids.load(ROOT / "params.yaml", scale)
    assert time.process_time() - start < 5
    assert {item.experiment for item in ITEMS} <= set(grid.experiments)
    assert list(grid.experiments)[-1] == "variants"


def test_what_a_scale_leaves_out_is_said(params, tmp_path):
    grid = grids.load(ROOT / "params.yaml", "cifar")
    assert "imagenet" not in grid.datasets
    assert (
        grid.experiments["table6"].left_out == ("imagenet-resnet18", "imagenet-resnet50")
        and len(of(grid, "table6")) == 4 * 15 * 3
    )
    assert grid.experiments["table7"].left_out == () and len(of(grid, "table7")) == 4 * 9 * 3
    assert of(grid, "table3") == [] and grid.experiments["table3"].left_out == ("imagenet-resnet50",)
    cifar = {**params["scales"]["cifar"], "unlisted": "left out"}  # no scale has it: a mistake
    with pytest.raises(
        SpecError,
        match=r"experiments\.table3\.workloads: 'imagenet-resnet50' has no entry under scales\.cifar\.substitutes",
    ):
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump({**params, "scales": {"cifar": {**cifar, "substitutes": {}}}, "scale": "cifar"}))
        grids.load(path)


@pytest.mark.parametrize(
    ("workload", "overrides", "message"),
    [
        ("imagenet-resnet50", {"optimizer": {"trust": 1}},
        r"workloads\.imagenet-resnet50\.overrides\.optimizer\.trust: Unknown key"),
        ("imagenet-resnet50", {"optimizer": {"name": "adam"}},
        r"imagenet-resnet50\.overrides\.optimizer: .*'adam' .*does not match.*'sgd', 'adamw', 'lars', 'lamb'"),
        ("imagenet-resnet50", {"optimizer": {"name": "lamb"}},
        r"imagenet-resnet50\.overrides\.optimizer\.beta2: Field required"),
        ("imagenet-resnet50", {"precision": "fp8"}, r"imagenet-resnet50\.overrides\.precision: .*'fp16'"),
        ("imagenet-swin", {"mix": {"erase": 2}},
        r"imagenet-swin\.overrides\.mix\.erase: Input should be less than or equal to 1\. Got 2"),
        ("imagenet-swin", {"augment": {"min_scale": 0}},
        r"imagenet-swin\.overrides\.augment\.min_scale: .*greater than 0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(params, tmp_path, workload, overrides, message):
    changed = {**params["workloads"], workload: {**params["workloads"][workload], "overrides": overrides}}
    with pytest.raises(SpecError, match=message):
        load({**params, "workloads": changed}, tmp_path)


def test_what_the_page_names_is_here(params):
    page = (ROOT / "docs/imagenet.md").read_text(encoding="utf-8")
    places = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["data_dirs"]
    assert set(places) <= set(params["data_dirs"])
    table = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [
        name for cell in table for name in cell.replace("`-", "`cifar10-resnet50-").replace("`", "").strip().split(", ")
    ]
    assert len(named) == 9 and set(named) <= set(params["workloads"])
