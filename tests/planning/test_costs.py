"""What a run is thought to cost, what its job asks for, and in which order the report fills up."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from orderdp import grid as grids
from orderdp.datasets import DATASETS
from orderdp.datasets.indexing import write_index
from orderdp.jobs import costs
from orderdp.jobs.finished import finish
from orderdp.jobs.train import Train
from orderdp.models import MODELS
from orderdp.planning import plan
from orderdp.planning.bundles import Bundle
from orderdp.spec import DatasetSpec, SpecError
from tests.photos import PHOTOS, write_folders
from tests.training.conftest import spec
from tests.training.test_photos import photo_spec

ROOT = Path(__file__).parents[2]
GRID = grids.load(ROOT / "params.yaml", "cifar")


def run_of(stem: str) -> Train:
    return next(run for name, run in GRID.runs.items() if name.startswith(stem))


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_facts_read_from_text_are_those_of_the_object(name):
    found = costs.facts(DatasetSpec(name=name))
    for key in ("n_train", "n_test", "shape", "classes"):
        if hasattr(DATASETS[name], key) and key in found:
            assert found[key] == getattr(DATASETS[name], key), key


@pytest.mark.parametrize("name", sorted(set(costs.SIZES) & set(MODELS)))
def test_sizes_are_those_of_the_networks(name):
    from orderdp.planning.calibrate import size_of

    size = costs.SIZES[name]
    options = {} if size.width is None else {"width": size.width}
    counted = size_of(name, 1 if name == "resnet8" else 3, size.side, **options)
    assert counted[:3] == pytest.approx(size[:3], rel=0.01)


def test_a_network_grows_with_its_width_and_an_unknown_one_counts_as_large():
    wide = spec().model_copy(update={"model": spec().model.model_copy(update={"options": {"width": 32}})})
    assert costs.size(wide).macs == pytest.approx(4 * 9.35 * (8 / 28) ** 2)
    assert costs.size(wide).parameters == pytest.approx(4 * 0.078)
    other = spec().model_copy(update={"model": spec().model.model_copy(update={"name": "convnext"})})
    assert costs.size(other).macs == costs.UNKNOWN.macs


def test_a_transformer_grows_with_its_patches_and_its_depth():
    def sized(name, options):
        return costs.size(
            spec().model_copy(update={"model": spec().model.model_copy(update={"name": name, "options": options})})
        )

    # Digits: 8 of 224 pixels a side, but patches of 2 instead of 16.
    small = sized("vit", {"image": 8, "patch": 2, "width": 384, "depth": 6, "drop_path": 0.0})
    assert small.macs == pytest.approx(17_560 * (4 / 14) ** 2 / 4 / 2)
    assert small.parameters == pytest.approx(85.8 / 4 / 2)
    assert sized("imagenet_resnet18", {"depth": 1}).parameters == pytest.approx(11.2 / 2)


def test_costs_of_imagenet_are_plausible():
    """ResNet-50 for 90 epochs at the measured 4,106 images a second: 90 x 1.28 million / 4,106 is 7.8 hours, and some
    for evaluation. A job asks for more, since its card may be an older one."""
    grid = grids.load(ROOT / "params.yaml", "paper")
    full, pruned = (
        next(run for name, run in grid.runs.items() if name.startswith(f"imagenet-imagenet_resnet50w64-{kind}"))
        for kind in ("full", "orderdp-x75-p40")
    )
    hours = costs.seconds(full.spec, None) / 3600
    assert 7.8 < hours < 8.2
    assert full.resources().seconds * full.gpus / 3600 == pytest.approx(8 / 3 * hours)
    assert costs.seconds(pruned.spec, None) / 3600 == pytest.approx(0.6 * hours, rel=0.03)
    assert all(
        costs.memory_mb(run.spec) < 16_000 for run in grid.runs.values() if run.spec.dataset.name == "imagenet"
    )  # a GPU's share of a node
    assert costs.UNKNOWN not in {costs.size(run.spec) for run in grid.runs.values()}
    assert set(costs.SIZES) == set(MODELS) - {"torchvision_network", "timm_network"}


@pytest.mark.parametrize(
    ("options", "recipe", "share"),
    [
        ({}, {}, 1.0),
        ({"prune_ratio": 0.7, "explore": 0.5}, {}, 0.3),
        ({"explore": 0.5, "exploit": 0.6}, {}, 0.3),
        ({"prune_ratio": 0.99, "ratio_of": "below_mean"}, {}, 1 - 0.99 * 0.62),
        ({}, {"match_steps_at": 0.4}, 0.6),
    ],
)
def test_share_that_is_kept(options, recipe, share):
    assert costs.kept(spec("infobatch", options, **recipe)) == pytest.approx(share)


def test_seconds_from_a_calibration_are_samples_times_rates():
    run = spec("orderdp", {"prune_ratio": 0.7, "explore": 0.5}, epochs=7, evaluate_every=3)
    measured = costs.Calibration("cuda", "x", 0.0, {costs.key(run): {"sample_s": 0.01, "test_sample_s": 0.001}})
    n_train, n_test = DATASETS["digits"].n_train, DATASETS["digits"].n_test
    assert costs.seconds(run, measured) == pytest.approx(7 * 0.3 * n_train * 0.01 + 3 * n_test * 0.001)
    assert costs.seconds(spec(batch_size=64), measured) == costs.seconds(
        spec(batch_size=64), None
    )  # another kind: assumed


def test_the_newest_calibration_of_a_kind_of_device_counts(tmp_path):
    path = tmp_path / "calibration.json"
    assert costs.calibration(path) is None
    entries = [{"device": device, "name": name, "when": when, "rates": {}} for device, name,
    when in (("cuda", "a", 1), ("cuda", "b", 3), ("cpu", "c", 9))]  # fmt: skip
    path.write_text(json.dumps({"devices": entries}))
    assert costs.calibration(path).name == "c"
    assert costs.calibration(path, device="cuda").name == "b"
    assert costs.calibration(path, device="mps") is None
    path.write_text("{")  # cut off by a full disk
    assert costs.calibration(path) is None


def test_resources_grow_with_the_work_and_with_the_attempt():
    small, large = run_of("cifar10-resnet18w64-orderdp-x30-p90"), run_of("cifar10-resnet50w64-full")
    assert small.resources().seconds < large.resources().seconds
    assert small.resources().memory_mb < large.resources().memory_mb
    for run in (small, large):
        bundle = Bundle("train-0", (run,))
        wanted = [(bundle.minutes(attempt), bundle.memory_mb(attempt)) for attempt in (1, 2, 3)]
        assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(wanted))
        assert 60 * wanted[0][0] > costs.seconds(run.spec, None)  # with room
        assert wanted[0][1] > costs.memory_mb(run.spec) - 1


def test_several_gpus_ask_for_as_much_more():
    one = run_of("cifar10-resnet50w64-full")
    four = replace(one, gpus=4)
    assert four.resources().cpus == 4 * one.resources().cpus
    assert four.resources().memory_mb > 3 * one.resources().memory_mb
    assert four.resources().seconds < one.resources().seconds


def test_the_number_of_gpus_is_no_part_of_a_runs_name(tmp_path):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for workload in params["workloads"].values():
        workload["gpus"] = 2
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False))
    changed = grids.load(path, "cifar")
    assert set(changed.runs) == set(GRID.runs)
    assert {run.gpus for run in changed.runs.values()} == {2}
    params["workloads"]["digits-resnet8"]["gpus"] = 0
    path.write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False))
    with pytest.raises(SpecError, match=r"workloads\.digits-resnet8\.gpus: .*greater than or equal to 1\. Got 0"):
        grids.load(path, "cifar")


def test_the_report_fills_up_by_fewest_missing_hours():
    """Against the obvious loop."""
    seconds = {name: costs.seconds(run.spec, None) for name, run in GRID.runs.items()}
    done, clock, expected = set(), 0.0, []
    left = list(GRID.experiments)
    while left:
        lacking = [math.fsum(seconds[run] for run in GRID.experiments[name].runs if run not in done) for name in left]
        name = left.pop(lacking.index(min(lacking)))
        clock += min(lacking)
        done |= set(GRID.experiments[name].runs)
        expected.append((name, clock))
    found = plan.filling(GRID, seconds)
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [at for _, at in found] == pytest.approx([at for _, at in expected])
    assert found[-1][1] == pytest.approx(sum(seconds.values()))


def test_the_plan_tells_hours_disk_and_order(tmp_path):
    text = plan.describe(GRID, tmp_path)
    total = sum(costs.seconds(run.spec, None) for run in GRID.runs.values()) / 3600
    assert f"Estimated: {total:,.1f} GPU hours, one run after another. Based on an H200; older cards" in text
    assert "369 MB of decoded images" in text  # 2 x 60,000 x 3 x 32 x 32 bytes, and digits
    assert text.index("figures5_8     complete after") < text.index("table2         complete after")
    measured = costs.Calibration(
        "cpu", "x", 0.0, {costs.key(run_of("cifar10-resnet18").spec): {"sample_s": 1.0, "test_sample_s": 0.0}}
    )
    assert "CPU hours" in plan.describe(GRID, tmp_path, measured)
    assert "runs from an H200" in plan.describe(GRID, tmp_path, measured)  # ResNet-50 was not measured


def test_finished_runs_are_a_measurement(tmp_path):
    grid = grids.load(ROOT / "params.yaml", "quick")
    first, second, *_ = grid.runs.values()
    for run, ended, rate in ((first, 10.0, 0.5), (second, 20.0, 0.25)):
        folder = tmp_path / run.name
        folder.mkdir()
        summary = {
            "environment": {"device": "cpu", "device_name": f"device of {ended:g}"}, "ended": ended, "selection_s": 0.0,
            "training_s": 100 * rate, "samples": 100, "epochs": 10, "evaluation_s": 36.0,
        }  # fmt: skip
        finish(folder, summary | {"job": run.name, "status": "finished"})
    measured = plan.observed(grid, tmp_path)
    assert measured.name == "device of 20"
    assert measured.rates == {
        costs.key(second.spec): {"sample_s": 0.25, "test_sample_s": 36.0 / (10 * DATASETS["digits"].n_test)}
    }
    assert "what steps took on cpu (device of 20)" in plan.describe(grid, tmp_path)


def test_a_calibration_measures_every_kind_once(tmp_path):
    from orderdp.planning.calibrate import calibrate

    grid = grids.load(ROOT / "params.yaml", "quick")
    path, said, runs = tmp_path / "calibration.json", [], list(grid.runs.values())
    calibrate(runs, path, "cpu", said.append)
    kinds = {costs.key(run.spec) for run in grid.runs.values()}
    assert len(said) == len(kinds) == 9  # some 500 runs
    found = costs.calibration(path)
    assert set(found.rates) == kinds
    rate = found.rates[costs.key(next(iter(grid.runs.values())).spec)]
    assert 0 < rate["test_sample_s"] < rate["sample_s"] < 0.1
    calibrate(runs, path, "cpu", said.append)
    assert len(said) == 9
    with pytest.raises(ValueError, match="The device 'abacus' is not available here"):
        calibrate(runs, path, "abacus")


def test_a_kind_that_cannot_be_measured_is_told_and_hides_no_other(tmp_path, monkeypatch):
    from orderdp.planning import calibrate

    broken, good = Train.of(spec(batch_size=64)), Train.of(spec())
    measure = calibrate.measure
    monkeypatch.setattr(calibrate, "measure", lambda spec, *more: measure(spec, *more) if spec == good.spec else 1 / 0)
    said: list[str] = []
    calibrate.calibrate([broken, good], tmp_path / "c.json", "cpu", said.append)
    assert "not measured, ZeroDivisionError" in said[0]
    assert set(costs.calibration(tmp_path / "c.json").rates) == {costs.key(good.spec)}


def test_a_rank_is_measured_with_its_part_of_the_batch_and_decoding_limits_it(tmp_path, monkeypatch):
    from orderdp.planning import calibrate

    run = next(run for run in grids.load(ROOT / "params.yaml", "paper").runs.values() if run.gpus == 4)
    batches = []
    monkeypatch.setattr(calibrate, "timed", lambda spec, device, batch, steps: (batches.append(batch), RATE)[1])
    assert calibrate.measure(run.spec, torch.device("cuda"), run.gpus)["batch"] == run.spec.recipe.batch_size / 4
    assert batches == [run.spec.recipe.batch_size / 4]
    said: list[str] = []
    assert calibrate.with_decoding(RATE, run, said.append) == {} and "rates are without decoding" in said[0]
    monkeypatch.setattr(calibrate, "decoding_s", lambda spec, folder: (0.008, 0.0008))
    slower = calibrate.with_decoding(RATE, run, said.append)
    assert slower == {"sample_s": 0.001, "test_sample_s": 0.0005, "decoding_s": 0.008}  # 8 processors for a GPU


def test_decoding_is_timed_on_the_photographs(tmp_path, monkeypatch):
    from orderdp.planning import calibrate

    write_index(PHOTOS, tmp_path / "photos", [write_folders(tmp_path / "raw")])
    monkeypatch.setitem(DATASETS, "photos", PHOTOS)
    chosen = photo_spec()
    chosen = chosen.model_copy(update={"dataset": chosen.dataset.model_copy(update={"name": "photos"})})
    training, evaluation = calibrate.decoding_s(chosen, tmp_path)
    assert 0 < evaluation < 0.1 and 0 < training < 0.1


RATE = {"sample_s": 0.0005, "test_sample_s": 0.0005}
