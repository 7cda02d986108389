"""Measures what a step costs on this device: a few real steps of each kind of run, on made-up images of the right
shape.

`python -m orderdp plan --calibrate` calls it; `orderdp.jobs.costs` reads the result.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from orderdp.datasets import DatasetError, FolderData, ImageData
from orderdp.files import write_json
from orderdp.jobs import costs
from orderdp.jobs.data import prepared
from orderdp.jobs.train import Train
from orderdp.models import MODELS
from orderdp.spec import PhotoAugmentSpec, RunSpec
from orderdp.training.captured import cuda_graph
from orderdp.training.device import allow_tf32, set_up
from orderdp.training.engine import Training

STEPS, EPOCHS = 3, 3
"""Steps of an epoch, and epochs; the first warms up, the fastest counts."""
BUDGET_S = 1.0
"""A batch that takes longer is cut: beyond that a step's time grows with its samples, and a calibration should take
seconds."""
PROBE = 4
"""Samples of the step that tells how far to cut."""


def calibrate(
    runs: Iterable[Train], path: Path, device: str | None = None, say: Callable[[str], None] = lambda text: None
) -> None:
    """Measures every kind of run among some runs that this device has no rate for yet, and adds them to the file.

    Args:
        runs: of a grid.
        path: the file, see :func:`orderdp.jobs.costs.calibration`.
        device: "cuda", "mps", "cpu" or None for the best present.
        say: receives a line per kind, and for a kind that cannot be measured here the reason.

    Raises:
        ValueError: the device is not there.
    """
    where = set_up(device, "auto")
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else platform.processor() or platform.machine()
    name += "" if where.type == "cuda" else f", {torch.get_num_threads()} threads"
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"devices": []}
    others = [entry for entry in stored["devices"] if (entry["device"], entry["name"]) != (where.type, name)]
    rates: dict[str, Any] = {}
    for entry in stored["devices"]:
        if entry not in others:
            rates |= entry["rates"]
    kinds = {costs.key(run.spec): run for run in runs}
    for kind, run in kinds.items():
        if kind in rates:
            continue
        try:
            rates[kind] = measure(run.spec, where, run.gpus)
            if costs.streamed(run.spec):
                rates[kind] |= with_decoding(rates[kind], run, say)
        except (
            Exception
        ) as error:  # one kind of run, such as one that does not fit this device, must not hide the others
            say(f"{kind}: not measured, {type(error).__name__}: {error}")
            continue
        say(f"{kind}: {1e3 * rates[kind]['sample_s']:.3g} ms a sample")
        mine = {"device": where.type, "name": name, "when": time.time(), "rates": rates}
        write_json(path, {"devices": [*others, mine]})


def measure(spec: RunSpec, device: torch.device, ranks: int = 1) -> dict[str, float]:
    """Seconds per sample of training and of evaluation on one device, and the batch that they were measured with: the
    part of one of so many ranks.

    Runs the engine itself, on full data: a method's choice of samples costs next to nothing beside its steps.
    """
    batch = -(-spec.recipe.batch_size // ranks)
    if device.type == "cpu":
        probe = timed(spec, device, PROBE, 1)["sample_s"]
        batch = max(PROBE, min(batch, int(BUDGET_S / probe)))
    return {**timed(spec, device, batch, STEPS), "batch": batch}


def with_decoding(rate: dict[str, float], run: Train, say: Callable[[str], None]) -> dict[str, float]:
    """The rate of a run whose photographs are decoded meanwhile, by as many processors as its job asks for: the slower
    of the two decides. Without the data set, the rate of the device alone."""
    try:
        decoded = decoding_s(run.spec, costs.DATA)
    except DatasetError as error:
        say(f"{run.spec.dataset.name}: rates are without decoding, because its photographs are not here. {error}")
        return {}
    processors = run.resources().cpus / run.gpus
    return {
        "sample_s": max(rate["sample_s"], decoded[0] / processors),
        "test_sample_s": max(rate["test_sample_s"], decoded[1] / processors),
        "decoding_s": decoded[0],
    }


def decoding_s(spec: RunSpec, folder: Path, count: int = 64) -> tuple[float, float]:
    """Seconds in which one processor decodes and augments a photograph: (training, evaluation).

    Args:
        spec: of a run on a data set of photographs.
        folder: of prepared data sets.
        count: photographs to measure with, from the whole of the data set.

    Raises:
        DatasetError: it is not prepared, or its photographs are gone.
    """
    from orderdp.training.image_folders import build_transform, decode

    data = prepared(spec.dataset, folder)
    assert isinstance(data, FolderData) and isinstance(spec.recipe.augment, PhotoAugmentSpec)
    seconds = []
    for split, train in ((data.train, True), (data.test, False)):
        transform = build_transform(spec.recipe.augment, train)
        chosen = range(0, len(split), max(1, len(split) // count))
        contents = [split.read(index) for index in chosen]
        transform(decode(contents[0]))  # warms up
        began = time.perf_counter()
        for content in contents:
            transform(decode(content))
        seconds.append((time.perf_counter() - began) / len(contents))
    return seconds[0], seconds[1]


def timed(spec: RunSpec, device: torch.device, batch: int, steps: int) -> dict[str, float]:
    """Trains on `steps` batches for a few epochs; the fastest epoch's seconds per sample."""
    recipe = spec.recipe.model_dump() | {
        "epochs": EPOCHS,
        "batch_size": batch,
        "evaluate_every": 1,
        "match_steps_at": None,
    }
    if "size" in recipe["augment"]:  # decoding is the loaders' work, beside the device's
        recipe["augment"] = {"crop_padding": 0, "flip": True}
    recipe["schedule"] |= {"max_lr": 1e-6}  # labels are random: nothing is to be learnt, and the loss must stay finite
    short = RunSpec.model_validate(
        {
            **spec.model_dump(),
            "recipe": recipe,
            "method": {"name": "full", "options": {}},
            "record_at": (),
            "diagnostics": (),
            "pretraining": None,
        }
    )
    data = made_up(spec, steps * batch, batch)
    allow_tf32(spec.recipe.precision)
    graph = device.type == "cuda" and not costs.streamed(spec)
    training = Training(short, data, device, capture=cuda_graph if graph else None)
    training.fit(lambda _: None)
    rows = training.history
    return {
        "sample_s": min(float(row["training_s"] or 0) for row in rows) / (steps * batch),
        "test_sample_s": min(float(row["evaluation_s"] or 0) for row in rows) / batch,
    }


