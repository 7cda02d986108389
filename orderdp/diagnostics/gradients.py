"""The gradient on kept samples beside the gradient on all samples, at the same weights (the paper's Table 11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SubsetGradients:
    """Two gradients of a mean loss, flat, and what the pass over the data saw on its way."""

    full: Tensor
    """float32 (p,): of the mean loss over all n samples."""
    kept: Tensor
    """float32 (p,): of the weighted mean loss over the kept samples: what a method steps along, in expectation over its
    batches."""
    losses: Tensor
    """float32 (n,)."""
    correct: Tensor
    """bool (n,)."""

    @property
    def cosine(self) -> Tensor:
        """Cosine of the angle between the two; scalar in [-1, 1]."""
        return torch.nn.functional.cosine_similarity(self.kept, self.full, dim=0)


def subset_gradients(
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
    parameters: Sequence[Tensor],
    kept: Tensor,
    weights: Tensor | None = None,
    batch_size: int = 1024,
) -> SubsetGradients:
    """Gradients of the mean loss over kept and over all samples, in one pass over the data.

    The gradient over all is the sum over the kept and the dropped samples, so that no sample is visited twice.

    Args:
        evaluate: int64 indices (b,) -> (losses (b,) with gradients, bool (b,) whether the sample is classified
            rightly). A sample's loss must not depend on the others of its batch: evaluation mode, no augmentation.
        parameters: p numbers in all, each requiring gradients; their `.grad` stays as it is.
        kept: bool (n,), on the parameters' device; at least one.
        weights: float (n,), weights of the kept samples in the method's loss; None where all are 1.
        batch_size: samples at a time; decides memory, not the result.
    """
    n, q = len(kept), kept.sum()
    sizes = sum(p.numel() for p in parameters)
    plain = {mine: torch.zeros(sizes, device=kept.device) for mine in (True, False)}
    weighted = torch.zeros(sizes, device=kept.device)
    losses = torch.empty(n, device=kept.device)
    correct = torch.empty(n, dtype=torch.bool, device=kept.device)
    for mine in (True, False):
        for part in (kept == mine).nonzero().squeeze(1).split(batch_size):
            if len(part) == 0:  # nothing is dropped
                continue
            loss, right = evaluate(part)
            twice = mine and weights is not None
            plain[mine] += _flat(torch.autograd.grad(loss.sum(), parameters, retain_graph=twice))
            if twice:
                weighted += _flat(torch.autograd.grad((weights[part] * loss).sum(), parameters))  # type: ignore[index]
            losses[part], correct[part] = loss.detach(), right
    full = (plain[True] + plain[False]) / n
    return SubsetGradients(full, (plain[True] if weights is None else weighted) / q, losses, correct)


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.reshape(-1) for gradient in gradients])
