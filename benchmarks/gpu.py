"""(m) On a GPU: the engine with its steps as a CUDA graph, and what others make of the same network on the same card.

The scale `cifar`'s ResNet-18 on made-up images. Each line is how many times as long as the engine's an epoch takes: of
the engine with plain steps, of the customary loop with loader processes, of the bare step (one fixed batch, forward,
backward, update and nothing else), plain and as a graph. "several" are runs of the engine at a time in processes of
their own; its line is the time for an image over that of one run alone, and `images_per_s` is of all of them.

On a CPU (`--tiny`) it only shows that it runs: nothing is captured there.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.customary import Loop, Pictures
from benchmarks.measuring import Took, compared, in_turn, rounded
from benchmarks.workload import one_epoch, spec
from orderdp.datasets import ImageData
from orderdp.models import MODELS
from orderdp.planning.calibrate import made_up
from orderdp.spec import RunSpec
from orderdp.training.captured import cuda_graph
from orderdp.training.device import set_up
from orderdp.training.engine import Training

KEYS = ("device", "thing", "images_per_s")
GOALS = {"customary loop": 2.8, "bare step, graph": 0.9}
DEFAULTS: dict[str, Any] = {
    "device": "cuda", "samples": 25_600, "width": 64, "workers": 16, "several": [1, 3, 6], "seconds": 8, "repeats": 5,
}  # fmt: skip
TINY: dict[str, Any] = {
    "device": "cpu", "samples": 256, "width": 8, "workers": 0, "several": [1], "seconds": 1, "repeats": 2,
}  # fmt: skip


def run(
    device: str, samples: int, width: int, workers: int, several: list[int], seconds: float, repeats: int
) -> Iterator[dict[str, Any]]:
    """A row for each of them."""
    chosen, images = setting(samples, width)
    where = set_up(device, chosen.recipe.precision)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "a CPU"
    step = bare_step(chosen, images, where)
    steps = samples // chosen.recipe.batch_size
    loop = Loop(chosen, images, device)
    loader = DataLoader(
        Pictures(images, chosen), chosen.recipe.batch_size, shuffle=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=where.type == "cuda",
    )  # fmt: skip
    engine, plain = Training(chosen, images, where, capture=capture(where)), Training(chosen, images, where)
    calls: dict[str, Callable[[], object]] = {
        "engine": lambda: one_epoch(engine),
        "engine, plain steps": lambda: one_epoch(plain),
        "customary loop": lambda: loop.epoch(loader),
        "bare step": repeated(step, steps),
    }
    if where.type == "cuda":
        calls["bare step, graph"] = repeated(cuda_graph(step), steps)
    times = in_turn({thing: waited(call, where) for thing, call in calls.items()}, repeats)
    for thing in calls:
        ratios = compared(times[thing], times["engine"], GOALS.get(thing))
        yield {"device": name, "thing": thing, "images_per_s": rounded(samples / ratios["seconds"])} | ratios
    alone = None
    for count in several:
        rate = together(count, device, samples, width, seconds)
        alone = alone or rate
        ratios = compared([Took(1 / rate, 1 / rate)], [Took(1 / alone, 1 / alone)])
        yield {"device": name, "thing": f"several: {count}", "images_per_s": rounded(rate)} | ratios


def setting(samples: int, width: int) -> tuple[RunSpec, ImageData]:
    """The run and its images."""
    chosen = spec("cifar", "full")
    chosen = chosen.model_copy(update={"model": chosen.model.model_copy(update={"options": {"width": width}})})
    return chosen, made_up(chosen, samples, 100)


def capture(device: torch.device) -> Any:
    """How steps are recorded there."""
    return cuda_graph if device.type == "cuda" else None


def bare_step(chosen: RunSpec, images: ImageData, device: torch.device) -> Callable[[], None]:
    """A step on a fixed batch of random numbers."""
    size = chosen.recipe.batch_size
    model = MODELS[chosen.model.name](images.classes, images.channels, **chosen.model.options)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, fused=True)
    x = torch.randn(size, *images.train_images.shape[1:], device=device).to(memory_format=torch.channels_last)
    y = torch.randint(0, images.classes, (size,), device=device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = model(x)
        F.cross_entropy(logits.float(), y).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def repeated(call: Callable[[], None], times: int) -> Callable[[], object]:
    """So many calls."""
    return lambda: [call() for _ in range(times)]


def waited(call: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """A call to its end on the device."""

    def called() -> object:
        value = call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return value

    return called


def together(count: int, device: str, samples: int, width: int, seconds: float) -> float:
    """Images a second of so many runs at a time."""
    context = multiprocessing.get_context("spawn")
    barrier, rates = context.Barrier(count), context.Queue()
    arguments = (barrier, rates, device, samples, width, seconds)
    processes = [context.Process(target=_one_of_several, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    total = sum(rates.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
    return float(total)


def _one_of_several(barrier: Any, rates: Any, device: str, samples: int, width: int, seconds: float) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen, images = setting(samples, width)
    where = set_up(device, chosen.recipe.precision, 1)
    training = Training(chosen, images, where, capture=capture(where))
    one_epoch(training)
    barrier.wait()
    began, trained = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        trained += one_epoch(training)
    rates.put(trained / (time.perf_counter() - began))
