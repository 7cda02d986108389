"""The coreset contract: what a proxy run leaves behind (`Evidence`), what a method makes of it, and what comes out
(`Selection`).

A method is a plain function with one of two decorators, and its keyword-only arguments are its options:

    @scored(needs=("logits",), family="uncertainty")
    def entropy(evidence, members, rng): ...                # one score per member; the largest are kept

    @ordered(needs=("features",), family="geometry")
    def herding(evidence, members, budget, rng): ...        # `budget` of the members, best first

`members` (int64 sample numbers) come in random order, and whatever a method leaves undecided goes to the member that
comes first. So ties are broken at random and never by sample number, and no method needs tie-breakers of its own. A
scored method is asked once about all samples, also where classes are selected from one by one; an ordered one is asked
once for each class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Family = Literal["random", "geometry", "uncertainty", "training dynamics", "gradient matching", "influence"]


class Held(NamedTuple):
    """What a tensor of the evidence must be."""

    kind: str
    shape: tuple[str, ...]
    meaning: str

    @property
    def text(self) -> str:
        """Kind and shape, as in "float (n, d)"."""
        return f"{self.kind} ({', '.join(self.shape)}{',' if len(self.shape) == 1 else ''})"


HELD = {
    "labels": Held("int64", ("n",), "classes of the training samples, each in 0..k-1"),
    "logits": Held("float", ("models", "n", "k"), "outputs of each proxy after its last epoch, in eval mode"),
    "features": Held(
        "float", ("n", "d"), "what enters the last layer of the last proxy, in eval mode, after its last epoch"
    ),
    "correct": Held(
        "bool", ("epochs", "n"), "whether each sample was classified right when it was trained on, epoch by epoch"
    ),
    "losses": Held("float", ("epochs", "n"), "each sample's loss when it was trained on, epoch by epoch"),
    "early_logits": Held("float", ("early models", "n", "k"), "outputs of each proxy at an early epoch, in eval mode"),
    "early_norms": Held(
        "float", ("early models", "n"), "Euclidean norm of what enters the last layer of each proxy at that early epoch"
    ),
    "validation_logits": Held("float", ("m", "k"), "the last proxy's outputs for samples held out of its training set"),
    "validation_features": Held(
        "float", ("m", "d"), "what enters the last proxy's last layer for the held-out samples"
    ),
    "validation_labels": Held("int64", ("m",), "labels of the held-out samples, which are never the test set's"),
    "perturbation": Held(
        "float", ("n",), "norm of the smallest change of the input that changes the class, by DeepFool"
    ),
}


@dataclass(frozen=True)
class Evidence:
    """What a proxy run knows of the training set: `HELD` says of each tensor what it is. A method asks for those that
    it needs only.

    All tensors are on one device. `classes` is k.
    """

    labels: Tensor
    classes: int
    logits: Tensor | None = None
    features: Tensor | None = None
    correct: Tensor | None = None
    losses: Tensor | None = None
    early_logits: Tensor | None = None
    early_norms: Tensor | None = None
    validation_logits: Tensor | None = None
    validation_features: Tensor | None = None
    validation_labels: Tensor | None = None
    perturbation: Tensor | None = None

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def held(self, name: str) -> Tensor:
        """A tensor that the method's `needs` name; `check` has seen that it is there."""
        tensor: Tensor | None = getattr(self, name)
        assert tensor is not None, name
        return tensor

    def log_probabilities(self, members: Tensor) -> Tensor:
        """float64 (len(members), k): log of the mean of the proxies' softmax.

        In double precision, because a proxy knows most of its training set so well that float32 probabilities would
        tie.
        """
        logs = self.held("logits")[:, members].double().log_softmax(-1)
        return logs.logsumexp(0) - math.log(len(logs))

    def check(self, asker: str, needs: tuple[str, ...]) -> None:
        """Raises ValueError if the labels or a tensor that `asker` needs is missing, misshapen, not finite or out of
        range."""
        sizes = {"k": self.classes}
        for name in ("labels", *needs):
            held, tensor = HELD[name], getattr(self, name)
            if tensor is None:
                raise ValueError(f"'{asker}' needs the evidence '{name}', {held.text}: {held.meaning}.")
            same_dims = len(held.shape) == tensor.dim()
            if not same_dims or any(
                sizes.setdefault(s, size) != size for s, size in zip(held.shape, tensor.shape, strict=True)
            ):
                known = "".join(f", {symbol} = {sizes[symbol]}" for symbol in held.shape if symbol in sizes)
                raise ValueError(
                    f"The evidence '{name}' must be {held.text}{known}. Got the shape {tuple(tensor.shape)}."
                )
            if held.kind != _kind(tensor) or tensor.numel() == 0:
                raise ValueError(
                    f"The evidence '{name}' must be {held.text} and not empty. Got {tensor.dtype} of"
                    f" {tuple(tensor.shape)}."
                )
            if held.kind == "float" and not bool(tensor.isfinite().all()):
                raise ValueError(
                    f"The evidence '{name}' holds NaN or infinity. Did the proxy diverge? Train it at a lower learning"
                    " rate."
                )
            if held.kind == "int64" and not 0 <= int(tensor.min()) <= int(tensor.max()) < self.classes:
                raise ValueError(
                    f"The evidence '{name}' must lie in 0..{self.classes - 1}. Got"
                    f" {int(tensor.min())}..{int(tensor.max())}."
                )


class Selection(NamedTuple):
    """A coreset, on the CPU: int64 indices, each once, best first; float32 weights with mean 1, or None."""

    indices: Tensor
    weights: Tensor | None


@dataclass(frozen=True)
class Method:
    """What `select` knows of a method beside its function.

    Args:
        needs: fields of `Evidence` beside the labels.
        family: heading in the tables of methods.
        scored: whether the function scores all samples or orders those of a class.
        nested: a smaller budget's answer is the beginning of a larger one's, so that one order serves all budgets.
        weigh: `weigh(evidence, members, chosen, **options)` -> float (len(chosen),), positive and finite: how many of
            `members` each chosen one stands for. `select` puts classes together and divides by the mean. It gets those
            options of the method that its own keyword-only arguments name. None: no weights.
    """

    needs: tuple[str, ...]
    family: Family
    scored: bool
    nested: bool
    weigh: Callable[..., Tensor] | None = None


def scored(*, needs: tuple[str, ...], family: Family) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Marks `function(evidence, members, rng, **options)` -> (len(members),), or (len(members), r) compared column by
    column."""
    return _marked(Method(needs, family, scored=True, nested=True))


def ordered(
    *, needs: tuple[str, ...], family: Family, nested: bool = True, weigh: Callable[..., Tensor] | None = None
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Marks `function(evidence, members, budget, rng, **options)` -> int64 (budget,), some of `members`, best first."""
    return _marked(Method(needs, family, scored=False, nested=nested, weigh=weigh))


def _marked(method: Method) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    def mark(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        function.method = method  # type: ignore[attr-defined]
        return function

    return mark


def residuals(logits: Tensor, labels: Tensor) -> Tensor:
    """(n, k): p - y, the gradient of the cross-entropy by the logits, in the logits' precision.

    The label's entry is minus the sum of the others, which keeps what p_y - 1 would lose where p_y is nearly 1.
    """
    label = labels.unsqueeze(1)
    others = logits.softmax(-1).scatter_(1, label, 0.0)
    return others.scatter_(1, label, -others.sum(1, keepdim=True))


def _kind(tensor: Tensor) -> str:
    if tensor.dtype == torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
