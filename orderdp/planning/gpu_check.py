"""What a machine with a new GPU should be asked first: does every kind of run work there, alike each time, and how long
will a scale take?

`python -m orderdp gpu-check`. Without a GPU, what can be emulated is, see `orderdp.training.emulation`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from orderdp import grid as grids
from orderdp.datasets.processors import processors
from orderdp.grid import Grid
from orderdp.jobs import costs
from orderdp.jobs.train import Train
from orderdp.planning.calibrate import calibrate, decoding_s, made_up
from orderdp.spec import RunSpec
from orderdp.training.captured import cuda_graph
from orderdp.training.device import set_up
from orderdp.training.distributed import joined, local_device
from orderdp.training.emulation import DEVICE, emulated
from orderdp.training.engine import Training

SCALES = ("gpu", "cifar", "paper")
OK, FAILS, NOTE = "ok", "FAILS", "note"
SMALL: dict[str, dict[str, Any]] = {
    "resnet18": {"width": 8},
    "resnet50": {"width": 8},
    "imagenet_resnet18": {"depth": 1},
    "imagenet_resnet50": {"depth": 1, "width": 8},
    "timm_resnet50": {"depth": 1, "width": 8},
    "swin_tiny": {"image": 56, "window": 7, "width": 12, "depth": 1},
    "vit": {"image": 32, "width": 48, "depth": 1},
    "mae_vit": {"image": 32, "width": 48, "depth": 1, "decoder_width": 32, "decoder_depth": 1},
}
"""Options with which a network has all its kinds of layers and few of each."""
BATCH = 4
KNOWN_WAITS = {"training/precision.py": "the loss scale of float16 must know whether a gradient overflowed"}
"""Places where a step waits for the device by design, and why."""


@dataclass(frozen=True)
class Verdict:
    """One line of the page."""

    verdict: str
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:<6} {self.text}"


def kinds(scales: Mapping[str, Grid]) -> dict[str, Train]:
    """A run of every network, optimizer, precision and mix, and of every method, in words: on full data where the kind
    has it."""
    found: dict[str, Train] = {}
    for grid in scales.values():
        for run in grid.runs.values():
            if run.spec.coreset is not None:  # trains as the full data do
                continue
            recipe = run.spec.recipe
            mixed = ", mixed" if recipe.mix is not None else ""
            found.setdefault(f"{run.spec.model.name}, {recipe.optimizer.name}, {recipe.precision}{mixed}", run)
            if run.spec.model.name == "resnet18":
                found.setdefault(f"{run.spec.model.name}, method {run.spec.method.name}", run)
    return found


def reduced(spec: RunSpec, epochs: int = 2) -> RunSpec:
    """The run with a small network on small images in memory, in tiny batches: every line of its code in a second."""
    values = spec.plain()
    model, recipe = values["model"], values["recipe"]
    model["options"] |= SMALL.get(spec.model.name, {})
    recipe |= {"epochs": epochs, "batch_size": BATCH, "match_steps_at": None, "evaluate_every": 1}
    if "size" in recipe["augment"]:
        recipe["augment"] = {"crop_padding": 0, "flip": True}
    recipe["schedule"] |= {"max_lr": 1e-4}  # labels are random, and the loss must stay finite
    options = values["method"]["options"]
    if "warmup_epochs" in options:
        options["warmup_epochs"] = 0
    return RunSpec.model_validate(values | {"pretraining": None, "coreset": None, "record_at": [1.0]})


def side(spec: RunSpec) -> int | None:
    """Of the images that `reduced` trains on, in pixels; None for those of the data set."""
    large = costs.facts(spec.dataset)["shape"][-1] > 64
    return int(SMALL.get(spec.model.name, {}).get("image", 64)) if large else None


def small_training(spec: RunSpec, device: torch.device, steps: int, **how: Any) -> Training:
    """A training of the reduced run, about so many steps an epoch on full data."""
    data = made_up(spec, BATCH * steps, BATCH, side(spec))
    return Training(reduced(spec), data, device, **how)


def waits_in_a_step(spec: RunSpec) -> dict[str, int]:
    """Places where each step of a run waits for the device, and how often, found by emulating it.

    Raises:
        DeviceMismatch: tensors of the CPU and the device meet.
    """
    counted = []
    with emulated() as device:
        for steps in (4, 8):
            device.waits.clear()
            training = small_training(spec, DEVICE, steps)
            training.fit(lambda _: None)
            training.state_dict()
            counted.append((sum(int(row["steps"] or 0) for row in training.history), dict(device.waits)))
    (few, before), (many, after) = counted
    grown = {place: after[place] - before.get(place, 0) for place in after}
    return {place: round(count / (many - few)) or 1 for place, count in grown.items() if count > 0}


def emulate(runs: Mapping[str, Train]) -> Iterator[Verdict]:
    """A verdict for each kind of run."""
    for kind, run in runs.items():
        try:
            waits = waits_in_a_step(run.spec)
        except RuntimeError as error:
            yield Verdict(FAILS, f"{kind}: {str(error).splitlines()[0]}")
            continue
        unknown = {place: count for place, count in waits.items() if place.partition(":")[0] not in KNOWN_WAITS}
        if unknown:
            places = ", ".join(f"{place} ({count} times)" for place, count in unknown.items())
            yield Verdict(FAILS, f"{kind}: each step waits for the device at {places}")
        else:
            reasons = {KNOWN_WAITS[place.partition(":")[0]] for place in waits}
            yield Verdict(OK, kind + "".join(f"; each step waits once, because {reason}" for reason in reasons))


def on_the_card(runs: Mapping[str, Train], device: torch.device) -> Iterator[Verdict]:
    """A verdict for each kind of run: whether it trains, twice to the same bits, and as a graph as without one."""
    for kind, run in runs.items():
        try:
            set_up(str(device), run.spec.recipe.precision)
            plain = [_trained(run.spec, device) for _ in range(2)]
            same = _equal(*plain)
            graph = _trained(run.spec, device, capture=cuda_graph)
            text = f"{kind}: {'the same bits' if same else 'other bits'} when repeated"
            if graph.step_form == "captured":
                repeated = _equal(graph, _trained(run.spec, device, capture=cuda_graph))
                losses = [float(training.history[-1]["train_loss"] or 0) for training in (graph, plain[0])]
                agrees = abs(losses[0] - losses[1]) < 0.01 * losses[1]
                text += f"; as a CUDA graph, {'the same bits' if repeated else 'other bits'} when repeated"
                text += "" if agrees else f", but a loss of {losses[0]:.4f} instead of {losses[1]:.4f}"
                same = same and repeated and agrees
            convolutional = "resnet" in run.spec.model.name
            yield Verdict(OK if same else FAILS if convolutional else NOTE, text)
        except (RuntimeError, ValueError) as error:
            yield Verdict(FAILS, f"{kind}: {str(error).splitlines()[0]}")


def _trained(spec: RunSpec, device: torch.device, **how: Any) -> Training:
    training = small_training(spec, device, 8, **how)
    training.fit(lambda _: None)
    return training


def _equal(one: Training, other: Training) -> bool:
    states = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in states)


def two_ranks() -> Verdict:
    """Whether two cards train one run together."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*command, "-m", __name__], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return Verdict(OK, "two ranks on two cards")
    return Verdict(FAILS, f"two ranks on two cards: {(done.stderr.strip().splitlines() or ['no message'])[-1][:200]}")


