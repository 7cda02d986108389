"""OrderDP, selecting at every step: Algorithm 1 taken literally."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from orderdp.pruning.base import Pruner
from orderdp.pruning.batching import PrunedBatches, Unsavable
from orderdp.pruning.checks import initial, n_kept, whole
from orderdp.pruning.observations import rank_and_world_size
from orderdp.pruning.ranking import largest, unseen
from orderdp.pruning.rng import numpy_generator
from orderdp.pruning.subset import Subset

SAVING = (
    "A StatefulDataLoader cannot save OrderDPBatches in the middle of an epoch, because each step is drawn from the"
    " scores of its moment. Use torch's DataLoader and save at the ends of epochs."
)


class OrderDPBatches(Pruner):
    """A batch sampler: each step draws s candidates of all n, and trains on the q of largest last loss.

    Use as `DataLoader(Indexed(data), batch_sampler=pruner)`. A step ranks by the losses known when its batch is drawn;
    loader workers draw ahead of training, so keep `num_workers=0` where that matters, and expect one wait for the
    device per step. Across ranks all take their share of the same q, ranked by the losses exchanged when the epoch
    began.

    `begin_epoch` draws all steps at once, from the scores at hand; `batches` and iteration draw each when its turn
    comes. Steps already drawn stay: an epoch iterated again repeats them. A sample may appear in several steps of an
    epoch; `usage` counts each of them.

    Source: Algorithm 1 (candidates without replacement within a step, independent between steps).

    Args:
        n: number of samples.
        candidates: s, drawn at every step, at most n; with `prune_ratio` it may be left out, for 256.
        batch_size: q, trained at every step, at most s; not with `prune_ratio`, which decides it.
        prune_ratio: share of an epoch's n samples that is not trained, in (0, 1), in place of `batch_size`; see
            `at_ratio`.
        steps: steps per epoch; None for n // s (at least 1), so that an epoch considers each sample about once, or,
            with `prune_ratio`, for the number that comes nearest to it.
        seed: decides the candidates.
        initial_score: of samples never seen; see `OrderDP`.

    Example:
        >>> pruner = OrderDPBatches(1000, candidates=100, batch_size=30)
        >>> [len(batch) for batch in pruner][:3], pruner.realised_prune_ratio
        ([30, 30, 30], 0.7)
    """

    def __init__(
        self,
        n: int,
        *,
        candidates: int | None = None,
        batch_size: int | None = None,
        prune_ratio: float | None = None,
        steps: int | None = None,
        seed: int = 0,
        initial_score: float = math.inf,
    ) -> None:
        super().__init__(n, seed=seed)
        self.target_ratio = None if prune_ratio is None else float(prune_ratio)
        if prune_ratio is not None:
            if batch_size is not None:
                raise ValueError(
                    f"OrderDPBatches takes 'batch_size' = {batch_size} or 'prune_ratio' = {prune_ratio:g}, not both."
                )
            candidates, batch_size, steps = sizes(
                self, self.n, prune_ratio, 256 if candidates is None else candidates, steps
            )
        if candidates is None or batch_size is None:
            raise ValueError("OrderDPBatches needs 'candidates' and 'batch_size', or a 'prune_ratio'.")
        self.candidates = whole(self, "candidates", candidates, 1)
        self.batch_size = whole(self, "batch_size", batch_size, 1)
        self.steps = None if steps is None else whole(self, "steps", steps, 1)
        if candidates > n:
            raise ValueError(f"The 'candidates' of OrderDPBatches must be at most n = {n}. Got {candidates}.")
        if batch_size > candidates:
            raise ValueError(
                f"q > s: 'batch_size' = {batch_size} exceeds 'candidates' = {candidates}. Raise 'candidates'."
            )
        self.initial_score = initial(self, initial_score)
        self._scores = unseen(self.n, self.initial_score)
        self._drawn: list[Tensor] = []

    @classmethod
    def at_ratio(
        cls, n: int, prune_ratio: float, *, candidates: int = 256, steps: int | None = None, **options: Any
    ) -> Self:
        """q = round((1 - prune_ratio) s); None for `steps` comes nearest to round((1 - prune_ratio) n) samples an
        epoch."""
        candidates, batch_size, steps = sizes(cls, n, prune_ratio, candidates, steps)
        return cls(n, candidates=candidates, batch_size=batch_size, steps=steps, **options)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return max(1, self.n // self.candidates) if self.steps is None else self.steps

    @property
    def realised_prune_ratio(self) -> float:
        """Share of an epoch's n samples that is not trained, 1 - steps * q / n; negative where steps train more than
        n."""
        return 1 - self.steps_per_epoch * self.batch_size / self.n

    def select_mask(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, None]:
        """The samples that an epoch's steps would draw from the present scores, each marked once."""
        kept = torch.zeros(self.n, dtype=torch.bool)
        kept[self.select(epoch).indices] = True
        return kept, None

    def select(self, epoch: int) -> Subset:
        """All steps of an epoch as they would be drawn from the present scores: int64 (steps * q,), with
        repetitions."""
        if rank_and_world_size()[1] == 1:
            self.synchronize()
        return Subset(torch.cat([self._draw(epoch, step) for step in range(self.steps_per_epoch)]), None)

    def begin_epoch(self, epoch: int) -> Subset:
        """Draws those steps of an epoch that were not drawn yet, all from the present scores."""
        super().begin_epoch(epoch)
        for step in range(self.steps_per_epoch):
            self._batch(epoch, step)
        return Subset(torch.cat(self._drawn), None)

    def batches(self, epoch: int, batch_size: int) -> tuple[Iterator[Tensor], int]:
        """Begins an epoch; its batches on this rank, each ranked by the scores at its turn, and their number.

        Their size is this sampler's own q, whatever `batch_size` is given.
        """
        super().begin_epoch(epoch)
        return self._walk_steps(epoch), self.steps_per_epoch

    def batch_sampler(self, batch_size: int) -> PrunedBatches:
        """Refused: the pruner is a batch sampler itself.

        Raises:
            TypeError: always.
        """
        raise TypeError("OrderDPBatches is a batch sampler itself: DataLoader(Indexed(data), batch_sampler=pruner).")

    def update_scores(self, indices: Tensor, losses: Tensor) -> None:
        """A sample's score is its newest loss (Eq. 2)."""
        self._scores[indices] = losses

    def extra_state(self) -> dict[str, Any]:
        """The scores, and the steps drawn of the epoch that has begun."""
        return {"_scores": self._scores, "_drawn": self._drawn}

    def __iter__(self) -> Iterator[list[int]]:
        """A fresh iterator over this rank's share of the epoch's batches, as lists of Python integers."""
        self._epoch = self._upcoming()
        self._begin(self._epoch)
        steps = self._walk_steps(self._epoch, self._take_turn())
        return Unsavable((batch.tolist() for batch in steps), SAVING)

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.steps_per_epoch

    def _begin(self, epoch: int) -> Subset:
        if self._begun is None or self._begun[0] != epoch:
            self._close()
            self._drawn = []
            self._start(epoch, Subset(torch.empty(0, dtype=torch.int64), None), self.steps_per_epoch * self.batch_size)
        return self._begun[1]  # type: ignore[index]  # set by _start

    def _kept(self) -> Tensor:
        return torch.cat([torch.empty(0, dtype=torch.int64), *self._drawn])

    def _walk_steps(self, epoch: int, turn: int | None = None) -> Iterator[Tensor]:
        for step in range(self.steps_per_epoch):
            if turn is not None:
                self._check_turn(turn)
            if self._begun is None or self._begun[0] != epoch:
                raise RuntimeError(
                    f"Epoch {epoch} of OrderDPBatches is over: another has begun. Start a new iteration."
                )
            yield self._share(self._batch(epoch, step))
        self._finish(epoch)

    def _batch(self, epoch: int, step: int) -> Tensor:
        """int64 (q,): the step's samples on all ranks; drawn once and counted then."""
        if step == len(self._drawn):
            if rank_and_world_size()[1] == 1:
                self.synchronize()
            batch = self._draw(epoch, step)
            self._drawn.append(batch)
            self.usage[batch] += 1
        return self._drawn[step]

    def _draw(self, epoch: int, step: int) -> Tensor:
        draw = numpy_generator(self.seed, "select", epoch, step)
        candidates = draw.choice(self.n, self.candidates, replace=False)  # O(s), in random order: a place breaks ties
        kept = largest(self._scores.numpy()[candidates], self.batch_size, np.arange(self.candidates))
        return torch.from_numpy(candidates[kept])


def sizes(owner: object, n: int, prune_ratio: float, candidates: int, steps: int | None) -> tuple[int, int, int]:
    """(candidates, batch_size, steps) of a ratio, with at most n candidates."""
    kept, candidates = n_kept(owner, n, prune_ratio), min(candidates, n)
    batch_size = n_kept(owner, candidates, prune_ratio)
    return candidates, batch_size, max(1, round(kept / batch_size)) if steps is None else steps
