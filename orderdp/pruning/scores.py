"""What samples may be ranked by instead of their loss: plain functions of a batch, for `Pruner.update(index, losses,
scores)`.

Ours: the paper ranks by the loss alone (Eq. 2). Larger is harder; nothing here waits for the device. The moving average
of a score needs its past, which the pruner holds: see `smoothing` of `OrderDP`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor, Tensor, Tensor], Tensor]


def loss(logits: Tensor, labels: Tensor, losses: Tensor) -> Tensor:
    """float (b,): the training loss itself, as the paper has it.

    Args:
        logits: float (b, classes).
        labels: int64 (b,).
        losses: float (b,).
    """
    return losses


def gradient_norm(logits: Tensor, labels: Tensor, losses: Tensor) -> Tensor:
    """float (b,) in [0, sqrt(2)]: ||softmax(z) - y||, the norm of the loss's gradient with respect to the logits.

    Times a factor that the samples share, it bounds the norm of the gradient by all weights.

    Source: Katharopoulos and Fleuret 2018, the last-layer bound; for one network it is the EL2N score of Paul et al.
    2021. Here the labels y are one-hot also where the loss smooths them, so that a sample fitted perfectly scores 0.

    Args:
        logits: float (b, classes).
        labels: int64 (b,).
        losses: float (b,); not used.
    """
    probability = logits.softmax(1)
    own = probability.gather(1, labels[:, None])
    return probability.scatter(1, labels[:, None], own - 1).norm(dim=1)


def margin(logits: Tensor, labels: Tensor, losses: Tensor) -> Tensor:
    """float (b,) in [-1, 1]: largest probability of another class less that of the label; above 0 where the network is
    wrong.

    Source: the margin of Pleiss et al. 2020, with its sign turned and of probabilities instead of logits, so that no
    sample dominates by the size of its logits.

    Args:
        logits: float (b, classes), of two classes at least.
        labels: int64 (b,).
        losses: float (b,); not used.
    """
    probability = logits.softmax(1)
    own = probability.gather(1, labels[:, None])
    others = probability.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - own.squeeze(1)


SCORES: dict[str, Score] = {"loss": loss, "gradient_norm": gradient_norm, "margin": margin}
