"""GradMatch: samples and weights whose gradients add up to the gradient of all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets.base import Evidence, ordered
from orderdp.coresets.last_layer import Gradients, gradients, places

# Samples whose inner products are held at once: 256 MB; a product with them costs less than one with the gradients'
# factors.
GRAM = 8192
LEAST_WEIGHT = 1e-6  # of the mean: a chosen sample that the best weights give nothing is still a member of the coreset


def matched_weights(evidence: Evidence, members: Tensor, chosen: Tensor, *, ridge: float = 0.5) -> Tensor:
    """The weights >= 0 with which the chosen samples' gradients come closest to the sum over all members, for this very
    cut."""
    parts = gradients(evidence, members).scaled()
    weights = fit(
        parts.take(places(evidence, members, chosen)), parts.total(), ridge * float(parts.squares().mean())
    ).double()
    even = len(members) / len(chosen)
    if float(weights.sum()) <= 0:  # all gradients are 0, or none points the right way
        return torch.full_like(weights, even)
    return weights.clamp(min=LEAST_WEIGHT * even)


@ordered(needs=("logits", "features"), family="gradient matching", weigh=matched_weights)
def gradmatch(
    evidence: Evidence,
    members: Tensor,
    budget: int,
    rng: np.random.Generator,
    *,
    ridge: float = 0.5,
    growth: float = 0.02,
) -> Tensor:
    """GradMatch: orthogonal matching pursuit of the full gradient by samples' gradients, weighted (Killamsetty et al.
    2021).

    Always the sample whose last-layer gradient has the largest product with what is left of the sum over all members;
    then the weights w >= 0 of all chosen ones anew: min ||sum_S w_i g_i - sum_i g_i||^2 + ridge mean_i ||g_i||^2
    ||w||^2.

    Args:
        evidence: with logits and features.
        members: of one class, or all.
        budget: how many to choose.
        rng: unused.
        ridge: relative to the mean squared norm of the gradients, so that it does not depend on the loss's scale.
        growth: how many are chosen between two fits, as a share of those chosen so far; at least one. 0.02 fits after
            every sample up to the hundredth, 0 (the original pursuit) after all.
    """
    for name, value in (("ridge", ridge), ("growth", growth)):
        if not 0 <= value < float("inf"):
            raise ValueError(f"The '{name}' of gradmatch must be at least 0 and finite. Got {value!r}.")
    parts = gradients(evidence, members).scaled()
    return members[pursue(parts, budget, penalty=ridge * float(parts.squares().mean()), growth=growth)]


def pursue(parts: Gradients, budget: int, *, penalty: float, growth: float = 0.0) -> Tensor:
    """Positions in the order in which the pursuit of the sum of all gradients takes them; of equal ones the first."""
    target = parts.total()
    residual = target
    device = target.device
    chosen, weights = torch.empty(0, dtype=torch.int64, device=device), target.new_empty(0)
    taken = torch.zeros(len(parts.errors), dtype=torch.bool, device=device)
    while True:
        count = min(max(1, int(growth * len(chosen))), budget - len(chosen))
        products = parts.dot(residual).masked_fill_(taken, -torch.inf)
        best = products.argmax().unsqueeze(0) if count == 1 else products.argsort(descending=True, stable=True)[:count]
        chosen = torch.cat([chosen, best])
        taken[best] = True
        if len(chosen) == budget:
            return chosen
        weights = fit(parts.take(chosen), target, penalty, torch.cat([weights, weights.new_zeros(count)]))
        residual = target - parts.take(chosen).total(weights)


def fit(
    parts: Gradients,
    target: Tensor,
    penalty: float,
    start: Tensor | None = None,
    *,
    tolerance: float = 1e-5,
    limit: int = 1000,
) -> Tensor:
    """argmin over w >= 0 of ||sum_i w_i g_i - target||^2 + penalty ||w||^2.

    By conjugate gradients on the positive weights, with projected steps where one would turn negative (Dostal's MPRGP).

    Args:
        parts: m gradients.
        target: (k, d + 1).
        penalty: at least 0.
        start: (m,) >= 0, a guess.
        tolerance: of the optimality conditions, relative to the products <g_i, target>.
        limit: at most so many iterations.

    Returns:
        (m,).
    """
    apply, goal = _inner_products(parts, penalty), parts.dot(target)
    w = torch.zeros_like(goal) if start is None else start.clone()
    stop = tolerance * float(goal.norm())
    longest = _safe_step(apply, goal)
    slope = apply(w) - goal
    free = slope * (w > 0)
    direction = free
    for _ in range(limit):
        chopped = slope.clamp(max=0) * (w == 0)
        if float((free + chopped).norm()) <= stop:
            break
        if float(chopped @ chopped) > float(torch.minimum(w / longest, free) @ free):  # time to let go of zeros
            image = apply(chopped)
            length = float(slope @ chopped) / max(float(chopped @ image), 1e-38)
            w, slope = w - length * chopped, slope - length * image
            direction = free = slope * (w > 0)
            continue
        image = apply(direction)
        curvature = max(float(direction @ image), 1e-38)
        length = float(slope @ direction) / curvature
        room = float(torch.where(direction > 0, w / direction, torch.inf).min())
        if length <= room:
            w, slope = (w - length * direction).clamp_(min=0), slope - length * image
            free = slope * (w > 0)
            direction = free - float(free @ image) / curvature * direction
        else:
            w, slope = (w - room * direction).clamp_(min=0), slope - room * image
            w = (w - longest * (slope * (w > 0))).clamp_(min=0)
            slope = apply(w) - goal
            direction = free = slope * (w > 0)
    return w


def _inner_products(parts: Gradients, penalty: float) -> Callable[[Tensor], Tensor]:
    """w -> (the matrix of <g_i, g_j> + penalty I) w."""
    m = len(parts.errors)
    if m > GRAM:
        return lambda w: parts.dot(parts.total(w)) + penalty * w
    matrix = parts.inner(torch.arange(m, device=parts.errors.device))
    matrix.diagonal().add_(penalty)
    return lambda w: matrix @ w


def _safe_step(apply: Callable[[Tensor], Tensor], start: Tensor, rounds: int = 4) -> float:
    """One over the largest eigenvalue, estimated from below by the power method; the projection is stable up to twice
    that."""
    vector, largest = start, 0.0
    for _ in range(rounds):
        vector = vector / vector.norm().clamp(min=1e-38)
        vector = apply(vector)
        largest = float(vector.norm())
    return 1 / max(largest, 1e-38)
