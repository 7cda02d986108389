"""Samples that the proxy is least sure of. The labels are not looked at.

Probabilities are averaged over the proxies where there are several.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets.base import ProxyOutputs, scored


@scored(needs=("logits",), family="uncertainty")
def least_confidence(outputs: ProxyOutputs, members: Tensor, rng: np.random.Generator) -> Tensor:
    """1 - max_c p_c: the probability of all classes but the likeliest.

    Summed from those classes, so that samples with p = 1 to the last digit still differ.
    """
    return _without_top(outputs.log_probabilities(members)).sum(1)


@scored(needs=("logits",), family="uncertainty")
def entropy(outputs: ProxyOutputs, members: Tensor, rng: np.random.Generator) -> Tensor:
    """-sum_c p_c log p_c, with 0 log 0 = 0."""
    terms: Tensor = torch.special.entr(outputs.log_probabilities(members).exp())
    return terms.sum(1)


@scored(needs=("logits",), family="uncertainty")
def margin(outputs: ProxyOutputs, members: Tensor, rng: np.random.Generator) -> Tensor:
    """1 - (p_(1) - p_(2)), from the two likeliest classes."""
    others = _without_top(outputs.log_probabilities(members))
    return others.sum(1) + others.amax(1)


def _without_top(logs: Tensor) -> Tensor:
    """(n, k): the probabilities, with 0 in place of the largest of each row."""
    return logs.exp().scatter_(1, logs.argmax(1, keepdim=True), 0.0)
