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
        """The sample with its number."""
        return index, self.dataset[index]

    def __getitems__(self, indices: list[int]) -> list[tuple[int, T]]:
        """The samples of a batch, each with its number."""
        batched: Any = getattr(self.dataset, "__getitems__", None)
        samples = [self.dataset[index] for index in indices] if batched is None else batched(indices)
        return list(zip(indices, samples, strict=True))

    def __len__(self) -> int:
        """Length of the wrapped data set."""
        return len(self.dataset)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"Indexed({self.dataset!r})"


def _collated(function: Callable[[list[Any]], Any], pairs: list[tuple[int, Any]]) -> tuple[Tensor, Any]:
    indices, samples = zip(*pairs, strict=True)
    return torch.tensor(indices), function(list(samples))
