"""The pruner contract: which samples an epoch trains on, with which weights, and what is remembered of their losses."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from orderdp.compat import renamed_attribute, warn_renamed
from orderdp.pruning.batching import SHORTEST, PrunedBatches, Unsavable, batch_sizes
from orderdp.pruning.checks import as_indices, per_sample, whole
from orderdp.pruning.observations import gather, joined, rank_and_world_size, without_repetition
from orderdp.pruning.rng import numpy_generator, permutation
from orderdp.pruning.state import Stateful
from orderdp.pruning.subset import Subset

PATIENCE = 10
"""Epochs that may keep a sample without a loss of it, as with a last batch that is dropped. Epochs that were left
before their half do not count."""
HEARD = -1
"""In place of the number of such epochs: the sample gave a loss in the epoch that has begun."""
SAVING = (
    "A StatefulDataLoader cannot save sampler=pruner in the middle of an epoch. Give it"
    " batch_sampler=pruner.batch_sampler(batch_size) in place of sampler and batch_size, and save pruner.state_dict()"
    " beside loader.state_dict()."
)
CHUNK = 65536  # indices turned into Python integers at a time: a list of all of ImageNet's would take 50 MB


class Pruner(Stateful, Sampler[Any]):
    """Base of all pruning methods: a `Sampler` for the `DataLoader`, and a weighted mean for the loss.

    A subclass says which samples an epoch keeps (`select_mask`) and, if it ranks them, what it remembers
    (`update_scores`, `extra_state`).

    Epochs are numbered from 0. `set_epoch` names the one that iterations make until the next `set_epoch`. Where it was
    never called, an iteration makes the next epoch if the one before it came to its end or losses were observed since
    it began; a mere peek is repeated. An epoch's set is drawn when it begins and stays, whatever is observed meanwhile;
    iterating it again does not count it again. The order is one permutation of all n samples per (seed, epoch),
    restricted to what is kept: a pruned run and the full run visit their common samples in the same order.

    Across ranks of `torch.distributed` every rank draws the same selection and iterates its share. Losses are exchanged
    in `set_epoch`, when an epoch begins, in `grow` and in `synchronize`, which every rank must call alike; nothing else
    communicates, so that one rank alone may ask for a length, a selection or a ratio.

    One pruner serves one loader: an iteration that goes on after a newer one has started is an error. Loader workers
    draw ahead, so that with them an iteration may have come to its end although training has left it; name the epochs
    where that matters.

    Args:
        n: number of samples in the data set.
        seed: decides selection and order, each from a stream of its own; global random states are never touched.

    Example:
        >>> import torch
        >>> from orderdp.pruning import OrderDP
        >>> pruner = OrderDP(6, explore=1.0, exploit=0.5)
        >>> pruner.prime(torch.arange(6), torch.tensor([0.1, 3.0, 0.2, 2.0, 0.3, 1.0]))
        >>> sorted(pruner.begin_epoch(1).indices.tolist())
        [1, 3, 5]
    """

    prune_ratio = renamed_attribute("prune_ratio", "realised_prune_ratio")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for old, new in (("choose", "select_mask"), ("learn", "update_scores"), ("memory", "extra_state")):
            if old in vars(cls) and new not in vars(cls):
                warn_renamed(f"The method '{old}' of {cls.__name__}", f"'{new}'")
                setattr(cls, new, vars(cls)[old])

    def __init__(self, n: int, *, seed: int = 0) -> None:
        self.n = whole(self, "n", n, 1)
        self.seed = whole(self, "seed", seed, 0)
        self.usage = torch.zeros(self.n, dtype=torch.int64)
        """int64 (n,): how many epochs kept each sample, counting only epochs that were begun."""
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._epoch = 0
        self._named = self._walked = self._observed = False
        self._begun: tuple[int, Subset] | None = None
        self._preview: tuple[int, Subset] | None = None
        self._tables: dict[torch.device, Tensor] = {}
        self._placement: tuple[int, int] | None = None
        self._samples_offered = 0
        self._samples_begun = 0
        self._silence = torch.zeros(self.n, dtype=torch.int8)
        self._smallest_loss = math.inf
        self._primed = False
        self._turn = 0
        self._ahead: list[int] = []
        self._tail_unchecked = False
        self._warned: set[str] = set()

    @classmethod
    def at_ratio(cls, n: int, prune_ratio: float, **options: Any) -> Self:
        """The method with this share of every epoch left out; what else it takes goes to the constructor."""
        return cls(n, prune_ratio=prune_ratio, **options)  # type: ignore[call-arg]  # methods without that option define their own

    # What a method defines

    @abstractmethod
    def select_mask(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """Which samples an epoch keeps. Changes nothing.

        Args:
            epoch: from 0.
            draw: the stream for everything random in it.

        Returns:
            (bool (n,) kept, float32 (n,) weights or None).
        """

    def update_scores(self, indices: Tensor, losses: Tensor) -> None:
        """Takes in losses: int64 (m,) without repetition, float32 (m,), each finite or +inf. The default needs none."""

    def extra_state(self) -> dict[str, Any]:
        """What `state_dict` stores for the method; names of attributes with their values. Tensors are (n,), one value
        per sample."""
        return {}

    def on_begin(self, epoch: int, selection: Subset) -> None:
        """Called once when an epoch begins, after its set is drawn."""

    # What users call

    def set_epoch(self, epoch: int) -> None:
        """Names the epoch, from 0, that the next iterations make. Across ranks: exchanges the losses, so call it on
        every rank."""
        self._epoch = whole(self, "epoch", epoch, 0)
        self._named = True
        if rank_and_world_size()[1] > 1:
            self.synchronize()

    def select(self, epoch: int) -> Subset:
        """The selection that an epoch would get from the present scores, the same at every call; nothing begins.

        Across ranks the present scores are those of the last exchange.
        """
        if rank_and_world_size()[1] == 1:
            self.synchronize()
        if self._preview is None or self._preview[0] != epoch:
            kept, weights = self.select_mask(epoch, numpy_generator(self.seed, "select", epoch))
            order = torch.from_numpy(permutation(self.n, self.seed, epoch))
            # NumPy gathers and compresses several times as fast as boolean indexing in torch.
            indices = torch.from_numpy(order.numpy()[np.flatnonzero(kept.numpy()[order.numpy()])])
            self._preview = (epoch, Subset(indices, None if weights is None else weights[indices]))
        return self._preview[1]

    def begin_epoch(self, epoch: int) -> Subset:
        """Draws an epoch's set, counts it as trained, and returns it (all ranks' together); the same again until
        another begins."""
        self._epoch = whole(self, "epoch", epoch, 0)
        self._named = True
        return self._begin(self._epoch)

    def batches(self, epoch: int, batch_size: int) -> tuple[Iterator[Tensor], int]:
        """Begins an epoch; its batches of indices on this rank, as `batch_sizes` cuts them, and their number."""
        indices = self._share(self.begin_epoch(epoch).indices)
        parts = indices.split(batch_sizes(len(indices), batch_size))
        return iter(parts), len(parts)

    def batch_sampler(self, batch_size: int) -> PrunedBatches:
        """For `DataLoader(Indexed(data), batch_sampler=pruner.batch_sampler(64))`: a remainder of one or two joins the
        batch before it.

        Everything else is as with `sampler=pruner, batch_size=64`: epochs, order, ranks, `update`. See `batch_sizes`.

        Args:
            batch_size: samples of a batch on this rank, at least 1.

        Raises:
            ValueError: no such batch size.
        """
        return PrunedBatches(self, batch_size)

    def observe(self, indices: Tensor | Sequence[int], losses: Tensor) -> None:
        """Takes in the losses of samples just trained. Nothing waits for the device: they are read when a selection
        needs them.

        Args:
            indices: integers (b,), as the loader yielded them.
            losses: float (b,), one per sample, or other scores (`scores.py`), larger for harder samples. One that is
                not finite counts as infinite: the sample ranks first until it is seen again.

        Raises:
            ValueError: losses that are not per sample, indices that are not integers.
            IndexError: an index outside of 0..n-1 (for indices on a device: raised by the next selection).
            RuntimeError: no epoch has begun, so that the samples were not drawn by this pruner.
        """
        indices = as_indices(indices, self.n)
        per_sample(losses, len(indices))
        if self._begun is None:
            raise RuntimeError(
                f"No epoch of this {type(self).__name__} has begun, so the batch was not drawn by it and nothing is"
                " pruned. Give the loader sampler=pruner (OrderDPBatches: batch_sampler=pruner), or call"
                " begin_epoch(epoch) in a loop without a loader. For losses measured before training, call"
                " prime(indices, losses)."
            )
        self._observed = True
        if self._tail_unchecked:
            self._check_tail(len(indices))
        self._take_in(indices, losses)

    def prime(self, indices: Tensor | Sequence[int], losses: Tensor) -> None:
        """Takes in losses that were measured outside of training, for example by a pass over all data before the first
        epoch.

        Unlike `observe` it may come before any epoch, and it does not count as training: an epoch that has begun goes
        on.

        Args:
            indices: integers (b,), places in the data set.
            losses: float (b,), as for `observe`.

        Raises:
            ValueError: losses that are not per sample, indices that are not integers.
            IndexError: an index outside of 0..n-1.

        Example:
            >>> from orderdp.pruning import OrderDP
            >>> pruner = OrderDP(4, explore=1.0, exploit=0.5)
            >>> pruner.prime(torch.arange(4), torch.tensor([0.1, 3.0, 0.2, 2.0]))
            >>> sorted(pruner.select(0).indices.tolist())
            [1, 3]
        """
        indices = as_indices(indices, self.n)
        per_sample(losses, len(indices))
        self._primed = True
        self._take_in(indices, losses)

    def _take_in(self, indices: Tensor, losses: Tensor) -> None:
        if type(self).update_scores is not Pruner.update_scores:
            # Copies, because the caller may go on to change either in place.
            self._pending.append((indices.detach().clone(), losses.detach().to(torch.float32, copy=True)))

    def update(self, indices: Tensor | Sequence[int], losses: Tensor, scores: Tensor | None = None) -> Tensor:
        """Observes the losses and returns their weighted mean over the batch, for `backward`.

        Args:
            indices: integers (b,), as the loader yielded them.
            losses: float (b,) with gradients, from a loss function with `reduction="none"`.
            scores: float (b,), what samples are ranked by instead of their losses.

        Returns:
            scalar.
        """
        self.observe(indices, losses if scores is None else scores)
        if scores is not None:
            per_sample(losses, len(indices))
        if self._begun is None or self._begun[1].weights is None:
            return losses.mean()
        return (self.weights(indices).to(losses.device, non_blocking=True) * losses).mean()

    def weights(self, indices: Tensor | Sequence[int]) -> Tensor:
        """float32 (b,), where the indices are: the weights of these samples in the epoch that has begun (1 if it left
        them out)."""
        indices = as_indices(indices, self.n)
        if self._begun is None or self._begun[1].weights is None:
            return torch.ones(len(indices), device=indices.device)
        if indices.device not in self._tables:
            table = torch.ones(self.n)
            table[self._begun[1].indices] = self._begun[1].weights
            self._tables[indices.device] = table.to(indices.device)
        return self._tables[indices.device][indices]

    @property
    def realised_prune_ratio(self) -> float:
        """Share of the samples left out so far, over all epochs begun; of the next epoch if none has."""
        if self._samples_offered == 0:
            return 1 - len(self.select(self._epoch).indices) / self.n
        return 1 - self._samples_begun / self._samples_offered

    def synchronize(self) -> None:
        """Learns from the losses observed since the last call, on all ranks: every rank must call it. Before
        `state_dict`, for example."""
        if type(self).update_scores is Pruner.update_scores or (not self._pending and rank_and_world_size()[1] == 1):
            return
        indices, losses = joined(self._pending)
        as_indices(indices, self.n)
        self._pending.clear()
        if rank_and_world_size()[1] > 1:
            indices, losses = gather(indices, losses)
        losses = torch.where(losses.isfinite(), losses, torch.inf)
        self._silence[indices] = HEARD
        if len(losses):
            self._smallest_loss = min(self._smallest_loss, float(losses.min()))
        for part, values in without_repetition(indices, losses, self.n):
            self.update_scores(part, values)
            self._preview = None

    def shard(self, rank: int, world_size: int) -> None:
        """Iterates this share instead of what `torch.distributed` says: (0, 1) where a library splits the batches
        itself."""
        world_size = whole(self, "world_size", world_size, 1)
        if whole(self, "rank", rank, 0) >= world_size:
            raise ValueError(
                f"The 'rank' of {type(self).__name__} must be below 'world_size' = {world_size}. Got {rank}."
            )
        self._placement = (rank, world_size)

    # Sampler

    def __iter__(self) -> Iterator[Any]:
        """A fresh iterator over this rank's share of the epoch, as Python integers."""
        self._epoch = self._upcoming()
        self._tail_unchecked = True
        self._begin(self._epoch)
        return Unsavable(self.iterate_again(self._epoch), SAVING)

    @property
    def epoch(self) -> int:
        """The epoch, from 0, that was named or begun last."""
        return self._epoch

    def iterate_again(self, epoch: int) -> Iterator[int]:
        """This rank's share of the epoch that has begun, from its start, whether it has been iterated before or not.

        Raises:
            RuntimeError: this epoch has not begun.
        """
        if self._begun is None or self._begun[0] != epoch:
            raise RuntimeError(
                f"The place to go on from is in epoch {epoch}, which this {type(self).__name__} has not begun. Load the"
                " pruner's state_dict() of the same moment first."
            )
        self._epoch = epoch
        return self._walk(self._share(self._begun[1].indices), epoch, self._take_turn())

    def _walk(self, indices: Tensor, epoch: int, turn: int) -> Iterator[int]:
        for part in indices.split(CHUNK):
            self._check_turn(turn)
            self._ahead = part.tolist()
            yield from self._ahead
        self._check_turn(turn)
        self._finish(epoch)

    def _take_turn(self) -> int:
        # Emptied, so that an older iteration ends its list and finds its turn over: a check per sample would cost as
        # much as sampling.
        self._ahead.clear()
        self._turn += 1
        return self._turn

    def _check_turn(self, turn: int) -> None:
        if turn != self._turn:
            raise RuntimeError(
                f"This iteration over {type(self).__name__} is over: a newer one has started. One pruner serves one"
                " loader; give each loader a pruner of its own, and look at samples through another sampler."
            )

    def __len__(self) -> int:
        """Samples of this rank in the epoch named by `set_epoch`; without it, in the epoch last begun."""
        begun = self._begun is not None and self._begun[0] == self._epoch
        indices = self._begun[1].indices if begun and self._begun is not None else self.select(self._epoch).indices
        return -(-len(indices) // self._ranks()[1])

    # How an epoch goes

    def _begin(self, epoch: int) -> Subset:
        if self._begun is None or self._begun[0] != epoch:
            self._close()
            selection = self.select(epoch)
            self._start(epoch, selection, len(selection.indices))
            self.usage.index_add_(0, selection.indices, torch.ones_like(selection.indices))
            self.on_begin(epoch, selection)
            return selection
        return self._begun[1]

    def _close(self) -> None:
        """Ends the epoch that has begun: learns from its losses, and looks at which samples gave one."""
        self.synchronize()
        if self._begun is None or type(self).update_scores is Pruner.update_scores:
            return
        if not (self._silence == HEARD).any():
            self._warn_unobserved()
        else:
            kept, heard = torch.zeros(self.n, dtype=torch.bool), self._silence == HEARD
            kept[self._kept()] = True
            self._warn_strays(heard & ~kept)
            if 2 * int((kept & heard).sum()) >= int(kept.sum()):
                self._silence[kept & ~heard] += 1
            self._give_up_on(self._silence >= PATIENCE)
        self._silence[self._silence == HEARD] = 0
        self._primed = False

    def _kept(self) -> Tensor:
        """int64: the samples of the epoch that has begun, as far as they are drawn."""
        assert self._begun is not None
        return self._begun[1].indices

    def _warn_strays(self, strays: Tensor) -> None:
        count = int(strays.sum())
        if count and not self._primed:
            self._warn(
                "strays",
                f"{count} samples gave losses in an epoch that {type(self).__name__} did not keep them for (the first:"
                f" {int(strays.nonzero()[0])}). Their numbers may belong to other samples: Indexed goes outermost,"
                " Indexed(ConcatDataset(...)), and the loader draws from this pruner alone.",
            )

    def _give_up_on(self, silent: Tensor) -> None:
        """Scores samples that were kept in several epochs and never gave a loss, so that they do not rank first for
        ever: by the smallest loss so far."""
        count = int(silent.sum())
        if count:
            self._warn(
                "silent",
                f"{count} samples were kept in {PATIENCE} epochs and gave no loss (the first:"
                f" {int(silent.nonzero()[0])}). {type(self).__name__} ranks them by the smallest loss so far. Does"
                " the training leave them out, in a collate function or by a limit of batches?",
            )
            self.update_scores(silent.nonzero().squeeze(1), torch.full((count,), self._smallest_loss))
            self._silence[silent] = 0
            self._preview = None

    def _start(self, epoch: int, selection: Subset, samples: int) -> None:
        self._begun, self._preview, self._tables = (epoch, selection), None, {}
        self._walked = self._observed = False
        self._samples_offered += self.n
        self._samples_begun += samples

    def _warn_unobserved(self) -> None:
        """Says once that an epoch was walked to its end without a loss, by a method that ranks by losses."""
        if self._walked and not self._observed and type(self).update_scores is not Pruner.update_scores:
            self._warn(
                "unobserved",
                f"{type(self).__name__} saw no loss in the whole of its last epoch, so it cannot rank the samples. Call"
                " pruner.update(index, losses), or observe(index, losses), in every training step.",
            )

    def tail_is_safe(self) -> None:
        """Says that whoever iterates leaves no batch of one sample, so that no warning is due."""
        self._tail_unchecked = False

    def _check_tail(self, batch_size: int) -> None:
        """Warns once if batches of this size leave one sample over at the epoch's end."""
        self._tail_unchecked = False
        if rank_and_world_size()[1] not in (1, self._ranks()[1]):
            return  # a library deals out the batches among processes: their sizes are not to be told from here
        count = len(self)
        if batch_size > SHORTEST and count > batch_size and count % batch_size == 1:
            self._warn(
                "tail",
                f"This epoch of {type(self).__name__} has {count} samples: batches of {batch_size} leave 1 over, and"
                " batch norm cannot train on one sample. Give the DataLoader drop_last=True (if it has that already,"
                f" nothing will fail), or batch_sampler=pruner.batch_sampler({batch_size}) in place of sampler and"
                " batch_size.",
            )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, UserWarning, stacklevel=5)

    def _finish(self, epoch: int) -> None:
        if self._begun is not None and self._begun[0] == epoch:
            self._walked = True

    def _upcoming(self) -> int:
        """The epoch that an iteration started now makes."""
        over = self._begun is not None and self._begun[0] == self._epoch and (self._walked or self._observed)
        return self._epoch + 1 if over and not self._named else self._epoch

    def _ranks(self) -> tuple[int, int]:
        return rank_and_world_size() if self._placement is None else self._placement

    def _share(self, indices: Tensor) -> Tensor:
        """This rank's part of indices (q,); padded from the start, so that all ranks take as many steps."""
        rank, world = self._ranks()
        if world == 1:
            return indices
        size = -(-len(indices) // world)
        return indices[torch.arange(rank, size * world, world) % len(indices)]