def decoding(scales: Mapping[str, Grid]) -> Iterator[Verdict]:
    """How many photographs the processors decode, of each data set of photographs that is prepared here."""
    count = processors()
    seen: set[str] = set()
    for run in (run for grid in scales.values() for run in grid.runs.values() if costs.streamed(run.spec)):
        name = run.spec.dataset.name
        if name in seen:
            continue
        seen.add(name)
        try:
            training, _ = decoding_s(run.spec, costs.DATA)
            text = f"{name}: {1 / training:.0f} photographs a second on a processor, {count / training:.0f} on all"
            yield Verdict(OK, f"{text} {count}")
        except RuntimeError:
            yield Verdict(NOTE, f"{name} is not prepared here, so that nothing is known of its decoding")


def hours(scales: Mapping[str, Grid]) -> Iterator[Verdict]:
    """Estimated hours of each scale, and by what."""
    from orderdp.planning.plan import estimate

    for name, grid in scales.items():
        found = estimate(grid.runs.values(), costs.gpu_calibration())
        yield Verdict(NOTE, f"scale {name}: {found.hours:,.0f} GPU hours, by {found.basis}")


def check(params: Path, calibration: Path, say: Callable[[str], None]) -> bool:
    """Prints the page; returns whether nothing fails.

    Args:
        params: path of params.yaml.
        calibration: file to which measured rates are added.
        say: receives each line as it is known.
    """
    began = time.monotonic()
    scales = {name: grids.load(params, name) for name in SCALES}
    runs = kinds(scales)
    verdicts: list[Verdict] = []

    def tell(found: Iterator[Verdict]) -> None:
        for verdict in found:
            verdicts.append(verdict)
            say(str(verdict))

    if torch.cuda.is_available():
        say(f"{torch.cuda.get_device_name()}, driver for CUDA {torch.version.cuda}, torch {torch.__version__}")
        tell(on_the_card(runs, torch.device("cuda")))
        if torch.cuda.device_count() > 1:
            tell(iter([two_ranks()]))
        calibrate(runs.values(), calibration, "cuda", lambda line: say(f"       {line}"))
        costs.gpu_calibration.cache_clear()
    else:
        say(f"No GPU: one is emulated on the CPU, without its kernels, precision and speed (torch {torch.__version__})")
        tell(emulate(runs))
    tell(decoding(scales))
    tell(hours(scales))
    failed = sum(verdict.verdict == FAILS for verdict in verdicts)
    say(
        f"{failed} of {len(verdicts)} checks failed, in {time.monotonic() - began:.0f} s"
        if failed
        else "Nothing fails."
    )
    return failed == 0


if __name__ == "__main__":
    with joined(set_up(local_device("cuda"), "auto")) as ranks:
        first = next(iter(kinds({"cifar": grids.load(Path("params.yaml"), "cifar")}).values()))
        _trained(first.spec, torch.device("cuda", ranks.rank))
