"""OrderDP over a stream: a window of the newest samples takes the place of the data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from orderdp.pruning.checks import fraction, per_sample, whole
from orderdp.pruning.observations import joined
from orderdp.pruning.ranking import largest
from orderdp.pruning.rng import numpy_generator


class StreamingOrderDP:
    """Batches out of a stream of unknown length: candidates at random from a bounded pool, the hardest of them trained.

    The pool is the window of the `pool` newest samples. At every step a share `explore` of it is drawn uniformly; of
    these the `batch_size` of largest last loss are trained, those never trained first. Then `fresh` samples arrive and
    as many of the oldest leave, so that a sample is in reach for pool / fresh steps (those of the first pool for
    fewer), and a hopeless one does not stay. Every arrival pays for batch_size / fresh trainings: about `fresh` of a
    batch are new, the rest repeats what was hardest. After the stream's end the pool runs empty, and an iteration has
    ceil(arrivals / fresh) batches, of which the last get smaller.

    What it saves is repeats: a training that would pass over the same samples E times without pruning spends batch_size
    / (E fresh) of that. Leaving out unseen samples by their loss is impossible here, as anywhere without a forward pass
    to score them.

    It is no `Pruner`: n is unknown, nothing is remembered of samples that have left, and each iteration starts the
    stream again. Across ranks each needs a stream of its own; nothing is exchanged. The stream may be a `DataLoader`
    with workers and `batch_size=None`. A step waits for the losses of the one before.

    Paper: the candidates are drawn from the data set (Algorithm 1); here: from a window of it, because a stream cannot
    be reached back into.

    Args:
        stream: an iterable of samples, for example an `IterableDataset`. One that can be iterated once serves one
            epoch.
        pool: P, samples held in memory.
        batch_size: q, samples trained at every step, at most round(explore P).
        fresh: samples arriving at every step, below `batch_size`, or no place in it would be left for known samples.
        explore: share of the pool drawn as candidates, s/P, in (0, 1].
        seed: decides candidates and ties.
        collate_fn: makes a batch of a list of samples.

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> import torch
        >>> stream = StreamingOrderDP(range(100), pool=20, batch_size=8, fresh=4)
        >>> index, batch = next(iter(stream))
        >>> len(index), len(batch)
        (8, 8)
    """

    def __init__(
        self,
        stream: Iterable[Any],
        *,
        pool: int = 4096,
        batch_size: int = 64,
        fresh: int = 32,
        explore: float = 0.5,
        seed: int = 0,
        collate_fn: Callable[[list[Any]], Any] = default_collate,
    ) -> None:
        if not hasattr(stream, "__iter__") and not hasattr(stream, "__getitem__"):
            raise TypeError(f"The 'stream' of StreamingOrderDP must be iterable. Got {stream!r}.")
        self.stream = stream
        self.pool = whole(self, "pool", pool, 1)
        self.batch_size = whole(self, "batch_size", batch_size, 1)
        self.fresh = whole(self, "fresh", fresh, 1)
        self.explore = fraction(self, "explore", explore, one=True)
        self.seed = whole(self, "seed", seed, 0)
        self.collate_fn = collate_fn
        if fresh >= batch_size:
            raise ValueError(f"The 'fresh' of StreamingOrderDP must be below 'batch_size' = {batch_size}. Got {fresh}.")
        if batch_size > round(explore * pool):
            raise ValueError(
                f"q > s: 'batch_size' = {batch_size} exceeds the {round(explore * pool)} candidates that 'explore' ="
                f" {explore:g} draws from 'pool' = {pool}. Raise 'pool' or 'explore'."
            )
        self.arrived = 0
        """Samples that came out of the stream, over all iterations."""
        self.trained = 0
        """Samples in the batches handed out, repeats counted, over all iterations."""
        self._epoch = -1
        self._first, self._next = 0, 0  # the window holds numbers first..next - 1; sample k lies at place k % pool
        self._samples: list[Any] = []
        self._scores = np.empty(0, dtype=np.float32)
        self._pending: list[tuple[Tensor, Tensor]] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        """A fresh pass over the stream, in batches: int64 (b,) numbers of the samples in order of arrival, and the
        collated samples.

        Raises:
            RuntimeError: at the next batch of an iteration, if a newer one has started.
        """
        self._epoch += 1
        self._first = self._next
        self._samples = [None] * self.pool
        self._scores = np.full(self.pool, np.inf, dtype=np.float32)
        self._pending = []
        return self._walk(self._epoch, iter(self.stream))

    def _walk(self, epoch: int, arrivals: Iterator[Any]) -> Iterator[tuple[Tensor, Any]]:
        step, more = 0, self._admit(arrivals, self.pool)
        while self._first < self._next:
            yield self._batch(epoch, step)
            if epoch != self._epoch:
                raise RuntimeError("This iteration over StreamingOrderDP is over: a newer one has started.")
            step += 1
            self._first = min(self._first + self.fresh, self._next)
            more = more and self._admit(arrivals, self.fresh)

    def _admit(self, arrivals: Iterator[Any], count: int) -> bool:
        """Takes in up to `count` samples; whether there were as many."""
        for _ in range(count):
            try:
                sample = next(arrivals)
            except StopIteration:
                return False
            self._samples[self._next % self.pool] = sample
            self._scores[self._next % self.pool] = np.inf
            self._next += 1
            self.arrived += 1
        return True

    def _batch(self, epoch: int, step: int) -> tuple[Tensor, Any]:
        self._learn()
        size = self._next - self._first
        draw = numpy_generator(self.seed, "select", epoch, step)
        candidates = (
            draw.choice(size, min(size, max(self.batch_size, round(self.explore * size))), replace=False) + self._first
        )
        mask = largest(self._scores[candidates % self.pool], min(self.batch_size, size), np.arange(len(candidates)))
        numbers = candidates[mask]
        self.trained += len(numbers)
        return torch.from_numpy(numbers), self.collate_fn(
            [self._samples[place] for place in (numbers % self.pool).tolist()]
        )

    def observe(self, numbers: Tensor | Sequence[int], losses: Tensor) -> None:
        """Takes in the losses of a batch: numbers as it came with, float (b,). One that is not finite counts as
        infinite.

        Raises:
            RuntimeError: no iteration has begun, so that the batch did not come from this pool.
        """
        numbers = torch.as_tensor(numbers).long()
        per_sample(losses, len(numbers))
        if self._epoch < 0:
            raise RuntimeError(
                "No iteration over this StreamingOrderDP has begun, so the batch did not come from it. Train on what it"
                " yields: for numbers, batch in pool."
            )
        # Copies, because the caller may go on to change either in place.
        self._pending.append((numbers.detach().clone(), losses.detach().to(torch.float32, copy=True)))

    def update(self, numbers: Tensor | Sequence[int], losses: Tensor) -> Tensor:
        """Observes the losses and returns their mean, for `backward`."""
        self.observe(numbers, losses)
        return losses.mean()

    def _learn(self) -> None:
        numbers, losses = joined(self._pending)
        self._pending = []
        inside = (numbers >= self._first) & (numbers < self._next)  # others have left
        places = numbers[inside].numpy() % self.pool
        self._scores[places] = torch.where(losses.isfinite(), losses, torch.inf)[inside].numpy()

    def __repr__(self) -> str:
        return (
            f"StreamingOrderDP({self.stream!r}, pool={self.pool}, batch_size={self.batch_size}, fresh={self.fresh}, "
            f"explore={self.explore}, seed={self.seed})"
        )
