"""Parameters: what is refused and how it is said; names and fingerprints."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import get_args

import pytest
import yaml

from orderdp import grid as grids
from orderdp.code_fingerprint import registry
from orderdp.grid.inheritance import Inheritance
from orderdp.grid.params import even_split
from orderdp.jobs.base import fingerprint
from orderdp.jobs.train import Train
from orderdp.spec import RunSpec, SpecError
from tests.training.conftest import SPEC

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def load(tmp_path, params, scale=None):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False))
    return grids.load(path, scale)


def put(params, where, value):
    *path, last = where.split("/")
    for key in path:
        params = params[int(key) if isinstance(params, list) else key]
    params[int(last) if isinstance(params, list) else last] = value


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("recipes/paper/bacth_size", 3, r"1 problem in .*\n  recipes\.paper\.bacth_size: Unknown key\. Got 3$"),
        (
            "workloads/imagenet-vit-mae/pretraining",
            "imagenet-mea",
            r"imagenet-vit-mae\.pretraining: unknown name 'imagenet-mea'",
        ),
        (
            "workloads/imagenet-mae/pretraining",
            "imagenet-vit-mae",
            r"imagenet-vit-mae' must not have a pre-training itself",
        ),
        ("experiments/table2/sedes", [1], r"experiments\.table2\.sedes: Unknown key"),
        ("methods/ucb/name", "ubc", r"methods\.ucb\.name: unknown name 'ubc'\. Known: full, random, .*orderdp"),
        (
            "workloads/digits-resnet8/dataset",
            "digit",
            r"unknown name 'digit'\. Known: digits, fashion_mnist, cifar10, cifar100",
        ),
        ("workloads/digits-resnet8/model", "resnet9", r"unknown name 'resnet9'\. Known: resnet8"),
        ("methods/ucb/options/perod", 3, r"methods\.ucb\.options\.perod: unknown option of UCB\. Known: .*period"),
        ("experiments/table2/grid/1/prune_ratios", [1.2], r"prune_ratios\.0: Input should be less than 1\. Got 1\.2"),
        ("experiments/table2/grid/1/prune_ratios", [], r"grid\.1\.prune_ratios: empty"),
        (
            "experiments/table2/grid",
            [],
            r"experiments\.table2: needs exactly one of 'grid', 'settings' and 'job'\. Got none",
        ),
        ("experiments/table2/settings", {"n": 1}, r"experiments\.table2: needs exactly one of .* Got grid, settings"),
        ("experiments/theory/job/kept", 101, r"experiments\.theory\.job: 'kept' must be at most 'candidates' = 100"),
        (
            "experiments/theory/job/dataset",
            "digit",
            r"experiments\.theory\.job\.dataset: unknown name 'digit'\. Known: digits",
        ),
        ("experiments/table11/diagnostics", ["gradient"], r"experiments\.table11\.diagnostics\.0: .*'gradients'"),
        ("experiments/table2/grid/0/methods", ["fulll"], r"unknown name 'fulll'\. Known: full, full_same_steps"),
        ("experiments/figure4/grid/1/explore", [0.2], r"q > s: 'explore' = 0\.2 draws fewer candidates"),
        ("scales/quick/seeds", [0, 1.5], r"scales\.quick\.seeds\.1: .*valid integer"),
        ("scales/quick/seeds", [0, True], r"scales\.quick\.seeds\.1: .*valid integer"),
        ("scales/quick/seeds", [], r"experiments\.table2\.grid: empty"),
        ("methods/ucb_warmup/based_on", "ubc", r"methods\.ucb_warmup\.based_on: unknown name 'ubc'\. Known: full, "),
        ("methods/orderdp/based_on", "orderdp_bottom", r"based_on: 'orderdp' is based on 'orderdp_bottom' itself"),
        (
            "recipes/digits/based_on",
            "papers",
            r"recipes\.digits\.based_on: unknown name 'papers'\. Known: paper, paper_low_rate, digits",
        ),
        ("recipes/paper/optimizer", "sdg", r"recipes\.paper\.optimizer: unknown name 'sdg'\. Known: sgd, adamw, lars"),
        ("optimizers/adamw/beta2", 1, r"^1 problem in .*\n  optimizers\.adamw\.beta2: .*less than 1\. Got 1"),
        (
            "methods/orderdp/options/hard_fracton",
            1,
            r"^1 problem in .*\n  methods\.orderdp\.options\.hard_fracton: unknown option",
        ),
        ("methods/orderdp/split", "odd", r"methods\.orderdp\.split: Input should be 'even'"),
        (
            "scales/quick/experiments/table6/only/0/prune_ratios",
            [0.2, 0.33],
            (
                r"scales\.quick\.experiments\.table6\.only\.0\.prune_ratios: 0\.33 is not in"
                r" experiments\.table6\.grid\. Known: 0\.2"
            ),
        ),
        ("scales/quick/experiments/table6/only/0/ratios", [0.2], r"table6\.only\.0\.ratios: Unknown key"),
        (
            "scales/quick/substitutes/cifar10-resnet18",
            "x",
            r"scales\.quick\.substitutes\.cifar10-resnet18: unknown name 'x'",
        ),
        (
            "experiments/variants/grid/0/label_noise",
            [1],
            r"experiments\.variants\.grid\.0\.label_noise\.0: Input should be less than 1\. Got 1",
        ),
        (
            "methods/orderdp_margin/score",
            "margins",
            r"methods\.orderdp_margin\.score: Input should be 'loss', 'gradient_norm' or 'margin'",
        ),
        (
            "methods/orderdp_trimmed/options/trim",
            0.3,
            r"'trim' = 0\.3 of 'explore' = 0\.7 leaves fewer .* at most 0\.2857",
        ),
        ("methods/orderdp_rising/options/rise", 1, r"'rise' = 1 around 'prune_ratio' = 0\.5 leaves \(0, 1\)"),
        (
            "methods/orderdp_rising/options/epochs",
            3,
            r"methods\.orderdp_rising\.options\.epochs: unknown option of ScheduledOrderDP",
        ),
        ("scale", "quikc", r"unknown scale 'quikc'\. Known: quick, fashion, small, gpu, cifar"),
    ],
)
def test_bad_input_is_one_error_that_names_it(tmp_path, params, where, value, message):
    put(params, where, value)
    with pytest.raises(SpecError, match=message) as caught:
        load(tmp_path, params)
    assert "params.yaml" in str(caught.value)


def test_all_problems_are_said_at_once(tmp_path, params):
    params["methods"]["ucb"]["name"] = "ubc"
    params["workloads"]["digits-resnet8"]["model"] = "resnet9"
    with pytest.raises(SpecError, match="2 problems"):
        load(tmp_path, params)


@pytest.mark.parametrize("scale", ["quick", "fashion", "cifar", "paper"])
def test_every_scale_lays_out_every_experiment(params, tmp_path, scale):
    grid = load(tmp_path, params, scale)
    assert set(grid.experiments) == set(params["experiments"])
    for experiment in grid.experiments.values():
        left_out = bool(experiment.left_out) and not experiment.rows
        assert bool(experiment.runs) + bool(experiment.settings) + (experiment.job is not None) + left_out == 1
        assert set(experiment.jobs) <= set(grid.jobs)
    assert all(grid.users.values())


def test_tables_share_their_runs(params, tmp_path):
    grid = load(tmp_path, params)
    full = [
        run
        for run in grid.runs.values()
        if run.spec.method.name == "full" and run.spec.recipe.match_steps_at is None
        if run.spec.dataset.label_noise == 0 and run.name.startswith("digits-resnet8w") and "-full-e8-" in run.name
    ]
    assert len(full) == len(params["experiments"]["table9"]["seeds"])  # which are the most
    assert {"table2", "table9", "figure1", "figure3", "variants"} <= set(grid.users[full[0].name])


def test_labels_and_tables_do_not_move_a_fingerprint(params, tmp_path):
    before = set(load(tmp_path, params).runs)
    changed = copy.deepcopy(params)
    changed["methods"]["ucb"]["label"] = "Upper confidence"
    changed["experiments"]["table2"]["title"] = "Another"
    assert set(load(tmp_path, changed).runs) == before


def test_golden_fingerprint():
    """A changed value here means that every run in the world is renamed: say so in the changelog."""
    spec = RunSpec.model_validate(SPEC)
    assert fingerprint("train", spec, {"a": "1"}) == "09dfe3613d5f"
    assert spec.stem() == "digits-resnet8w4-orderdp-p70-x50-e4-s0"


def test_what_is_beyond_the_paper_moves_a_name_only_where_it_is_in_force():
    plain = RunSpec.model_validate(SPEC)
    neutral = {**SPEC, "dataset": {"name": "digits", "label_noise": 0}, "method": {**SPEC["method"], "score": None}}
    assert RunSpec.model_validate(neutral).canonical() == plain.canonical()
    changed = {
        **SPEC,
        "dataset": {"name": "digits", "label_noise": 0.1},
        "method": {**SPEC["method"], "score": "margin"},
    }
    spec = RunSpec.model_validate(changed)
    assert (
        spec.plain()["dataset"] == {"name": "digits", "label_noise": 0.1}
        and spec.plain()["method"]["score"] == "margin"
    )
    assert RunSpec.model_validate(spec.plain()) == spec
    assert spec.stem() == "digits-noise10-resnet8w4-orderdp-margin-p70-x50-e4-s0"
    # What absence means; another value would pass old runs off as new ones.
    assert (plain.dataset.label_noise, plain.method.score) == (0.0, None)


def test_scores_that_a_spec_may_name_are_those_there_are():
    from orderdp.pruning.scores import SCORES
    from orderdp.spec import ScoreName

    assert get_args(ScoreName) == tuple(SCORES)


def test_sources_are_those_that_decide():
    found = set(
        Train.code(RunSpec.model_validate({**SPEC, "method": {"name": "ucb", "options": {"prune_ratio": 0.5}}}))
    )
    assert {
        "orderdp.training.engine",
        "orderdp.pruning.base",
        "orderdp.pruning.ucb",
        "orderdp.datasets.digits",
    } <= found
    assert not {"orderdp.spec", "orderdp.grid", "orderdp.pruning.infobatch", "orderdp.datasets.cifar"} & found
    assert not any(name.startswith(("orderdp.reporting", "orderdp.tracking", "orderdp.jobs")) for name in found)


@pytest.mark.parametrize(
    ("package", "variable"), [("pruning", "PRUNERS"), ("datasets", "DATASETS"), ("models", "MODELS")]
)
def test_the_registry_read_from_text_is_the_one_that_is_imported(package, variable):
    import importlib

    module = importlib.import_module(f"orderdp.{package}")
    assert list(registry(package, variable)) == list(getattr(module, variable))


def test_schema_is_current():
    path = ROOT / "workflow/schemas/params.schema.json"
    assert json.loads(path.read_text()) == grids.Params.model_json_schema(), "run `make schema`"


def test_another_scale_is_laid_out_by_its_name(tmp_path, params):
    load(tmp_path, params)
    assert grids.load(tmp_path / "params.yaml", "fashion").scale == "fashion"


def test_a_prune_ratio_that_is_named_nowhere_is_split_evenly(tmp_path, params):
    """A new ratio is one edit."""
    params["experiments"]["table2"]["grid"][1]["prune_ratios"] = [0.55, 0.7]
    rows = [row for row in load(tmp_path, params).experiments["table2"].rows if row.method == "orderdp"]
    assert {row.prune_ratio: row.explore for row in rows} == {0.55: 0.65, 0.7: 0.5}  # 0.65 is near sqrt(0.45) = 0.671
    del params["methods"]["orderdp"]["split"]
    message = (
        r"methods\.orderdp\.options_by_ratio: no 'explore' for prune ratio 0\.55: add an entry for it, or a 'split'"
    )
    with pytest.raises(SpecError, match=message):
        load(tmp_path, params)


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.99999])
def test_an_even_split_is_possible_and_even(ratio):
    explore = even_split(ratio)
    kept = 1 - ratio
    assert kept <= explore <= 1  # so that q/s = kept / explore is in (0, 1], too
    assert abs(explore - kept**0.5) <= 0.025 + 1e-12


def test_entries_based_on_another_take_what_they_do_not_state(params, tmp_path):
    params["optimizers"]["mine"] = {"based_on": "lamb_timm", "weight_decay": 0.5}  # which is based on lamb
    params["recipes"]["mine"] = {"based_on": "digits", "epochs": 3, "optimizer": "mine", "schedule": {"max_lr": 0.5}}
    params["workloads"]["digits-resnet8"] |= {"recipe": "mine", "overrides": {"optimizer": {"eps": 0.25}}}
    params["methods"]["mine"] = {"label": "Mine", "based_on": "ucb_warmup", "options": {"period": 7}}
    params["experiments"]["table2"]["grid"] = [{"methods": ["mine"], "prune_ratios": [0.5]}]
    grid = load(tmp_path, params)
    (recipe,) = {grid.runs[run].spec.recipe for run in grid.experiments["table2"].runs}
    assert (recipe.epochs, recipe.batch_size, recipe.label_smoothing) == (3, 64, 0.1)
    assert (recipe.schedule.max_lr, recipe.schedule.pct_start) == (0.5, 0.3)
    optimizer = recipe.optimizer
    assert (optimizer.name, optimizer.weight_decay, optimizer.beta2, optimizer.eps) == ("lamb", 0.5, 0.999, 0.25)
    assert (optimizer.bias_correction, optimizer.adapt, optimizer.clip_norm) == (True, "decayed", 1.0)
    options = grid.runs[grid.experiments["table2"].runs[0]].spec.method.options
    assert options == {"variance_weight": 1.0, "smoothing": 0.8, "period": 7, "warmup_epochs": 1, "prune_ratio": 0.5}


def test_a_recipe_that_names_an_optimizer_takes_nothing_of_its_bases(params):
    """The recipe of MAE is based on Swin's, which clips its gradients, as MAE does not."""
    filled = Inheritance(params).filled["recipes"]
    assert filled["swin"]["optimizer"]["clip_norm"] == 5.0
    assert filled["mae"]["optimizer"] == {**filled["vit_mae"]["optimizer"], "beta2": 0.95, "layer_decay": None}
    assert filled["mae"]["optimizer"]["clip_norm"] is None


