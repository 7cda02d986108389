"""GLISTER: samples whose gradient steps would lower the loss on held-out samples most."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets.base import ProxyOutputs, ordered, residuals
from orderdp.coresets.last_layer import Gradients, gradients, with_one

NEEDS = ("logits", "features", "validation_logits", "validation_features", "validation_labels")


@ordered(needs=NEEDS, family="gradient matching", nested=False)
def glister(
    outputs: ProxyOutputs,
    members: Tensor,
    n_keep: int,
    rng: np.random.Generator,
    *,
    rounds: int = 15,
    rate: float = 0.05,
) -> Tensor:
    """GLISTER: greedy by the drop in validation loss that a step on the chosen samples would bring (Killamsetty et al.
    2021).

    gain_i = <g_i, grad L_val(theta - (rate / n_keep) sum_{j in S} g_j)>, with gradients of the last layer. The
    validation logits are linear in that layer, so that they follow each step exactly. Paper: the sum has the learning
    rate as its factor; here: the mean over the n_keep has, because a sum over thousands leaves the neighbourhood of
    theta in which the gain means anything.

    Args:
        outputs: with logits, features and a validation split held out of the training set.
        members: of one class, or all. The validation loss is that of all classes.
        n_keep: how many to choose.
        rng: unused.
        rounds: how often the validation gradient is taken anew; the n_keep is split evenly. From `n_keep` on: after
            every sample.
        rate: step size.
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"The 'rounds' of glister must be an integer of at least 1. Got {rounds!r}.")
    logits = outputs.require("validation_logits").double()
    inputs = with_one(outputs.require("validation_features").float())
    positions = greedy(
        gradients(outputs, members),
        logits,
        inputs,
        outputs.require("validation_labels"),
        n_keep,
        rounds=rounds,
        rate=rate / n_keep,
    )
    return members[positions]


def greedy(
    training: Gradients, logits: Tensor, inputs: Tensor, labels: Tensor, n_keep: int, *, rounds: int, rate: float
) -> Tensor:
    """Positions of the samples chosen, in that order.

    Args:
        training: gradients of the candidates at theta; they stay as they are.
        logits: float (v, k) of the validation samples at theta.
        inputs: float (v, d + 1), what enters the last layer for them, with a 1.
        labels: int64 (v,).
        n_keep: how many to choose.
        rounds: the validation gradient is taken anew this many times.
        rate: of the step along the *sum* of the chosen gradients.
    """
    open_ = torch.ones(len(training.errors), dtype=torch.bool, device=labels.device)
    chosen = torch.empty(0, dtype=torch.int64, device=labels.device)
    for part in np.array_split(np.arange(n_keep), min(rounds, n_keep)):
        validation = Gradients(residuals(logits, labels).to(inputs.dtype), inputs)
        gains = training.dot(validation.total() / len(labels)).masked_fill_(~open_, -torch.inf)
        best = gains.argsort(descending=True, stable=True)[: len(part)]
        open_[best] = False
        chosen = torch.cat([chosen, best])
        logits = logits - rate * (inputs @ training.take(best).total().T).to(logits.dtype)
    return chosen
