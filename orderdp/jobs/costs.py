"""What a run costs: seconds, memory and bytes on disk, estimated from its spec before it runs.

Light, as the Snakefile asks it for the resources of every job. Seconds come from a calibration on a device (`plan
--calibrate`) where there is one, else from what was measured once on a fast GPU. All of it is an estimate: jobs ask for
more than that, since other cards are slower, and a second attempt for more again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from orderdp import code_fingerprint as code
from orderdp.spec import DatasetSpec, ProxySpec, RunSpec

CALIBRATION = Path(".work/calibration.json")
DATA = Path("data")
"""Where data sets are prepared."""


class Size(NamedTuple):
    """Of a network, for one sample."""

    macs: float
    """Millions of multiply-adds of a forward pass."""
    outputs: float
    """Millions of numbers that its layers put out."""
    parameters: float
    """Millions."""
    side: int
    """Image side at which these were counted."""
    width: int | None
    """Value of its option `width` at which these were counted."""


# Counted by `orderdp.planning.calibrate.size_of`; a test counts again.
SIZES = {
    "resnet8": Size(9.35, 0.144, 0.078, 28, 16),
    "resnet18": Size(555, 1.79, 11.2, 32, 64),
    "resnet50": Size(1298, 9.81, 23.5, 32, 64),
    "imagenet_resnet18": Size(1814, 7.48, 11.2, 224, None),
    "imagenet_resnet50": Size(4087, 32.0, 23.5, 224, 64),
    "timm_resnet50": Size(4087, 39.5, 23.5, 224, 64),
    "swin_tiny": Size(4490, 44.7, 27.5, 224, 96),
    "vit": Size(17_560, 59.0, 85.8, 224, 768),
    "mae_vit": Size(9781, 41.2, 112, 224, 768),
    # Of a table of three features.
    "mlp": Size(0.018, 0.00078, 0.0188, 1, 128),
}
FULL_DEPTH = {
    "imagenet_resnet18": 2,
    "imagenet_resnet50": 6,
    "timm_resnet50": 6,
    "swin_tiny": 6,
    "vit": 12,
    "mae_vit": 12,
}
"""Value of the option `depth` at which these were counted."""
FULL_PATCHES = {"swin_tiny": 4, "vit": 16, "mae_vit": 16}
"""Side of a patch, in pixels, likewise."""
UNKNOWN = Size(17_560, 59.0, 86.6, 224, None)
"""Of any other network: a ViT-Base, the largest that the paper trains, so that a job rather asks for too much."""
IMAGENET: dict[str, Any] = {"n_train": 1_281_167, "n_test": 50_000, "shape": (3, 224, 224)}
"""Of a data set that does not state its facts as literals: likewise."""
FAST_GPU = "an H200"
"""The card of the following figures, which were taken once, at torch 2.11, without loading."""
IMAGES_PER_S = {
    "resnet18": (62_600, 125_000),
    "imagenet_resnet50": (4106, 15_219),
    "timm_resnet50": (4338, 14_408),
    "swin_tiny": (2294, 5638),
    "vit": (2376, 8126),
    "mae_vit": (3856, 11_332),
}
"""Network -> images a second of (training, evaluation), at the size of `SIZES`. The others: as many multiply-adds a
second as ResNet-50 on ImageNet."""
STEP_S = 128 / 17_000
"""Shortest step: a small network waits for its kernels to be launched. Measured with ResNet-18 and batches of 128."""
SLOWER = 8 / 3
"""Times that an older card (A100, L40) takes, from public speeds; jobs ask for so much where nothing was measured."""
IN_MEMORY_MB = 8000
"""A data set of more decoded megabytes than this is read in batches."""
NOMINAL_SHARE = 0.62
"""Of what InfoBatch's nominal ratio says, it prunes this much: 0.61 at 0.99 (paper, appendix D.6)."""


