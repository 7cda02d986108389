"""A data set that says which sample it yields: all that score-based pruning needs to know of data loading."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

T = TypeVar("T")


class Indexed(Dataset[tuple[int, T]]):
    """A data set that yields `(index, sample)`, so that a training step knows whose losses it holds.

    Batches become `(indices, batch)` under any collate function that keeps pairs apart, as the default one does;
    `Indexed.collate` makes one out of a function for plain samples. It goes outermost, `Indexed(Subset(data, ...))` and
    `Indexed(ConcatDataset(...))`, so that numbers are places in what the pruner draws from.

    All other attributes are those of the data set: `set_epoch`, which trainers call, as well as `classes`.

    Args:
        dataset: any map-style data set; its `__getitems__`, where it has one, is used for whole batches.

    Raises:
        TypeError: it is no map-style data set.

    Example:
        >>> index, sample = Indexed(["a", "b", "c"])[1]
        >>> index, sample
        (1, 'b')
    """

    def __init__(self, dataset: Dataset[T]) -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
            raise TypeError(f"Indexed needs a map-style data set, one with __getitem__. Got {type(dataset).__name__}.")
        self.dataset = dataset

    @staticmethod
    def collate(function: Callable[[list[Any]], Any]) -> Callable[[list[tuple[int, Any]]], tuple[Tensor, Any]]:
        """A collate function for indexed samples: int64 (b,) numbers, and what `function` makes of the b samples."""
        return partial(_collated, function)

    def __getitem__(self, index: int) -> tuple[int, T]:
        """The sample with its number.

        Raises:
            IndexError: there is no such sample.
        """
        self._check(index)
        return index, self.dataset[index]

    def __getitems__(self, indices: list[int]) -> list[tuple[int, T]]:
        """The samples of a batch, each with its number."""
        self._check(max(indices, default=0))
        batched: Any = getattr(self.dataset, "__getitems__", None)
        samples = [self.dataset[index] for index in indices] if batched is None else batched(indices)
        return list(zip(indices, samples, strict=True))

    def _check(self, index: int) -> None:
        if hasattr(self.dataset, "__len__") and index >= len(self):
            raise IndexError(
                f"Sample {index} was drawn of a data set of {len(self)} samples. Build the pruner for n = {len(self)}."
            )

    def __getattr__(self, name: str) -> Any:
        # What trainers and users ask of the data set (set_epoch, classes, targets) reaches it. Python itself asks for
        # names with two underscores, for example while it unpickles and there is no data set yet.
        if name == "dataset" or name.startswith("__"):
            raise AttributeError(f"'Indexed' object has no attribute {name!r}")
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        """Length of the wrapped data set."""
        return len(self.dataset)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"Indexed({self.dataset!r})"


def _collated(function: Callable[[list[Any]], Any], pairs: list[tuple[int, Any]]) -> tuple[Tensor, Any]:
    indices, samples = zip(*pairs, strict=True)
    return torch.tensor(indices), function(list(samples))