def made_up(spec: RunSpec, n_train: int, n_test: int, side: int | None = None) -> ImageData:
    """Random images in the shape of a run's data set, or of another side in pixels."""
    facts = costs.facts(spec.dataset)
    generator = torch.Generator().manual_seed(0)
    classes, shape = facts.get("classes", 1000), facts["shape"]
    if side is not None:
        shape = (shape[0], side, side)

    def images(n: int) -> torch.Tensor:
        return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)

    def labels(n: int) -> torch.Tensor:
        return torch.randint(0, classes, (n,), generator=generator)

    half = (0.5,) * shape[0]
    return ImageData(
        spec.dataset.name, images(n_train), labels(n_train), images(n_test), labels(n_test), classes, half, half
    )


def size_of(model: str, channels: int, side: int, **options: Any) -> costs.Size:
    """Counts a network for `costs.SIZES`, without computing it or allocating its weights."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = MODELS[model](10, channels, **options).eval()
    outputs = 0

    def count(module: nn.Module, given: Any, output: torch.Tensor) -> None:
        nonlocal outputs
        outputs += output.numel()

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, channels, side, side, device="meta"))
    parameters = sum(p.numel() for p in network.parameters())
    return costs.Size(counter.get_total_flops() / 2e6, outputs / 1e6, parameters / 1e6, side, options.get("width"))