@dataclass(frozen=True)
class Calibration:
    """Measured rates of one device: `rates` maps :func:`key` to seconds per sample and more."""

    device: str
    name: str
    when: float
    rates: Mapping[str, Mapping[str, float]]


def calibration(path: Path = CALIBRATION, device: str | None = None) -> Calibration | None:
    """The newest calibration of this project, of any device or of a kind ("cuda", "cpu"); None if there is none."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    found = [Calibration(**entry) for entry in stored["devices"] if device in (None, entry["device"])]
    return max(found, key=lambda entry: entry.when, default=None)


def facts(dataset: DatasetSpec) -> dict[str, Any]:
    """n_train, n_test, classes and shape of a data set, from its description or read from the text of its entry.
    Numbers that the entry leaves open (None) are those of the prepared data set, and of ImageNet as long as it is not
    prepared."""
    if dataset.own is not None:
        return dataset.own.model_dump()
    stated = code.facts(*code.registry("datasets", "DATASETS")[dataset.name])
    known = {key: value for key, value in stated.items() if value is not None}
    return IMAGENET | (_counted(dataset.name) if len(known) < len(stated) else {}) | known


@cache
def _counted(dataset: str) -> dict[str, int]:
    """Samples of a prepared data set of photographs, from its manifest; empty if it is not prepared."""
    try:
        samples = json.loads((DATA / dataset / "manifest.json").read_text(encoding="utf-8"))["samples"]
        return {"n_train": samples["train"], "n_test": samples["test"]}
    except (OSError, ValueError, KeyError):
        return {}


def key(spec: RunSpec | ProxySpec) -> str:
    """What runs have in common whose steps take equally long."""
    options = "".join(f" {name}={value}" for name, value in sorted(spec.model.options.items()))
    shape = "x".join(map(str, facts(spec.dataset)["shape"]))
    recipe = spec.recipe
    return f"{shape} {spec.model.name}{options} batch={recipe.batch_size} {recipe.optimizer.name} {recipe.precision}"


def size(spec: RunSpec | ProxySpec) -> Size:
    """Size of a run's network on its images; arithmetic grows with their area, or the number of their patches, with the
    square of the width, and with the depth (roughly so where that bounds the blocks of a stage)."""
    known, options = SIZES.get(spec.model.name, UNKNOWN), spec.model.options
    area = 1.0 if known is UNKNOWN else (facts(spec.dataset)["shape"][-1] / known.side) ** 2
    if (full := FULL_PATCHES.get(spec.model.name)) is not None:
        area *= (full / float(options.get("patch") or full)) ** 2  # type: ignore[arg-type]
    deep = 1.0
    if (blocks := FULL_DEPTH.get(spec.model.name)) is not None:
        deep = float(options.get("depth") or blocks) / blocks  # type: ignore[arg-type]
    wide = spec.model.options.get("width") or known.width
    wider = 1.0 if known.width is None else float(wide) / known.width  # type: ignore[arg-type]
    work = area * wider * deep
    return Size(
        known.macs * work * wider, known.outputs * work, known.parameters * wider**2 * deep, known.side, known.width
    )


def kept(spec: RunSpec | ProxySpec) -> float:
    """Share of the data that an epoch trains on, as far as the options say it; else all."""
    if isinstance(spec, ProxySpec):
        return 1.0
    options, recipe = spec.method.options, spec.recipe
    if recipe.match_steps_at is not None:
        return 1 - recipe.match_steps_at
    if (ratio := options.get("prune_ratio")) is not None:
        return 1 - float(ratio) * (NOMINAL_SHARE if options.get("ratio_of") == "below_mean" else 1)
    return float(options.get("explore") or 1) * float(options.get("exploit") or 1)


def is_measured(spec: RunSpec | ProxySpec, measured: Calibration | None) -> bool:
    """Whether a calibration has a rate for this kind of run."""
    return measured is not None and key(spec) in measured.rates


def sample_seconds(spec: RunSpec | ProxySpec, measured: Calibration | None) -> tuple[float, float]:
    """Seconds for one sample on one device: (training, evaluation)."""
    rate = None if measured is None else measured.rates.get(key(spec))
    if rate is not None:
        return rate["sample_s"], rate["test_sample_s"]
    name = spec.model.name if spec.model.name in IMAGES_PER_S else "imagenet_resnet50"
    training, evaluation = (size(spec).macs / SIZES[name].macs / rate for rate in IMAGES_PER_S[name])
    return max(training, STEP_S / spec.recipe.batch_size), evaluation


def seconds(spec: RunSpec | ProxySpec, measured: Calibration | None) -> float:
    """Seconds of a run's training and evaluation on one device, without its start.

    Args:
        spec: the run, or a proxy, of which this is one network.
        measured: rates to use for the kinds of run that it has a rate for.
    """
    data, recipe = facts(spec.dataset), spec.recipe
    training, evaluation = sample_seconds(spec, measured)
    evaluations = math.ceil(recipe.epochs / recipe.evaluate_every)
    return recipe.epochs * kept(spec) * data["n_train"] * training + evaluations * data["n_test"] * evaluation


def pass_seconds(spec: RunSpec, measured: Calibration | None) -> float:
    """Seconds of one pass over all training samples, forward and backward."""
    return float(facts(spec.dataset)["n_train"] * sample_seconds(spec, measured)[0])


def asked_seconds(spec: RunSpec | ProxySpec) -> float:
    """What a run asks a cluster for."""
    return seconds(spec, gpu_calibration()) * slower(spec)


def slower(spec: RunSpec | ProxySpec) -> float:
    """What a job's estimate is multiplied by: SLOWER where no GPU was measured with this kind of run, since it may be
    an older card than FAST_GPU."""
    return 1.0 if is_measured(spec, gpu_calibration()) else SLOWER


@cache
def gpu_calibration() -> Calibration | None:
    """The newest calibration of a GPU, read once. The rates of a CPU say nothing about the node that gets the job."""
    return calibration(device="cuda")


def data_mb(dataset: DatasetSpec) -> float:
    """Decoded size of a data set's images, one byte for a channel of a pixel."""
    data = facts(dataset)
    return (data["n_train"] + data["n_test"]) * math.prod(data["shape"]) / 1e6


