"""Tables 3 to 7 can be written down: what their experiments would lay out at the paper's scale."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from orderdp import grid as grids
from orderdp.spec import SpecError

ROOT = Path(__file__).parents[2]
EXPERIMENTS = """
table3:
  title: Dynamic methods on ImageNet-1K
  reproduces: Table 3
  workloads: [imagenet-resnet50]
  grid:
    - {methods: [full]}
    - {methods: [random, epsilon_greedy, ucb, infobatch, orderdp], prune_ratios: [0.4]}
table4:
  title: ImageNet-1K at several prune ratios
  reproduces: Table 4
  workloads: [imagenet-resnet50]
  grid:
    - {methods: [full]}
    - {methods: [infobatch, orderdp], prune_ratios: [0.3, 0.4, 0.6]}
table5_timm:
  title: ResNet-50 with timm's recipe
  reproduces: Table 5
  workloads: [imagenet-resnet50-timm]
  grid:
    - {methods: [full]}
    - {methods: [orderdp], prune_ratios: [0.298]}
table5_swin:
  title: Swin-Tiny
  reproduces: Table 5
  workloads: [imagenet-swin]
  grid:
    - {methods: [full]}
    - {methods: [orderdp], prune_ratios: [0.221]}
table5_vit:
  title: ViT-Base, pre-trained as a masked autoencoder
  reproduces: Table 5
  workloads: [imagenet-vit-mae]
  grid:
    - {methods: [full]}
    - {methods: [orderdp], prune_ratios: [0.308]}
table6:
  title: Largest prune ratio without loss
  reproduces: Table 6
  workloads: [cifar10-resnet18, cifar10-resnet50, cifar100-resnet18, cifar100-resnet50, imagenet-resnet18, imagenet-resnet50]
  grid:
    - {methods: [full]}
    - {methods: [infobatch, orderdp], prune_ratios: [0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5]}
table7:
  title: Optimizers
  reproduces: Table 7
  workloads: [cifar10-resnet50, cifar10-resnet50-adamw, cifar10-resnet50-lars, cifar10-resnet50-lamb]
  grid:
    - {methods: [full]}
    - {methods: [infobatch, orderdp], prune_ratios: [0.3, 0.4]}
"""


@pytest.fixture(scope="module")
def params():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["experiments"] |= {name: entry for name, entry in yaml.safe_load(EXPERIMENTS).items() if name not in params["experiments"]}
    return params


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
    return [grid.cells[name] for name in grid.experiments[experiment].cells]


def test_every_cell_is_complete(grid):
    assert {"imagenet", "cifar10", "cifar100"} <= set(grid.datasets)
    assert len(of(grid, "table3")) == 6 * 3 and len(of(grid, "table4")) == 7 * 3
    assert len(of(grid, "table6")) == 6 * 15 * 3 and len(of(grid, "table7")) == 4 * 5 * 3
    assert {cell.name for cell in of(grid, "table4")} & {cell.name for cell in of(grid, "table3")}  # shared, trained once


def test_changing_the_optimizer_leaves_nothing_of_the_old_one(grid):
    names = [cell.spec.recipe.optimizer.name for cell in of(grid, "table7") if cell.spec.method.name == "full" and cell.spec.seed == 0]
    assert names == ["sgd", "adamw", "lars", "lamb"]
    lars = next(cell for cell in of(grid, "table7") if cell.spec.recipe.optimizer.name == "lars")
    assert lars.spec.recipe.schedule.max_lr == 5.2 and lars.spec.recipe.schedule.base_momentum == 0.85
    assert "-lars-" in lars.name


def test_the_method_prunes_the_pretraining_and_fine_tuning_is_whole(grid):
    cells = of(grid, "table5_vit")
    assert len(cells) == 2 * 3
    for cell in cells:
        before = grid.cells[cell.starts_from]
        assert cell.spec.method.name == "full" and cell.spec.pretraining == before.spec
        assert before.spec.recipe.task == "reconstruct" and before.starts_from is None
        assert before.experiments == ("table5_vit",)
        assert before.name not in grid.experiments["table5_vit"].cells  # it is trained, and stands in no row
        assert cell.spec.seed == before.spec.seed
        assert "orderdp.models.mae" in cell.sources and "orderdp.models.timm_networks" in cell.sources
    assert {grid.cells[cell.starts_from].spec.method.name for cell in cells} == {"full", "orderdp"}
    assert any("-pre_orderdp_p30.8-" in cell.name for cell in cells)


@pytest.mark.parametrize(
    ("workload", "overrides", "message"),
    [
        ("imagenet-resnet50", {"optimizer": {"trust": 1}}, r"workloads\.imagenet-resnet50\.optimizer\.lars\.trust: Unknown key"),
        ("imagenet-resnet50", {"optimizer": {"name": "adam"}}, r"imagenet-resnet50\.optimizer: .*'adam' .*does not match.*'sgd', 'adamw', 'lars', 'lamb'"),
        ("imagenet-resnet50", {"optimizer": {"name": "lamb"}}, r"imagenet-resnet50\.optimizer\.lamb\.beta2: Field required"),
        ("imagenet-resnet50", {"precision": "fp8"}, r"imagenet-resnet50\.precision: .*'fp16'"),
        ("imagenet-swin", {"mix": {"erase": 2}}, r"imagenet-swin\.mix\.erase: Input should be less than or equal to 1\. Got 2"),
        ("imagenet-swin", {"augment": {"min_scale": 0}}, r"imagenet-swin\.augment\.photos\.min_scale: .*greater than 0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(params, tmp_path, workload, overrides, message):
    changed = {**params["workloads"], workload: {**params["workloads"][workload], "overrides": overrides}}
    with pytest.raises(SpecError, match=message):
        load({**params, "workloads": changed}, tmp_path)


def test_what_the_page_names_is_here(params):
    page = (ROOT / "docs/imagenet.md").read_text(encoding="utf-8")
    places = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["data_places"]
    assert set(places) <= set(params["data_places"])
    table = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [name for cell in table for name in cell.replace("`-", "`cifar10-resnet50-").replace("`", "").strip().split(", ")]
    assert len(named) == 9 and set(named) <= set(params["workloads"])
