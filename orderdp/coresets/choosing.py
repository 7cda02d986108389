"""From a proxy's file of outputs to coresets: which of its arrays a method gets to see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orderdp.coresets.base import Method, ProxyOutputs
from orderdp.coresets.selection import Balance, select
from orderdp.pruning.subset import Subset

HELD_OUT = ("validation_logits", "validation_features", "validation_labels")


class CoresetOptions(Protocol):
    """How to choose (`orderdp.spec.CoresetSpec`)."""

    @property
    def method(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def models(self) -> int: ...
    @property
    def epoch(self) -> int | None: ...
    @property
    def balance(self) -> Balance: ...


def choose(
    function: Callable[..., Tensor],
    arrays: Mapping[str, NDArray[Any]],
    options: CoresetOptions,
    prune_ratios: Sequence[float],
    seed: int,
) -> list[Subset]:
    """The coresets of one method, one for each prune ratio: round((1 - prune_ratio) n) of all n training samples.

    Args:
        function: the registry's entry for `options.method`.
        arrays: as `orderdp.training.proxy` notes them.
        options: method, its options and what of the arrays it looks at.
        prune_ratios: each in (0, 1).
        seed: decides ties and whatever the method draws.

    Returns:
        Selections with indices into the whole training set. A method that wants held-out samples is shown the network
        that did not train on them, and chooses among the others.

    Raises:
        ValueError: the outputs are not there, or more samples are to be kept than a method may choose from.
    """
    method: Method = function.method  # type: ignore[attr-defined]
    outputs = outputs_for(method.needs, arrays, options.models, options.epoch)
    n_keep = [round((1 - ratio) * len(arrays["labels"])) for ratio in prune_ratios]
    if max(n_keep) > outputs.n:
        raise ValueError(
            f"'{options.method}' chooses among the {outputs.n} samples that are not held out, fewer than the"
            f" {max(n_keep)} to keep. Lower the proxy's 'validation', or raise the prune ratio."
        )
    rng = np.random.default_rng(seed)
    selections = select(options.method, outputs, n_keep, rng, balance=options.balance, **options.options)
    if not holds_out(method.needs):
        return selections
    members = torch.from_numpy(arrays["split_members"]).long()
    return [Subset(members[selection.indices], selection.weights) for selection in selections]


def outputs_for(
    needs: Sequence[str], arrays: Mapping[str, NDArray[Any]], models: int, epoch: int | None
) -> ProxyOutputs:
    """What a method with these needs is shown: of the last `models` networks, and of one early epoch."""
    tensor = {name: torch.from_numpy(array) for name, array in arrays.items()}
    labels, classes = tensor["labels"].long(), int(tensor["classes"])
    fields: dict[str, Tensor] = {}
    if holds_out(needs):
        labels = labels[tensor["split_members"].long()]
        fields = {"logits": tensor["split_logits"].unsqueeze(0), "features": tensor["split_features"]}
        fields |= {name: tensor[name] for name in HELD_OUT}
    else:
        fields = {name: tensor[name] for name in needs if name in tensor and not name.startswith("early_")}
        if "logits" in fields:
            fields["logits"] = fields["logits"][-models:]
        for name in needs:
            if name.startswith("early_") and epoch is not None:
                place = arrays["early_epochs"].tolist().index(epoch)
                fields[name] = tensor[name][-models:, place]
    return ProxyOutputs(labels, classes, **{name: fields[name] for name in needs if name in fields})


def holds_out(needs: Sequence[str]) -> bool:
    """Whether a method looks at held-out samples."""
    return any(name in HELD_OUT for name in needs)
