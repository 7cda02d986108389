"""Every recipe of the paper's scales on a GPU that is not there: no tensors of two devices meet, no step waits."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orderdp import grid as grids
from orderdp.datasets import load
from orderdp.planning import gpu_check
from orderdp.spec import ProxySpec
from orderdp.training.device import choose_device
from orderdp.training.diagnosis import Diagnosis
from orderdp.training.emulation import DEVICE, DeviceMismatch, OnDevice, emulated
from orderdp.training.engine import Training
from orderdp.training.image_folders import ImageFolderLoader
from orderdp.training.proxy import gather_outputs
from tests.training import conftest
from tests.training.test_engine import METHODS, deterministic
from tests.training.test_photos import photo_spec, photos  # noqa: F401

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
SCALES = {name: grids.load(ROOT / "params.yaml", name) for name in gpu_check.SCALES}
KINDS = gpu_check.kinds(SCALES)


@pytest.fixture(scope="module")
def digits(data):
    return load("digits", data / "digits")


def spec(*args, **recipe):
    """The small spec with twice the channels: on a GPU networks keep channels last, which oneDNN cannot compute with
    so few of them, see `memory_format`."""
    chosen = conftest.spec(*args, **recipe)
    return chosen.model_copy(update={"model": chosen.model.model_copy(update={"options": {"width": 8}})})


def fitted(chosen, data, device, **how):
    training = Training(chosen, data, device, **how)
    training.fit(lambda training: None)
    return training


def test_every_network_optimizer_precision_and_method_of_the_scales_is_among_the_kinds():
    for grid in SCALES.values():
        for run in grid.runs.values():
            name, recipe = run.spec.model.name, run.spec.recipe
            mixed = ", mixed" if recipe.mix is not None else ""
            assert f"{name}, {recipe.optimizer.name}, {recipe.precision}{mixed}" in KINDS
    assert {kind.rpartition(" ")[2] for kind in KINDS if "method" in kind} >= {"full", "orderdp", "infobatch", "ucb"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_run_mixes_no_devices_and_no_step_waits(kind):
    (verdict,) = gpu_check.emulate({kind: KINDS[kind]})
    assert verdict.verdict == gpu_check.OK, verdict
    assert ("loss scale" in verdict.text) == ("fp16" in kind)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "static"])
def test_values_are_those_of_the_cpu(method, digits):
    chosen = spec(method, METHODS[method], epochs=2)
    with emulated():
        there = fitted(chosen, digits, DEVICE)
        assert all(isinstance(parameter, OnDevice) for parameter in there.model.parameters())
        weights = {name: value.values for name, value in there.model.state_dict().items()}
    here = fitted(chosen, digits, CPU)
    assert deterministic(there.history) == deterministic(here.history)
    for name, value in here.model.state_dict().items():
        assert torch.equal(weights[name], value)


def test_a_state_of_the_cpu_goes_on_on_the_device(digits):
    states = []
    whole = Training(spec(), digits, CPU)
    whole.fit(lambda training: states.append(copy.deepcopy(training.state_dict())))
    with emulated():
        resumed = Training(spec(), digits, DEVICE)
        resumed.load_state_dict(states[1])
        resumed.fit(lambda training: None)
    assert deterministic(resumed.history) == deterministic(whole.history)


def test_the_captured_step_and_pieces_mix_no_devices(digits):
    with emulated() as device:
        waits = []
        for size in (128, 64):
            training = Training(spec("full", {}, batch_size=size), digits, DEVICE, capture=lambda work: work)
            training._train_epoch()
            assert training.step_form == "captured"
            device.waits.clear()
            training.epoch += 1
            training._train_epoch()
            waits.append(sum(device.waits.values()))
        assert waits[0] == waits[1]  # twice as many steps
        fitted(spec(epochs=1), digits, DEVICE, micro_batch=40)


def test_photographs_reach_the_device(photos, monkeypatch):  # noqa: F811
    """Without pinned memory, which only a real driver gives."""
    monkeypatch.setattr(ImageFolderLoader, "_workers", without_pinning(ImageFolderLoader._workers))
    chosen = photo_spec(epochs=1)
    with emulated():
        there = fitted(chosen, photos, DEVICE)
    assert deterministic(there.history) == deterministic(fitted(chosen, photos, CPU).history)


def without_pinning(workers):
    def made(self, *args, **options):
        device, self.device = self.device, CPU
        try:
            return workers(self, *args, **options)
        finally:
            self.device = device

    return made


def test_the_jobs_beside_trainings_mix_no_devices(digits):
    small = replace(
        digits, **{f"train_{part}": getattr(digits, f"train_{part}")[:200] for part in ("images", "labels")}
    )
    values = {
        **{
            key: value
            for key, value in spec("full", {}, epochs=2).plain().items()
            if key in ("dataset", "model", "recipe")
        },
        "models": 1,
        "early_epochs": [1],
        "validation": 0.1,
        "deepfool": {"classes": 10, "iterations": 2, "overshoot": 0.02},
        "seed": 1000,
    }
    values["dataset"]["label_noise"] = 0.0
    with emulated():
        arrays, _ = gather_outputs(ProxySpec.model_validate(values), small, DEVICE)
        snapshots = []
        chosen = spec().model_copy(update={"diagnostics": ("gradients",)})
        Training(chosen, small, DEVICE).fit(lambda training: None, snapshots.append)
        measured = Diagnosis(chosen, small, DEVICE)
        for snapshot in snapshots:
            measured.measure(snapshot)
    assert arrays["perturbation"].shape == (200,) and len(measured.rows) == 3


def test_what_a_gpu_refuses_is_refused_and_what_waits_is_counted():
    """The test of the tests."""
    with emulated() as device:
        assert choose_device(None).type == "cuda"
        there, here = torch.ones(3, device=DEVICE), torch.ones(3)
        assert (there + 1).device == DEVICE and (there * here.sum()).values.tolist() == [3.0] * 3
        with pytest.raises(DeviceMismatch, match=r"aten\.add\.Tensor"):
            there + here
        assert not device.waits
        for waits in (
            lambda: there.sum().item(),
            lambda: there.cpu(),
            lambda: here.to(DEVICE),
            lambda: there[there > 0],
            lambda: there.nonzero(),
            lambda: there.tolist(),
        ):
            device.waits.clear()
            waits()
            assert sum(device.waits.values()) >= 1, waits
        device.waits.clear()
        here.to(DEVICE, non_blocking=True)
        assert not device.waits
    assert not torch.cuda.is_available()


def test_a_step_that_waits_fails_the_check(monkeypatch):
    step = Training._step

    def waiting(self, number, batch, *rest):
        assert float(batch.images.sum()) > -1e9
        step(self, number, batch, *rest)

    monkeypatch.setattr(Training, "_step", waiting)
    kind = "resnet18, method orderdp"
    (verdict,) = gpu_check.emulate({kind: KINDS[kind]})
    assert verdict.verdict == gpu_check.FAILS and "each step waits for the device at" in verdict.text
    monkeypatch.setattr(Training, "_step", lambda self, number, batch, *rest: batch.images + torch.ones(64))
    (verdict,) = gpu_check.emulate({kind: KINDS[kind]})
    assert verdict.verdict == gpu_check.FAILS and "tensors of the CPU and of the device" in verdict.text
