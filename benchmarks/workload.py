"""What the benchmarks train: the workload of a scale of `params.yaml`, on all of its data or less."""

from __future__ import annotations

import ctypes
import dataclasses
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from orderdp import datasets, grid
from orderdp.datasets import ImageData
from orderdp.spec import RunSpec
from orderdp.training.device import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, keep_freed_memory
from orderdp.training.engine import Training

ROOT = Path(__file__).parents[1]
EPOCHS = 1000
"""Planned where epochs are timed: more than are."""


def spec(
    scale: str,
    method: str,
    prune_ratio: float | None = None,
    *,
    seed: int = 0,
    epochs: int = EPOCHS,
    precision: str = "",
) -> RunSpec:
    """A run of table 2 at a scale, with another length, seed or precision."""
    laid_out = grid.load(ROOT / "params.yaml", scale)
    rows = [
        row for row in laid_out.experiments["table2"].rows if (row.method, row.prune_ratio) == (method, prune_ratio)
    ]
    if not rows:
        raise ValueError(f"Table 2 of scale {scale!r} has no {method!r} at prune ratio {prune_ratio}.")
    found = laid_out.runs[rows[0].run].spec
    recipe = found.recipe.model_copy(update={"epochs": epochs, "precision": precision or found.recipe.precision})
    return found.model_copy(update={"recipe": recipe, "seed": seed, "diagnostics": ()})


@cache
def _load(name: str) -> ImageData:
    with tempfile.TemporaryDirectory() as scratch:
        if not (folder := ROOT / "data" / name).exists():
            folder = Path(scratch, name)
            datasets.prepare(name, folder)
        loaded = datasets.load(name, folder)
    if not isinstance(loaded, ImageData):
        raise ValueError(f"The benchmarks train on images in memory. The data set {name!r} is not.")
    return loaded


def data(name: str, samples: int | None = None) -> ImageData:
    """A data set, prepared under `data/` or else just now; only the first training samples of it where a number is
    given."""
    whole = _load(name)
    return dataclasses.replace(
        whole, train_images=whole.train_images[:samples], train_labels=whole.train_labels[:samples]
    )


def training(wanted: RunSpec, samples: int | None = None) -> Training:
    """A run of the engine on the CPU, not begun."""
    return Training(wanted, data(wanted.dataset.name, samples), torch.device("cpu"))


def allocate_as_usual() -> None:
    """Sets glibc's allocator to the largest thresholds that it gives itself: it would keep less freed memory, never
    more."""
    if keep_freed_memory():
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)
        libc.mallopt(M_TRIM_THRESHOLD, 2**26)


def as_usual(call: Callable[[], object]) -> Callable[[], object]:
    """The call under `allocate_as_usual`: code that knows nothing of allocators."""

    def called() -> object:
        allocate_as_usual()
        return call()

    return called


def one_epoch(run: Training, *, keep: bool = True) -> int:
    """Trains an epoch, without the evaluation after it; returns how many samples it kept. Freed memory is kept, as in
    the workflow."""
    if keep:
        keep_freed_memory()
    row, _ = run._train_epoch()
    run.epoch += 1
    return int(row["kept"] or 0)
