"""A data set that says which sample it yields: all that score-based pruning needs to know of data loading."""

from __future__ import annotations

from typing import Any, TypeVar

from torch.utils.data import Dataset, IterableDataset

T = TypeVar("T")


class Indexed(Dataset[tuple[int, T]]):
    """A data set that yields `(index, sample)`, so that a training step knows whose losses it holds.

    Batches become `(indices, batch)` under any collate function that keeps pairs apart, as the default one does.

    Args:
        dataset: any map-style data set; its `__getitems__`, where it has one, is used for whole batches.

    Raises:
        TypeError: it is no map-style data set.
    """

    def __init__(self, dataset: Dataset[T]) -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
            raise TypeError(f"Indexed needs a map-style data set, one with __getitem__. Got {type(dataset).__name__}.")
        self.dataset = dataset

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
