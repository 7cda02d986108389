"""OrderDP, selecting at every step: Algorithm 1 taken literally."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor

from orderdp.pruning.base import Pruner, Selection
from orderdp.pruning.checks import whole
from orderdp.pruning.exchange import placement
from orderdp.pruning.ranking import top, unseen
from orderdp.pruning.streams import generator


class OrderDPBatches(Pruner):
    """A batch sampler: each step draws s candidates of all n, and trains on the q of largest last loss.

    Use as `DataLoader(Indexed(data), batch_sampler=pruner)`. Every step ranks by the losses known when its batch is drawn; loader
    workers draw ahead of training, so keep `num_workers=0` where that matters. Not for several ranks.

    Source: Algorithm 1. A sample may appear in several steps of an epoch.

    Args:
        n: number of samples.
        candidates: s, drawn at every step, at most n.
        batch_size: q, trained at every step, at most s.
        steps: steps per epoch; None for n // s, about one draw of every sample.
        seed: decides the candidates.
    """

    def __init__(self, n: int, *, candidates: int, batch_size: int, steps: int | None = None, seed: int = 0) -> None:
        super().__init__(n, seed=seed)
        self.candidates = whole(self, "candidates", candidates, 1)
        self.batch_size = whole(self, "batch_size", batch_size, 1)
        self.steps = None if steps is None else whole(self, "steps", steps, 1)
        if candidates > n:
            raise ValueError(f"The 'candidates' of OrderDPBatches must be at most n = {n}. Got {candidates}.")
        if batch_size > candidates:
            raise ValueError(f"q > s: 'batch_size' = {batch_size} exceeds 'candidates' = {candidates}. Raise 'candidates'.")
        self._scores = unseen(n)

    @classmethod
    def at_ratio(cls, n: int, prune_ratio: float, *, candidates: int = 256, **options: Any) -> Self:
        """q = round((1 - prune_ratio) s): an epoch of n // s steps then leaves out about that share."""
        candidates = min(candidates, n)
        return cls(n, candidates=candidates, batch_size=max(1, round((1 - prune_ratio) * candidates)), **options)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return max(1, self.n // self.candidates) if self.steps is None else self.steps

    def choose(self, epoch: int, draw: torch.Generator) -> tuple[Tensor, None]:
        """The next step's batch: s uniform candidates, the top q of them."""
        candidates = torch.randperm(self.n, generator=draw)[: self.candidates]
        return top(self._scores, candidates, self.batch_size), None

    def learn(self, indices: Tensor, losses: Tensor) -> None:
        """A sample's score is its newest loss (Eq. 2)."""
        self._scores[indices] = losses

    def memory(self) -> dict[str, Any]:
        """The scores."""
        return {"_scores": self._scores}

    def select(self, epoch: int) -> Selection:
        """All steps of an epoch as they would be drawn from the present scores: int64 (steps * q,), with repetitions."""
        self.synchronize()
        draw = generator(self.seed, "select", epoch)
        return Selection(torch.cat([self._batch(epoch, draw) for _ in range(self.steps_per_epoch)]), None)

    def begin_epoch(self, epoch: int) -> Selection:
        """Counts the epoch; its batches are drawn one by one as they are asked for."""
        if self._begun is None or self._begun[0] != epoch:
            self._begun = (epoch, Selection(torch.empty(0, dtype=torch.int64), None))
            self._epochs_begun += 1
        return self._begun[1]

    def batches(self, epoch: int, batch_size: int) -> tuple[Iterator[Tensor], int]:
        """The epoch's batches, each ranked by the scores at its turn; `batch_size` is this sampler's own q."""
        if placement()[1] > 1:
            raise RuntimeError("OrderDPBatches runs on one rank only: it would exchange scores at every step. Use OrderDP.")
        self.begin_epoch(epoch)
        return self._walk_batches(epoch), self.steps_per_epoch

    def _walk_batches(self, epoch: int) -> Iterator[Tensor]:
        draw = generator(self.seed, "select", epoch)
        for _ in range(self.steps_per_epoch):
            self.synchronize()
            batch = self._batch(epoch, draw)
            self.usage[batch] += 1
            self._samples_begun += len(batch)
            yield batch
        self._walked = self._epoch == epoch

    def _batch(self, epoch: int, draw: torch.Generator) -> Tensor:
        return self.choose(epoch, draw)[0].nonzero().squeeze(1)

    def __iter__(self) -> Iterator[list[int]]:  # type: ignore[override]
        """A fresh iterator over the epoch's batches."""
        self._epoch, self._walked = self._upcoming(), False
        parts, _ = self.batches(self._epoch, self.batch_size)
        return (batch.tolist() for batch in parts)

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.steps_per_epoch

    @property
    def prune_ratio(self) -> float:
        """Share of an epoch's n samples that is not trained, 1 - steps * q / n."""
        return 1 - self.steps_per_epoch * self.batch_size / self.n

