"""How a sample's fit developed while the proxy trained, and how strongly it pulled at the weights early on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets.base import ProxyOutputs, residuals, scored


@scored(needs=("correct", "losses"), family="training dynamics")
def forgetting(outputs: ProxyOutputs, members: Tensor, rng: np.random.Generator) -> Tensor:
    """Forgetting events: how often a sample was classified right at one presentation and wrong at the next (Toneva et
    al. 2019).

    A sample never classified right counts as forgotten infinitely often. With few epochs most counts are equal: then
    the sample first classified right later goes first, and after that the one with the higher mean loss.
    """
    correct = outputs.require("correct")[:, members]
    forgotten = (correct[:-1] & ~correct[1:]).sum(0).double()
    before_learned = (correct.cumsum(0) == 0).sum(0).double()
    never = before_learned == len(correct)
    loss = outputs.require("losses")[:, members].double().mean(0)
    return torch.stack([forgotten.masked_fill(never, torch.inf), before_learned, loss], 1)


@scored(needs=("early_logits", "early_norms"), family="training dynamics")
def grand(outputs: ProxyOutputs, members: Tensor, rng: np.random.Generator) -> Tensor:
    """Norm of the loss gradient early in training, averaged over the proxies (Paul et al. 2021).

    Of the last layer's weights and bias, ||p - y|| sqrt(1 + ||h||^2) in closed form. The paper takes all parameters.
    """
    norms = outputs.require("early_norms")[:, members].double()
    return (_error_norms(outputs, members) * (1 + norms.square()).sqrt()).mean(0)


@scored(needs=("early_logits",), family="training dynamics")
def el2n(outputs: ProxyOutputs, members: Tensor, rng: np.random.Generator) -> Tensor:
    """||p - y|| early in training, averaged over the proxies (Paul et al. 2021)."""
    return _error_norms(outputs, members).mean(0)


def _error_norms(outputs: ProxyOutputs, members: Tensor) -> Tensor:
    """float64 (early models, n); one proxy after the other, because only one set of outputs in double precision need
    fit."""
    labels = outputs.labels[members]
    return torch.stack(
        [residuals(logits[members].double(), labels).norm(dim=1) for logits in outputs.require("early_logits")]
    )
