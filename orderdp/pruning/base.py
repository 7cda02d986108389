"""The pruner contract: which samples an epoch trains on, with which weights, and what is remembered of their losses."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from orderdp.pruning.checks import as_indices, per_sample, whole
from orderdp.pruning.exchange import gather, placement
from orderdp.pruning.streams import generator

T = TypeVar("T")


class Selection(NamedTuple):
    """The samples of an epoch, in training order."""

    indices: Tensor
    """int64 (q,)."""
    weights: Tensor | None
    """float32 (q,), or None where all weigh 1."""


class Indexed(Dataset[tuple[int, T]]):
    """A data set that yields `(index, sample)`, so that a training step knows whose losses it holds.

    Args:
        dataset: any map-style data set.
    """

    def __init__(self, dataset: Dataset[T]) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> tuple[int, T]:
        """The sample with its number."""
        return index, self.dataset[index]

    def __len__(self) -> int:
        """Length of the wrapped data set."""
        return len(self.dataset)  # type: ignore[arg-type]


class Pruner(Sampler[int]):
    """Base of all pruning methods: a `Sampler` for the `DataLoader`, and a weighted mean for the loss.

    A subclass says which samples an epoch keeps (`choose`) and, if it ranks them, what it remembers (`learn`, `memory`).

    Epochs are numbered from 0. `set_epoch` names the one that the next iteration makes; without it, each full pass moves on by one, and
    an iteration that was abandoned is repeated with the same samples. An epoch's set is drawn when it begins and stays, whatever is
    observed meanwhile. The order is one permutation of all n samples per (seed, epoch), restricted to what is kept: a pruned run and
    the full run visit their common samples in the same order.

    Across ranks of `torch.distributed` every rank draws the same selection and iterates its share; losses are exchanged when an epoch
    begins, so every rank must begin it.

    Args:
        n: number of samples in the data set.
        seed: decides selection and order, each from a stream of its own; global random states are never touched.
    """

    def __init__(self, n: int, *, seed: int = 0) -> None:
        self.n = whole(self, "n", n, 1)
        self.seed = whole(self, "seed", seed, 0)
        self.usage = torch.zeros(self.n, dtype=torch.int64)
        """int64 (n,): how many epochs kept each sample, counting only epochs that were begun."""
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._epoch = 0
        self._named = False
        self._walked = False
        self._begun: tuple[int, Selection] | None = None
        self._preview: tuple[int, Selection] | None = None
        self._dense: Tensor | None = None
        self._epochs_begun = 0
        self._samples_begun = 0

    @classmethod
    def at_ratio(cls, n: int, prune_ratio: float, **options: Any) -> Self:
        """The method with this share of every epoch left out; what else it takes goes to the constructor."""
        return cls(n, prune_ratio=prune_ratio, **options)

    # What a method defines

    @abstractmethod
    def choose(self, epoch: int, draw: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Which samples an epoch keeps.

        Args:
            epoch: from 0.
            draw: the stream for everything random in it.

        Returns:
            (bool (n,) kept, float32 (n,) weights or None).
        """

    def learn(self, indices: Tensor, losses: Tensor) -> None:
        """Takes in losses: int64 (m,) without repetition, float32 (m,). The default forgets them."""

    def memory(self) -> dict[str, Any]:
        """What `state_dict` stores for the method; names of attributes with their values."""
        return {}

    def on_begin(self, epoch: int, selection: Selection) -> None:
        """Called once when an epoch begins, after its set is drawn."""

    # What users call

    def set_epoch(self, epoch: int) -> None:
        """Names the epoch, from 0, that the next iteration makes."""
        self._epoch = whole(self, "epoch", epoch, 0)
        self._named = True
        self._walked = False

    def select(self, epoch: int) -> Selection:
        """The selection that an epoch would get from the present scores. Changes nothing but the exchange of pending losses."""
        self.synchronize()
        kept, weights = self.choose(epoch, generator(self.seed, "select", epoch))
        order = torch.randperm(self.n, generator=generator(self.seed, "order", epoch))
        indices = order[kept[order]]
        return Selection(indices, None if weights is None else weights[indices])

    def begin_epoch(self, epoch: int) -> Selection:
        """Draws an epoch's set, counts it as trained, and returns it; asked again for the same epoch, returns the same set."""
        if self._begun is not None and self._begun[0] == epoch:
            return self._begun[1]
        selection = self._peek(epoch)
        self._begun, self._preview = (epoch, selection), None
        self._set_weights(selection)
        self.usage.index_add_(0, selection.indices, torch.ones_like(selection.indices))
        self._epochs_begun += 1
        self._samples_begun += len(selection.indices)
        self.on_begin(epoch, selection)
        return selection

    def batches(self, epoch: int, batch_size: int) -> tuple[Iterator[Tensor], int]:
        """Begins an epoch; its batches of indices on this rank, and their number."""
        indices = self._share(self.begin_epoch(epoch).indices)
        parts = indices.split(batch_size)
        return iter(parts), len(parts)

    def observe(self, indices: Tensor | Sequence[int], losses: Tensor) -> None:
        """Takes in the losses of samples just trained. Nothing waits for the device: they are read when a selection needs them.

        Args:
            indices: integers (b,), as the loader yielded them.
            losses: float (b,), one per sample. A loss that is not a number ranks as infinite.
        """
        indices = as_indices(indices, self.n)
        per_sample(losses, len(indices))
        self._pending.append((indices, losses.detach().to(torch.float32, copy=True)))
        self._preview = None

    def update(self, indices: Tensor | Sequence[int], losses: Tensor) -> Tensor:
        """Observes the losses and returns their weighted mean over the batch, for `backward`.

        Args:
            indices: integers (b,), as the loader yielded them.
            losses: float (b,) with gradients, from a loss function with `reduction="none"`.

        Returns:
            scalar.
        """
        self.observe(indices, losses)
        if self._dense is None:
            return losses.mean()
        return (self.weights(indices).to(losses.device, losses.dtype, non_blocking=True) * losses).mean()

    def weights(self, indices: Tensor | Sequence[int]) -> Tensor:
        """float32 (b,): the weights of these samples in the epoch that has begun."""
        indices = as_indices(indices, self.n)
        if self._dense is None:
            return torch.ones(len(indices))
        return self._dense[indices.cpu()]

    @property
    def prune_ratio(self) -> float:
        """Share of the samples left out so far, over all epochs begun; of the next epoch if none has."""
        if self._epochs_begun == 0:
            return 1 - len(self._peek(self._upcoming()).indices) / self.n
        return 1 - self._samples_begun / (self._epochs_begun * self.n)

    def synchronize(self) -> None:
        """Applies the losses observed since the last call, from all ranks; every rank must call it.

        Beginning an epoch does this by itself. Call it before `state_dict` when only one rank saves.
        """
        rank, world = placement()
        if not self._pending and world == 1:
            return
        indices = torch.cat([i.cpu() for i, _ in self._pending]) if self._pending else torch.empty(0, dtype=torch.int64)
        losses = torch.cat([x.cpu() for _, x in self._pending]) if self._pending else torch.empty(0)
        self._pending.clear()
        if world > 1:
            indices, losses = gather(indices, losses)
        as_indices(indices, self.n)
        losses = losses.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
        for chunk, values in _without_repetition(indices, losses, self.n):
            self.learn(chunk, values)

    # Sampler

    def __iter__(self) -> Iterator[int]:
        """A fresh iterator over this rank's share of the epoch."""
        self._epoch, self._walked = self._upcoming(), False
        indices = self._share(self.begin_epoch(self._epoch).indices)
        return self._walk(indices.tolist())

    def _walk(self, indices: list[int]) -> Iterator[int]:
        epoch = self._epoch
        yield from indices
        self._walked = self._epoch == epoch

    def __len__(self) -> int:
        """Samples of this rank in the next iteration, or in the present one while it runs."""
        return len(self._share(self._peek(self._upcoming()).indices))

    # State

    def state_dict(self) -> dict[str, Any]:
        """Everything that later selections depend on, as tensors and plain values."""
        if placement()[1] == 1:
            self.synchronize()
        return {
            "method": type(self).__name__,
            "n": self.n,
            "seed": self.seed,
            "epoch": self._epoch,
            "named": self._named,
            "walked": self._walked,
            "begun": None if self._begun is None else [self._begun[0], self._begun[1].indices, self._begun[1].weights],
            "usage": self.usage.clone(),
            "epochs_begun": self._epochs_begun,
            "samples_begun": self._samples_begun,
            "pending": [list(pair) for pair in self._pending],
            "memory": {k: v.clone() if isinstance(v, Tensor) else v for k, v in self.memory().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken.

        Raises:
            ValueError: the state is of another method, number of samples or seed.
        """
        for key, mine in (("method", type(self).__name__), ("n", self.n), ("seed", self.seed)):
            if state[key] != mine:
                raise ValueError(f"This state is of a pruner with {key} = {state[key]!r}; this one has {mine!r}. Build it alike first.")
        self._epoch, self._named, self._walked = state["epoch"], state["named"], state["walked"]
        self._epochs_begun, self._samples_begun = state["epochs_begun"], state["samples_begun"]
        self.usage = state["usage"].clone()
        self._pending = [(indices, losses) for indices, losses in state["pending"]]
        for name, value in state["memory"].items():
            setattr(self, name, value.clone() if isinstance(value, Tensor) else value)
        begun, self._preview = state["begun"], None
        self._begun = None if begun is None else (begun[0], Selection(begun[1], begun[2]))
        self._dense = None
        if self._begun is not None:
            self._set_weights(self._begun[1])

    def __repr__(self) -> str:
        """The call that builds an equal pruner."""
        names = [name for name in inspect.signature(type(self).__init__).parameters if name not in ("self", "n")]
        # `prune_ratio` is what was realised; the one asked for is kept as `target_ratio`.
        values = {name: getattr(self, "target_ratio" if name == "prune_ratio" else name) for name in names}
        options = "".join(f", {name}={value!r}" for name, value in values.items())
        return f"{type(self).__name__}({self.n}{options})"

    def _upcoming(self) -> int:
        return self._epoch + 1 if self._walked and not self._named else self._epoch

    def _peek(self, epoch: int) -> Selection:
        if self._begun is not None and self._begun[0] == epoch:
            return self._begun[1]
        if self._preview is None or self._preview[0] != epoch:
            self._preview = (epoch, self.select(epoch))
        return self._preview[1]

    def _share(self, indices: Tensor) -> Tensor:
        """This rank's part; padded from the start, so that all ranks take as many steps."""
        rank, world = placement()
        if world == 1:
            return indices
        missing = -len(indices) % world
        return torch.cat([indices, indices[:missing]])[rank::world]

    def _set_weights(self, selection: Selection) -> None:
        self._dense = None
        if selection.weights is not None:
            self._dense = torch.ones(self.n)
            self._dense[selection.indices] = selection.weights


def _without_repetition(indices: Tensor, losses: Tensor, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Splits observations into parts that hold each sample once, in the order in which they came."""
    while len(indices):
        if int(torch.bincount(indices, minlength=n).max()) == 1:
            yield indices, losses
            return
        first = torch.full((n,), -1, dtype=torch.int64)
        position = torch.arange(len(indices))
        first.scatter_reduce_(0, indices, position, "amin", include_self=False)
        now = first[indices] == position
        yield indices[now], losses[now]
        indices, losses = indices[~now], losses[~now]