def memory_mb(spec: RunSpec | ProxySpec) -> float:
    """Main memory of a run, on a GPU or without one."""
    data, network = data_mb(spec.dataset), size(spec)
    libraries = 3000
    # Twice: as read and as converted. What is too large for that passes through loaders instead.
    images = 2 * data if data <= IN_MEMORY_MB else 8000
    # Of each output its value and its gradient, of each parameter its value, its gradient and two moments; four bytes
    # each. What is too large for memory is too large for a processor: its outputs lie on the GPU.
    outputs = 0.0 if streamed(spec) else 2 * spec.recipe.batch_size * network.outputs
    return libraries + images + 4 * (outputs + 4 * network.parameters)


def streamed(spec: RunSpec | ProxySpec) -> bool:
    """Whether a run's data are too large for memory, or stay in their files."""
    own = spec.dataset.own
    return own.photos if own is not None else data_mb(spec.dataset) > IN_MEMORY_MB


def run_mb(spec: RunSpec, keep_models: str) -> float:
    """Size of a run's folder once it is finished: history, kept sets (32-bit indices of two epochs for each
    checkpoint), usage, weights, and where there are diagnostics the weights before each checkpoint and after the
    end."""
    n, checkpoints = facts(spec.dataset)["n_train"], len(spec.record_at)
    models = {"none": 0, "last": 1, "all": 1 + checkpoints}[keep_models] + (1 + checkpoints if spec.diagnostics else 0)
    return (300 * spec.recipe.epochs + 4 * n * (1 + 2 * checkpoints * kept(spec))) / 1e6 + models * 4 * size(
        spec
    ).parameters
