"""The coreset contract: the outputs of a proxy (`ProxyOutputs`), what a method makes of it, and what comes out
(`Subset`).

A method is a plain function with one of two decorators, and its keyword-only arguments are its options:

    @scored(needs=("logits",), family="uncertainty")
    def entropy(outputs, members, rng): ...                # one score per member; the largest are kept

    @ordered(needs=("features",), family="geometry")
    def herding(outputs, members, n_keep, rng): ...        # `n_keep` of the members, best first

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


class ArraySpec(NamedTuple):
    """What a tensor of the outputs must be."""

    kind: str
    shape: tuple[str, ...]
    meaning: str

    @property
    def text(self) -> str:
        """Kind and shape, as in "float (n, d)"."""
        return f"{self.kind} ({', '.join(self.shape)}{',' if len(self.shape) == 1 else ''})"


ARRAYS = {
    "labels": ArraySpec("int64", ("n",), "classes of the training samples, each in 0..k-1"),
    "logits": ArraySpec("float", ("models", "n", "k"), "outputs of each proxy after its last epoch, in eval mode"),
    "features": ArraySpec(
        "float", ("n", "d"), "what enters the last layer of the last proxy, in eval mode, after its last epoch"
    ),
    "correct": ArraySpec(
        "bool", ("epochs", "n"), "whether each sample was classified right when it was trained on, epoch by epoch"
    ),
    "losses": ArraySpec("float", ("epochs", "n"), "each sample's loss when it was trained on, epoch by epoch"),
    "early_logits": ArraySpec(
        "float", ("early models", "n", "k"), "outputs of each proxy at an early epoch, in eval mode"
    ),
    "early_norms": ArraySpec(
        "float", ("early models", "n"), "Euclidean norm of what enters the last layer of each proxy at that early epoch"
    ),
    "validation_logits": ArraySpec(
        "float", ("m", "k"), "the last proxy's outputs for samples held out of its training set"
    ),
    "validation_features": ArraySpec(
        "float", ("m", "d"), "what enters the last proxy's last layer for the held-out samples"
    ),
    "validation_labels": ArraySpec("int64", ("m",), "labels of the held-out samples, which are never the test set's"),
    "perturbation": ArraySpec(
        "float", ("n",), "norm of the smallest change of the input that changes the class, by DeepFool"
    ),
}


@dataclass(frozen=True)
class ProxyOutputs:
    """What a proxy run knows of the training set: `ARRAYS` says of each tensor what it is. A method asks for those that
    it needs only.

    All tensors are on one device. `classes` is k.

    Example:
        >>> outputs = ProxyOutputs(labels=torch.tensor([0, 1, 1]), classes=2, logits=torch.zeros(1, 3, 2))
        >>> outputs.n, outputs.require("logits").shape[0]
        (3, 1)
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

    def require(self, name: str) -> Tensor:
        """A tensor that the method's `needs` name; `check` has seen that it is there."""
        tensor: Tensor | None = getattr(self, name)
        assert tensor is not None, name
        return tensor

    def log_probabilities(self, members: Tensor) -> Tensor:
        """float64 (len(members), k): log of the mean of the proxies' softmax.

        In double precision, because a proxy knows most of its training set so well that float32 probabilities would
        tie.
        """
        logs = self.require("logits")[:, members].double().log_softmax(-1)
        return logs.logsumexp(0) - math.log(len(logs))

    def check(self, asker: str, needs: tuple[str, ...]) -> None:
        """Raises ValueError if the labels or a tensor that `asker` needs is missing, misshapen, not finite or out of
        range."""
        sizes = {"k": self.classes}
        for name in ("labels", *needs):
            spec, tensor = ARRAYS[name], getattr(self, name)
            if tensor is None:
                raise ValueError(f"'{asker}' needs the proxy output '{name}', {spec.text}: {spec.meaning}.")
            same_dims = len(spec.shape) == tensor.dim()
            if not same_dims or any(
                sizes.setdefault(s, size) != size for s, size in zip(spec.shape, tensor.shape, strict=True)
            ):
                known = "".join(f", {symbol} = {sizes[symbol]}" for symbol in spec.shape if symbol in sizes)
                raise ValueError(
                    f"The proxy output '{name}' must be {spec.text}{known}. Got the shape {tuple(tensor.shape)}."
                )
            if spec.kind != _kind(tensor) or tensor.numel() == 0:
                raise ValueError(
                    f"The proxy output '{name}' must be {spec.text} and not empty. Got {tensor.dtype} of"
                    f" {tuple(tensor.shape)}."
                )
            if spec.kind == "float" and not bool(tensor.isfinite().all()):
                raise ValueError(
                    f"The proxy output '{name}' holds NaN or infinity. Did the proxy diverge? Train it at a lower"
                    " learning rate."
                )
            if spec.kind == "int64" and not 0 <= int(tensor.min()) <= int(tensor.max()) < self.classes:
                raise ValueError(
                    f"The proxy output '{name}' must lie in 0..{self.classes - 1}. Got"
                    f" {int(tensor.min())}..{int(tensor.max())}."
                )


@dataclass(frozen=True)
class Method:
    """What `select` knows of a method beside its function.

    Args:
        needs: fields of `ProxyOutputs` beside the labels.
        family: heading in the tables of methods.
        scored: whether the function scores all samples or orders those of a class.
        nested: a smaller n_keep's answer is the beginning of a larger one's, so that one order serves all budgets.
        weigh: `weigh(outputs, members, chosen, **options)` -> float (len(chosen),), positive and finite: how many of
            `members` each chosen one stands for. `select` puts classes together and divides by the mean. It gets those
            options of the method that its own keyword-only arguments name. None: no weights.

    Example:
        >>> from orderdp.coresets import CORESETS
        >>> method = CORESETS["herding"].method
        >>> method.family, method.needs
        ('geometry', ('features',))
    """

    needs: tuple[str, ...]
    family: Family
    scored: bool
    nested: bool
    weigh: Callable[..., Tensor] | None = None


def scored(*, needs: tuple[str, ...], family: Family) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Marks `function(outputs, members, rng, **options)` -> (len(members),), or (len(members), r) compared column by
    column."""
    return _marked(Method(needs, family, scored=True, nested=True))


def ordered(
    *, needs: tuple[str, ...], family: Family, nested: bool = True, weigh: Callable[..., Tensor] | None = None
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Marks `function(outputs, members, n_keep, rng, **options)` -> int64 (n_keep,), some of `members`, best first."""
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
