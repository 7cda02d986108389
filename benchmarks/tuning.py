"""What the engine's choices are worth, each against what it replaced or might be replaced by.

- memory: an epoch and its evaluation after `keep_freed_memory`, against the state that glibc's allocator settles in by
itself. A run's first
  epoch, before it has settled, gains more; that cannot be repeated in one process.
- crop: augmentation by rows and then columns against one gather by four tensors of positions; `augmented` alone.
- precision: bfloat16 against float32, on a processor that computes in bfloat16.
- threads: two against one, for one epoch.
- compiled: a network through `torch.compile` against the plain one. `seconds_before` is what compiling and the first
epoch took: add it
  to what the ratio saves.
- evaluation: the test set in smaller batches; evaluation alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import compared, in_turn, rounded
from benchmarks.workload import as_usual, data, one_epoch, spec, training
from orderdp.pruning.rng import generator
from orderdp.training import loaders
from orderdp.training.augment import Draws, Images, _reflect, draw
from orderdp.training.device import keep_freed_memory

KEYS = ("scale", "choice", "instead_of", "seconds_before")
DEFAULTS: dict[str, Any] = {
    "scale": "fashion",
    "samples": 2560,
    "choices": ["memory", "crop", "precision", "threads", "compiled", "evaluation"],
    "repeats": 9,
}
TINY: dict[str, Any] = {
    "scale": "quick",
    "samples": 256,
    "choices": ["memory", "crop", "precision", "threads", "evaluation"],
    "repeats": 2,
}


def run(scale: str, samples: int, choices: Sequence[str], repeats: int) -> Iterator[dict[str, Any]]:
    """A row per choice."""
    keep_freed_memory()
    for choice in choices:
        if (made := CHOICES[choice](scale, samples)) is None:
            continue
        name, instead, calls, before = made
        times = in_turn(calls, repeats)
        thing, reference = (times[key] for key in ("thing", "reference"))
        yield {"scale": scale, "choice": name, "instead_of": instead, "seconds_before": before} | compared(
            thing, reference
        )


Choice = tuple[str, str, dict[str, Callable[[], object]], float | None]


def memory(scale: str, samples: int) -> Choice:
    """An epoch and its evaluation with freed memory kept, or under the largest thresholds that glibc gives itself."""
    one = training(spec(scale, "full"), samples)

    def both() -> None:
        one_epoch(one, keep=False)
        one._evaluate()

    def kept() -> None:
        keep_freed_memory()
        both()

    return "freed memory kept", "given back", {"thing": kept, "reference": as_usual(both)}, None


def crop(scale: str, samples: int) -> Choice:
    """All batches of an epoch augmented, and nothing else."""
    chosen = spec(scale, "full")
    loaded = data(chosen.dataset.name, samples)
    augment: Any = chosen.recipe.augment
    images, draws = (
        Images(loaded.train_images, loaded.mean, loaded.std),
        draw(samples, augment, generator(0, "augment", 0)),
    )
    batches = torch.randperm(samples, generator=generator(0, "order", 0)).split(chosen.recipe.batch_size)
    calls: dict[str, Callable[[], object]] = {
        "thing": lambda: [images.augmented(batch, draws) for batch in batches],
        "reference": lambda: [in_one_gather(images, batch, draws) for batch in batches],
    }
    return "crop by rows, then columns", "one gather by positions", calls, None


def in_one_gather(images: Images, indices: Tensor, draws: Draws) -> Tensor:
    """What `augmented` gives, to the bit."""
    shift, flip = draws.shift[indices], draws.flip[indices]
    rows = _reflect(images.rows + shift[:, :1], len(images.rows))
    columns = _reflect(images.columns + shift[:, 1:], len(images.columns))
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    channels = images.channels.view(1, -1, 1, 1)
    return images._normalise(
        images.images[indices[:, None, None, None], channels, rows[:, None, :, None], columns[:, None, None, :]]
    )


def precision(scale: str, samples: int) -> Choice | None:
    """The precision that "auto" takes here, or float32; None where that is the same."""
    one, exact = (
        training(spec(scale, "full", precision="auto"), samples),
        training(spec(scale, "full", precision="fp32"), samples),
    )
    if one.dtype is exact.dtype:
        return None
    return (
        str(one.dtype).removeprefix("torch."),
        "float32, in the same layout",
        {"thing": lambda: one_epoch(one), "reference": lambda: one_epoch(exact)},
        None,
    )


def threads(scale: str, samples: int) -> Choice:
    """A run on two threads, or on one."""
    one = training(spec(scale, "full"), samples)
    usual = torch.get_num_threads()

    def on(count: int) -> None:
        torch.set_num_threads(count)
        one_epoch(one)
        torch.set_num_threads(usual)

    return "two threads for a run", "one", {"thing": lambda: on(2), "reference": lambda: on(1)}, None


def compiled(scale: str, samples: int) -> Choice:
    """The network's forward and backward pass compiled, or not."""
    plain, fast = (training(spec(scale, "full"), samples) for _ in range(2))
    t0 = time.perf_counter()
    fast.model.forward = torch.compile(fast.model.forward)  # type: ignore[method-assign]
    one_epoch(fast)
    before = time.perf_counter() - t0
    return (
        "torch.compile",
        "eager",
        {"thing": lambda: one_epoch(fast), "reference": lambda: one_epoch(plain)},
        rounded(before),
    )


def evaluation(scale: str, samples: int) -> Choice:
    """The test set in batches as the engine takes them, or of a quarter."""
    one, usual = training(spec(scale, "full"), samples), loaders.EVALUATION_BATCH

    def by(size: int) -> None:
        loaders.EVALUATION_BATCH = size
        one._evaluate()
        loaders.EVALUATION_BATCH = usual

    return (
        f"evaluation by {usual // 4}",
        f"by {usual}",
        {"thing": lambda: by(usual // 4), "reference": lambda: by(usual)},
        None,
    )


CHOICES: dict[str, Callable[[str, int], Choice | None]] = {
    "memory": memory,
    "crop": crop,
    "precision": precision,
    "threads": threads,
    "compiled": compiled,
    "evaluation": evaluation,
}
