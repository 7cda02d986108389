"""What a pruner carries from epoch to epoch: saved, restored, rebuilt by `repr`, and taken over when the data set
grows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from orderdp.pruning.checks import whole
from orderdp.pruning.observations import rank_and_world_size
from orderdp.pruning.subset import Subset

ENTRIES = ("epoch", "flags", "begun", "usage", "silence", "smallest_loss", "counts", "memory")


class Stateful:
    """The part of a `Pruner` that knows all that later selections depend on."""

    n: int
    seed: int
    usage: Tensor
    _pending: list[tuple[Tensor, Tensor]]
    _epoch: int
    _named: bool
    _walked: bool
    _observed: bool
    _primed: bool
    _begun: tuple[int, Subset] | None
    _preview: tuple[int, Subset] | None
    _tables: dict[torch.device, Tensor]
    _placement: tuple[int, int] | None
    _samples_offered: int
    _samples_begun: int
    _silence: Tensor
    _smallest_loss: float
    _turn: int
    _ahead: list[int]
    _tail_unchecked: bool
    _warned: set[str]
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> Self:
        # Kept as given: the signature of a subclass with **options does not name what it passes on.
        self = super().__new__(cls)
        self._arguments = (args, options)
        return self

    def extra_state(self) -> dict[str, Any]:
        """See `Pruner`."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """See `Pruner`."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Everything that later selections depend on, as copies of tensors and plain values.

        The entries and their shapes are the same at any time, so that `torch.distributed.checkpoint` can load them in
        place (`OrderDPBatches` is the exception).

        Raises:
            RuntimeError: across ranks, losses that were not exchanged: one rank's state would lack what the others saw.
        """
        if rank_and_world_size()[1] == 1:
            self.synchronize()
        elif self._pending:
            raise RuntimeError(
                f"{type(self).__name__} holds losses that only this rank has seen. Call synchronize() on every rank"
                " before state_dict()."
            )
        return {
            "method": type(self).__name__,
            "n": self.n,
            "seed": self.seed,
            "epoch": self._epoch,
            "flags": [self._named, self._walked, self._observed, self._primed],
            "begun": self._begun_state(),
            "usage": self.usage.clone(),
            "silence": self._silence.clone(),
            "smallest_loss": self._smallest_loss,
            "counts": [self._samples_offered, self._samples_begun],
            "memory": {name: copied(value) for name, value in self.extra_state().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken. A state that is refused changes nothing.

        Raises:
            ValueError: the state is of another method, number of samples or seed, or it is not whole.
        """
        if not isinstance(state, Mapping):
            raise ValueError(f"A pruner's state is the dictionary that state_dict() gave. Got {type(state).__name__}.")
        for key, mine in (("method", type(self).__name__), ("n", self.n), ("seed", self.seed)):
            if key not in state or state[key] != mine:
                raise ValueError(
                    f"This state is of a pruner with {key} = {state.get(key)!r}; this one has {mine!r}. Build it alike"
                    " first."
                )
        self._check_whole(state)
        self._epoch, begun = state["epoch"], state["begun"]
        self._named, self._walked, self._observed, self._primed = state["flags"]
        self._samples_offered, self._samples_begun = state["counts"]
        count = begun["count"]
        weights = begun["weights"][:count].clone() if begun["weighted"] else None
        self._begun = None if count < 0 else (begun["epoch"], Subset(begun["indices"][:count].clone(), weights))
        self.usage = state["usage"].clone()
        self._silence = state["silence"].clone()
        self._smallest_loss = state["smallest_loss"]
        self._pending, self._preview, self._tables = [], None, {}
        for name in self.extra_state():
            setattr(self, name, copied(state["memory"][name]))

    def _begun_state(self) -> dict[str, Any]:
        """The set in force, in the first `count` places of tensors (n,); -1 where no epoch has begun."""
        epoch, (indices, weights) = (0, (torch.empty(0), None)) if self._begun is None else self._begun
        count, state = len(indices), {"indices": torch.zeros(self.n, dtype=torch.int64), "weights": torch.ones(self.n)}
        state["indices"][:count] = indices
        if weights is not None:
            state["weights"][:count] = weights
        return state | {
            "epoch": epoch, "count": -1 if self._begun is None else count, "weighted": weights is not None
        }  # fmt: skip

    def _check_whole(self, state: Mapping[str, Any]) -> None:
        """Refuses what lacks an entry, or has one of another number of samples."""
        memory, begun = state.get("memory") or {}, state.get("begun") or {}
        flat = {**begun, **memory, **state}
        absent = set(ENTRIES) - set(state) or (set(self.extra_state()) - set(memory)) | set(self._begun_state()) - set(
            begun
        )
        short = [key for key, value in flat.items() if isinstance(value, Tensor) and len(value) != self.n]
        if absent or short:
            wrong = f"it lacks {', '.join(sorted(absent))}" if absent else f"'{short[0]}' is not of {self.n} samples"
            raise ValueError(
                f"This state of {type(self).__name__} is not whole: {wrong}. Load what state_dict() gave, unchanged."
            )

    def __repr__(self) -> str:
        """The call that builds an equal pruner; options at their default are left out."""
        defaults = {name: parameter.default for name, parameter in inspect.signature(type(self)).parameters.items()}
        given = {
            name: value for name, value in self._options().items() if name not in defaults or value != defaults[name]
        }
        return f"{type(self).__name__}({self.n}{''.join(f', {name}={value!r}' for name, value in given.items())})"

    def _options(self) -> dict[str, Any]:
        """The arguments that the constructor was given beside n, as the attributes of their names hold them now."""
        args, options = self._arguments
        bound = inspect.signature(type(self)).bind(*args, **options)
        given: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                given |= value
            elif kind is not inspect.Parameter.VAR_POSITIONAL:
                given[name] = value
        given.pop("n", None)
        # `prune_ratio` is what was realised; the requested one is kept as `target_ratio`.
        now = {
            name: getattr(self, "target_ratio" if name == "prune_ratio" else name, value)
            for name, value in given.items()
        }
        return {
            name: None if given[name] is None else value for name, value in now.items()
        }  # None stays what it was: to be derived

    def grow(self, n: int) -> None:
        """The data set has n samples from now on: those appended to it count as never seen, the others keep what is
        known of them.

        Call it between epochs, with workers that persist on a loader made anew (they hold a copy of the old data),
        across ranks on every rank. The method's shares stay, now of n. An epoch that has begun keeps its set, as does a
        method that chooses once for several epochs until its next choice, and a fixed subset for good.

        Args:
            n: at least the present n.
        """
        n = whole(self, "n", n, self.n)
        self.synchronize()
        larger = type(self)(n, **self._options())  # type: ignore[call-arg]  # a method's constructor takes n and its options
        state = self.state_dict()
        state["n"], state["usage"] = n, extended(self.usage, larger.usage, n)
        state["silence"] = extended(self._silence, larger._silence, n)
        blank = larger._begun_state()
        state["begun"] = {name: extended(value, blank[name], n) for name, value in state["begun"].items()}
        state["memory"] = {name: extended(value, getattr(larger, name), n) for name, value in state["memory"].items()}
        larger.load_state_dict(state)
        for name in ("_placement", "_turn", "_ahead", "_tail_unchecked", "_warned"):
            setattr(larger, name, getattr(self, name))
        vars(self).update(vars(larger))


def copied(value: Any) -> Any:
    """A copy that later changes of the original leave alone."""
    return value.clone() if isinstance(value, Tensor) else list(value) if isinstance(value, list) else value


def extended(value: Any, blank: Any, n: int) -> Any:
    """What is remembered of a data set, taken over for n samples: the new ones get what a new pruner holds of them.

    Args:
        value: a tensor (m,) with one value for each of m samples; anything else is returned as it is.
        blank: the same of a new pruner: a tensor (n,).
        n: samples from now on.
    """
    return torch.cat([value, blank[len(value) :]]) if isinstance(value, Tensor) else value
