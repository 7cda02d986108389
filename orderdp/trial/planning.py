"""What a trial trains: network, recipe, prune ratios and seeds, and as much of the data as a budget allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from orderdp.grid.params import even_split

RATIOS = (0.3, 0.5, 0.7)
FEWER_RATIOS = (0.3, 0.5)
"""Where there is no time for three."""
SEEDS, MORE_SEEDS, MOST_SEEDS = 3, 5, 10
"""At least, where there is some time, and where there is much: intervals of five seeds are half as wide as those of
three."""
EPOCHS, FEWER_EPOCHS, FEWEST_EPOCHS = 30, 15, 10
"""Where there is time, at least for more seeds, and at least."""
LEAST_SAMPLES, LEAST_OF_A_CLASS = 1000, 20
"""A part of the data is not smaller than this."""
SHARE_OF_TESTING = 0.15
"""Of the time of training, at most; at the end of a run it is tested anyway."""
FULL, SHORTER = "full", "full_same_steps"
PRUNING = ("orderdp", "infobatch", "random")
SAVING = (*PRUNING, SHORTER)
"""Methods that are compared with the full data at each ratio."""
START_S = 6.0
"""Until a process trains: imports, reading the data."""
SIDE_BY_SIDE = 1.1
"""Runs beside each other seldom end at the same time."""
LARGE = 64
"""Side of an image, in pixels, from which a trial makes it smaller."""


@dataclass(frozen=True)
class Network:
    """A network, its recipe's differences from the paper's, and what there is to say of them."""

    model: str
    options: Mapping[str, Any]
    overrides: Mapping[str, Any]
    words: str


@dataclass(frozen=True)
class Rates:
    """Seconds for a sample, with as many runs side by side as there will be: of training and of testing; and how many
    that is."""

    sample_s: float
    test_sample_s: float
    at_once: int


@dataclass(frozen=True)
class Choice:
    """How much is trained."""

    epochs: int
    ratios: tuple[float, ...]
    seeds: int
    n: int
    """Training samples, of all that there are or of a part."""
    evaluate_every: int
    seconds: float
    """Estimated, of all of it."""

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"ratios": list(self.ratios)}


def batch_size(n: int, table: bool) -> int:
    """Samples of a batch: enough steps for a short training, and not more."""
    if table:
        return 2 ** min(9, max(5, round(math.log2(max(n, 1) / 100))))
    return 128 if n >= 20_000 else 64 if n >= 2000 else 32


def own_network(shape: Sequence[int], n: int, gpu: bool) -> Network:
    """The network and the recipe for samples of a shape.

    A table gets a multilayer perceptron with AdamW. Images get the paper's recipe (SGD, OneCycle): with ResNet-18 on a
    GPU, and on a CPU with a ResNet of eight layers. Coloured images are mirrored; grey ones, such as letters, are not.

    Args:
        shape: (channels, height, width), or (features, 1, 1) of a table.
        n: training samples.
        gpu: whether a GPU trains.
    """
    if is_table(shape):
        return Network("mlp", {"width": 128, "depth": 2}, _adamw(shape, n, 0.005), "a perceptron of two layers")
    size = batch_size(n, False)
    overrides = {"batch_size": size, "schedule": {"max_lr": 0.2 * size / 128}, "augment": _augment(shape)}
    if gpu:
        return Network("resnet18", {"width": 64}, overrides, "ResNet-18")
    return Network("resnet8", {"width": 16}, overrides, "a ResNet of eight layers")


def named_network(name: str, shape: Sequence[int], n: int) -> Network:
    """A network of torchvision or timm by its name there, with AdamW.

    Args:
        name: such as `resnet18`, or `timm/convnext_atto` where both have it.
        shape: of a sample.
        n: training samples.

    Raises:
        ValueError: neither has it, it does not take such images, or the data are a table.
    """
    from orderdp.models import build
    from orderdp.models.named import known

    if is_table(shape):
        raise ValueError("A table is tried with a perceptron. Leave out --model.")
    library, _, architecture = name.rpartition("/")
    if library not in ("", "torchvision", "timm"):
        raise ValueError(f"--model: {library!r} is neither torchvision nor timm. Got {name!r}.")
    library = library or known(architecture)
    model = f"{library}_network"
    options = {"architecture": architecture}
    try:
        _passes(build(model, 2, shape[0], **options), shape)
    except (RuntimeError, AssertionError, TypeError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{library}'s {architecture} does not take images of {shape[2]} x {shape[1]} pixels: {why}. Choose another"
            " network, or another --size."
        ) from error
    return Network(model, options, _adamw(shape, n, 0.002), f"{architecture} of {library}")


def _passes(network: Any, shape: Sequence[int]) -> None:
    """Trains a step on four images, which fails where an image is too small."""
    import torch

    network.train()(torch.rand(4, *shape)).sum().backward()


def is_table(shape: Sequence[int]) -> bool:
    """Whether samples of a shape are rows of a table."""
    return tuple(shape[1:]) == (1, 1)


def _augment(shape: Sequence[int]) -> dict[str, Any]:
    if is_table(shape):
        return {"crop_padding": 0, "flip": False}
    return {"crop_padding": max(1, min(4, shape[1] // 8)), "flip": shape[0] == 3}


def _adamw(shape: Sequence[int], n: int, rate: float) -> dict[str, Any]:
    return {
        "batch_size": batch_size(n, is_table(shape)),
        "optimizer": {"based_on": "adamw", "weight_decay": 0.05, "decay": "matrices", "clip_norm": 1.0},
        "schedule": {"max_lr": rate, "base_momentum": 0.9, "max_momentum": 0.9},
        "augment": _augment(shape),
    }


def choose(
    n: int,
    n_test: int,
    classes: int,
    rates: Rates,
    budget_s: float | None,
    *,
    epochs: int | None = None,
    seeds: int | None = None,
    ratios: Sequence[float] | None = None,
) -> Choice:
    """As much as fits a budget: first seeds give way, then epochs, then a prune ratio, and data last.

    Args:
        n: training samples.
        n_test: test samples.
        classes: of them.
        rates: measured.
        budget_s: seconds; None for no limit.
        epochs: of the full data, if the user states them; likewise `seeds` and `ratios`.

    Raises:
        ValueError: not even the smallest trial fits.
    """

    def planned(epochs: int, ratios: Sequence[float], seeds: int, n: int) -> Choice:
        tests = max(1, int(SHARE_OF_TESTING * epochs * n * rates.sample_s / (n_test * rates.test_sample_s)))
        every = max(1, math.ceil(epochs / tests))
        kept = [1.0, *(1 - ratio for ratio in ratios for _ in SAVING)]
        training = sum(share * epochs * n for share in kept) * rates.sample_s
        testing = len(kept) * math.ceil(epochs / every) * n_test * rates.test_sample_s
        runs = len(kept) * seeds
        longest = epochs * n * rates.sample_s + testing / len(kept)
        starts = START_S * runs / together(longest, runs, rates.at_once)
        seconds = (seeds * (training + testing) + starts) / min(rates.at_once, runs)
        return Choice(epochs, tuple(ratios), seeds, n, every, SIDE_BY_SIDE * seconds)

    budget = math.inf if budget_s is None else budget_s
    stated = tuple(ratios) if ratios else None
    smallest = min(n, max(LEAST_SAMPLES, LEAST_OF_A_CLASS * classes))
    fewest_epochs = epochs or FEWEST_EPOCHS
    most, fewer = stated or RATIOS, stated or FEWER_RATIOS
    wanted = [
        *((EPOCHS, most, count) for count in range(MOST_SEEDS, MORE_SEEDS, -1)),
        *((count, most, MORE_SEEDS) for count in range(EPOCHS, FEWER_EPOCHS - 1, -1)),
        *((count, few, SEEDS) for few in (most, fewer) for count in range(EPOCHS, FEWEST_EPOCHS - 1, -1)),
    ]
    for count, few, repeats in wanted:
        found = planned(epochs or count, few, seeds or repeats, n)
        if found.seconds <= budget:
            return found
    on = partial(planned, fewest_epochs, fewer, seeds or SEEDS)
    least = on(smallest)
    if least.seconds > budget:
        raise ValueError(
            f"--budget: the smallest trial ({smallest:,} training samples, {fewest_epochs} epochs, {seeds or SEEDS}"
            f" seeds) takes about {math.ceil(least.seconds / 60)} minutes here. Got {budget / 60:g}."
        )
    low, high = smallest, n  # fits, does not fit
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        if on(middle).seconds <= budget:
            low = middle
        else:
            high = middle
    return on(low)


def together(longest_s: float, runs: int, at_once: int) -> int:
    """How many runs share a process, so that its start does not take longer than they do.

    Args:
        longest_s: estimated seconds of the longest run.
        runs: of the trial.
        at_once: processes side by side.
    """
    return max(1, min(runs // max(1, at_once), round(3 * START_S / max(longest_s, 1e-3))))


def explained(choice: Choice, n: int, network: Network, budget_s: float | None) -> list[str]:
    """What was picked, in words."""
    percents = ", ".join(f"{100 * ratio:g} %" for ratio in choice.ratios)
    lines = [
        f"network: {network.words}; {choice.epochs} epochs, {choice.seeds} seeds, prune ratios {percents}",
        f"methods: full data, and at each ratio OrderDP, InfoBatch, random pruning and full data for as many steps:"
        f" {choice.seeds * (1 + len(SAVING) * len(choice.ratios))} runs",
    ]
    splits = ", ".join(f"{even_split(ratio):g} at {100 * ratio:g} %" for ratio in choice.ratios)
    lines.append(f"OrderDP draws this share of the data as candidates: {splits}")
    if choice.n < n:
        lines.append(
            f"{choice.n:,} of the {n:,} training samples, each class in proportion: all of them take longer than the"
            f" budget of {(budget_s or 0) / 60:g} minutes"
        )
    return lines


def more_seeds(before: Mapping[str, Any], seeds: int) -> Choice:
    """The choice of an earlier trial, as plain values, with another number of seeds: the runs of those that it had stay
    the same."""
    seconds = before["seconds"] * seeds / before["seeds"]
    return Choice(**{**before, "ratios": tuple(before["ratios"]), "seeds": seeds, "seconds": seconds})
