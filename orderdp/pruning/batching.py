"""How an epoch's samples are cut into batches: a remainder of one or two joins the batch before it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from torch.utils.data import BatchSampler

from orderdp.pruning.checks import whole

if TYPE_CHECKING:
    from orderdp.pruning.base import Pruner

T = TypeVar("T")
SHORTEST = 2
"""A remainder of so many samples, or fewer, is no batch by itself."""


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """The sizes of the batches of an epoch, in order; they sum to `count`.

    Paper: the last batch is whatever remains, as `DataLoader` makes it; here: a remainder of one or two samples joins
    the batch before, because batch norm cannot train on one value per channel, and the statistics of two are worth
    nothing. A batch size of one or two, and an epoch shorter than one batch, stay as they are.

    Args:
        count: samples of the epoch.
        batch_size: at least 1.

    Raises:
        ValueError: no such batch size.

    Example:
        >>> batch_sizes(9, 4)
        [4, 5]
    """
    full, rest = divmod(count, whole(batch_sizes, "batch_size", batch_size, 1))
    sizes = [batch_size] * full
    if 0 < rest <= SHORTEST < batch_size and full:
        sizes[-1] += rest
    elif rest:
        sizes.append(rest)
    return sizes


class PrunedBatches(BatchSampler):
    """Batches of a pruner's samples for a `DataLoader`, of the sizes that `batch_sizes` says; made by
    `Pruner.batch_sampler`.

    Iterations begin epochs as those of the pruner itself do; `sampler` is the pruner, where trainers look for it to
    name the epoch.

    Args:
        pruner: draws the samples.
        batch_size: at least 1.
    """

    sampler: Pruner

    def __init__(self, pruner: Pruner, batch_size: int) -> None:
        super().__init__(pruner, whole(self, "batch_size", batch_size, 1), drop_last=False)

    def __iter__(self) -> Batches:
        """A fresh iterator over this rank's share of the epoch, in lists of Python integers."""
        return Batches(self)

    def __len__(self) -> int:
        """Batches of the epoch; as `len(pruner)`, of the epoch that it names."""
        return len(batch_sizes(len(self.sampler), self.batch_size))


class Unsavable(Iterator[T]):
    """An iteration that torchdata's `StatefulDataLoader` must not save in the middle of an epoch.

    It would save the pruner itself beside it, without the losses of the batches that are on their way.

    Args:
        items: what is iterated.
        advice: the message of the error.
    """

    def __init__(self, items: Iterator[T], advice: str) -> None:
        self._items, self._advice = items, advice

    def __next__(self) -> T:
        return next(self._items)

    def state_dict(self) -> dict[str, Any]:
        """Refused.

        Raises:
            TypeError: always.
        """
        raise TypeError(self._advice)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As `state_dict`."""
        raise TypeError(self._advice)


class Batches(Iterator[list[int]]):
    """One iteration of `PrunedBatches`. It begins its epoch at the first batch, and can be saved in the middle.

    torchdata's `StatefulDataLoader` calls `state_dict` and `load_state_dict`. Load the pruner's own state first.

    Args:
        batches: what is iterated.
    """

    def __init__(self, batches: PrunedBatches) -> None:
        self._batches = batches
        self._indices: Iterator[int] | None = None
        self._sizes: Iterator[int] = iter(())
        self._yielded = 0

    def __next__(self) -> list[int]:
        if self._indices is None:
            self._start(iter(self._batches.sampler))
        assert self._indices is not None
        size = next(self._sizes, None)
        if size is None:
            next(self._indices, None)  # the pruner learns that its epoch has been walked to the end
            raise StopIteration
        self._yielded += 1
        return list(islice(self._indices, size))

    def _start(self, indices: Iterator[int]) -> None:
        pruner = self._batches.sampler
        self._indices, self._epoch = indices, pruner.epoch
        pruner.tail_is_safe()
        self._sizes = iter(batch_sizes(len(pruner), self._batches.batch_size))

    def state_dict(self) -> dict[str, Any]:
        """The place: `epoch` (None before the first batch) and how many batches were `yielded`."""
        return {"epoch": None if self._indices is None else self._epoch, "yielded": self._yielded}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on at a place.

        Raises:
            RuntimeError: the pruner is not in the epoch of that place.
        """
        if state["epoch"] is not None:
            self._start(self._batches.sampler.iterate_again(state["epoch"]))
            for _ in range(state["yielded"]):
                next(self)