def test_a_scale_trains_the_points_of_the_grid_that_all_its_rules_let_pass(params, tmp_path):
    """Against the obvious filter."""
    scale = params["scales"]["quick"]
    scale["experiments"] = {}
    everything = load(tmp_path, params).experiments
    scale["experiments"] = {
        "figure3": {
            "seeds": [3],
            "only": [{"prune_ratios": [0.1, 0.3, 0.9]}, {"methods": ["infobatch_annealed"], "prune_ratios": [0.3]}],
        },
        "figure4": {"only": [{"explore": [0.4, 1]}]},
        "variants": {"only": [{"methods": ["full", "orderdp_ema"], "label_noise": [0, 0.2]}]},
        "figures9_11": {"epochs": {0.99: 200}},
    }
    grid = load(tmp_path, params)

    def points(rows):
        return [(row.method, row.prune_ratio, row.explore, row.label_noise) for row in rows]

    for name, passes in {
        "figure3": lambda m, p, x, noise: p is None or p in ((0.3,) if m == "infobatch_annealed" else (0.1, 0.3, 0.9)),
        "variants": lambda m, p, x, noise: noise in (0, 0.2) or m not in ("full", "orderdp_ema"),
    }.items():
        expected = [point for point in points(everything[name].rows) if passes(*point)]
        assert list(dict.fromkeys(points(grid.experiments[name].rows))) == list(dict.fromkeys(expected))
    assert {row.seed for row in grid.experiments["figure3"].rows} == {3}
    panels = {(row.panel, row.explore) for row in grid.experiments["figure4"].rows if row.panel == "fixed ratio"}
    assert panels == {("fixed ratio", 0.4), ("fixed ratio", 1)}
    epochs = {row.prune_ratio: grid.runs[row.run].spec.recipe.epochs for row in grid.experiments["figures9_11"].rows}
    assert epochs == {0.3: 8, 0.5: 8, 0.99: 200}
