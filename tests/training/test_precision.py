"""Precision, the clock, memory, and that no step waits for the device."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn

from orderdp.datasets import load
from orderdp.training import device
from orderdp.training.device import OutOfMemory, Stopwatch, allow_tf32, choose_dtype, memory_named
from orderdp.training.engine import Training
from orderdp.training.optim import Scheduled
from orderdp.training.precision import Precision
from tests.training.conftest import spec
from tests.training.test_engine import METHODS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(data):
    return load("digits", data / "digits")


def test_gradients_are_unscaled_before_anything_sees_them():
    weight = nn.Parameter(torch.tensor([2.0, 3.0]))
    precision, optimizer = Precision("fp16", CPU), Scheduled(torch.optim.SGD([weight], lr=0.1))
    scale = precision.scaler.get_scale()
    precision.backward((weight**2).sum())
    gradients = precision.gradients(optimizer)
    torch.testing.assert_close(gradients[0], torch.tensor([4.0, 6.0]))
    precision.step(optimizer, 0.1, 0.9)
    torch.testing.assert_close(weight.detach(), torch.tensor([1.6, 2.4]))
    weight.data.fill_(float("inf"))
    precision.backward((weight**2).sum())
    precision.gradients(optimizer)
    precision.step(optimizer, 0.1, 0.9)
    assert weight.isinf().all() and weight.grad is None  # the step was skipped, and its gradients dropped
    assert precision.scaler.get_scale() == scale / 2
    other = Precision("fp16", CPU)
    other.load_state_dict(copy.deepcopy(precision.state_dict()))
    assert other.scaler.get_scale() == scale / 2
    assert Precision("fp32", CPU).state_dict() == {}


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_norms_do_not_depend_on_the_precision(digits, name):
    norms = {}
    for precision in ("fp32", name):
        training = Training(spec("full", {}, epochs=1, batch_size=720, precision=precision), digits, CPU)
        training.fit(lambda training: None)
        norms[precision] = training.history[0]["grad_norm_max"]
    assert norms[name] == pytest.approx(norms["fp32"], rel=0.05)


def test_tf32_and_types(monkeypatch):
    assert choose_dtype("tf32", CPU) is choose_dtype("fp32", CPU) is torch.float32
    assert choose_dtype("fp16", CPU) is torch.float16
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        for name, product, convolution in (("fp32", "highest", False), ("tf32", "high", True), ("auto", "high", True)):
            allow_tf32(name)
            assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == (product, convolution)
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


WAITS = ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__", "nonzero")


def waits_of_an_epoch(training, monkeypatch):
    """How often an epoch asks a tensor for its values: each such call would wait for a GPU."""
    count = 0
    with monkeypatch.context() as patch:
        for name in WAITS:
            original = getattr(torch.Tensor, name)

            def counted(self, *args, original=original, **options):
                nonlocal count
                # Indices are the sampler's own and on the CPU whatever the device; only there are they checked at once.
                count += not sys._getframe(1).f_code.co_filename.endswith("pruning/checks.py")
                return original(self, *args, **options)

            patch.setattr(torch.Tensor, name, counted)
        training._train_epoch()
    return count


@pytest.mark.parametrize(
    "method", [name for name in METHODS if name != "orderdp_batches"]
)  # which ranks at every step by design
@pytest.mark.parametrize(
    "mix",
    [None, {"mixup": 1.0, "cutmix": 1.0, "probability": 1.0, "cutmix_share": 0.5, "erase": 0.5}],
    ids=["", "mixed"],
)
def test_no_step_waits_for_the_device(digits, method, mix, monkeypatch):
    counts = {}
    for size in (32, 256):
        chosen = spec(method, METHODS[method], batch_size=size, mix=mix, precision="bf16")
        clipped = {**chosen.recipe.optimizer.model_dump(), "clip_norm": 1.0}
        training = Training(
            chosen.model_validate({**chosen.plain(), "recipe": {**chosen.plain()["recipe"], "optimizer": clipped}}),
            digits,
            CPU,
        )
        training._train_epoch()
        training.epoch = 1
        counts[size] = waits_of_an_epoch(training, monkeypatch)
    assert counts[32] == counts[256] < 60


def test_a_counter_that_counts(digits, monkeypatch):
    """The test above would see one wait per step."""
    training = Training(spec("full", {}, batch_size=256, precision="fp16"), digits, CPU)
    training._train_epoch()
    few = waits_of_an_epoch(training, monkeypatch)
    finer = Training(spec("full", {}, batch_size=128, precision="fp16"), digits, CPU)
    finer._train_epoch()
    assert waits_of_an_epoch(finer, monkeypatch) - few == 10 - 5  # float16 asks once a step whether to skip it


def test_compiled_training_is_the_same_to_rounding(digits, monkeypatch):
    monkeypatch.setattr(
        torch, "compile", lambda model: model
    )  # compiling takes a minute; that it is asked for is what is ours
    training = Training(spec(epochs=1), digits, CPU, compiled=True)
    training.fit(lambda training: None)
    assert training.compiled and training.history[0]["kept"] == 359


class Event:
    """Stands in for a CUDA event: its time passes when the device reaches it, not when it is made."""

    now, waited = 0.0, 0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.at = Event.now

    def synchronize(self):
        Event.waited += 1

    def elapsed_time(self, end):
        return end.at - self.at


def test_the_clock_on_cuda_reads_events(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", Event)
    stopwatch = Stopwatch(torch.device("cuda"))
    Event.now = 2500.0  # milliseconds
    assert stopwatch.seconds() == 2.5 and Event.waited == 1
    times = iter([1.0, 4.0])
    monkeypatch.setattr(device.time, "perf_counter", lambda: next(times))
    assert Stopwatch(CPU).seconds() == 3.0


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried"),
    ],
)
def test_out_of_memory_names_the_batch_size(error):
    with (
        pytest.raises(
            OutOfMemory,
            match=r"Out of memory on cpu with batch size 128 \(64 on each of 2 ranks\) of resnet8 on digits\. Compute",
        ),
        memory_named(spec(), 2, CPU),
    ):
        raise error
    with pytest.raises(RuntimeError, match="another"), memory_named(spec(), 1, CPU):
        raise RuntimeError("another")
    assert device.OutOfMemory is OutOfMemory


def test_a_real_allocation_that_fails_is_named(monkeypatch):
    with pytest.raises(OutOfMemory, match=r"with batch size 128 of resnet8"), memory_named(spec(), 1, CPU):
        torch.empty(2**50, dtype=torch.uint8)


def test_norms_of_skipped_steps_do_not_count():
    norms, weights = torch.tensor([1.0, float("inf"), 3.0]), torch.tensor([1.0, 2.0, 4.0])
    assert Precision("fp32", CPU).drop_skipped(norms, weights)[0] is norms
    assert [part.tolist() for part in Precision("fp16", CPU).drop_skipped(norms, weights)] == [[1.0, 3.0], [1.0, 4.0]]
    assert Precision("fp16", CPU).drop_skipped(norms[1:2], weights[1:2])[0].isnan().all()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a part of a process")
def test_the_peak_of_memory_is_that_since_its_reset():
    device.reset_peak_memory(CPU)
    before = device.peak_memory_mb(CPU)
    block = torch.ones(50_000_000)  # 200 MB
    del block
    assert device.peak_memory_mb(CPU) > before + 150
    device.reset_peak_memory(CPU)
    assert device.peak_memory_mb(CPU) < before + 100
