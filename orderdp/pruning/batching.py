"""How an epoch's samples are cut into batches: a remainder of one or two joins the batch before it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from torch.utils.data import BatchSampler

from orderdp.pruning.checks import whole

if TYPE_CHECKING:
    from orderdp.pruning.base import Pruner

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

    Example:
        >>> batch_sizes(9, 4)
        [4, 5]
    """
    full, rest = divmod(count, batch_size)
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

    def __iter__(self) -> Iterator[list[int]]:
        """A fresh iterator over this rank's share of the epoch, in lists of Python integers."""
        indices = iter(self.sampler)
        self.sampler.tail_is_safe()
        for size in batch_sizes(len(self.sampler), self.batch_size):
            yield list(islice(indices, size))
        next(indices, None)  # the pruner learns that its epoch has been walked to the end

    def __len__(self) -> int:
        """Batches of the epoch; as `len(pruner)`, of the epoch that it names."""
        return len(batch_sizes(len(self.sampler), self.batch_size))
