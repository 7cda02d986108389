"""Samples that cover the space of features or of outputs: two greedy searches for the farthest sample, and herding."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets.base import Evidence, ordered

# Probabilities below it count as this much: a softmax that underflows must not be infinitely far from another.
SMALLEST = 1e-12
EPSILON = torch.finfo(torch.float32).eps


@ordered(needs=("features",), family="geometry")
def k_center(evidence: Evidence, members: Tensor, budget: int, rng: np.random.Generator) -> Tensor:
    """Farthest-first traversal of the features: always the sample farthest from those chosen, from a random first one.

    Its covering radius is at most twice the least possible one (Gonzalez 1985). Euclidean distance.
    """
    features = evidence.held("features")[members].float()
    squares = features.square().sum(1)
    error = 2 * (features.shape[1] + 2) * EPSILON  # of d terms at most, in the bound and in the distance

    def distance(center: int, rows: Tensor | slice) -> Tensor:
        # From differences and not from products: equal features are at distance 0 exactly, and so tie.
        return (features[rows] - features[center]).square_().sum(1)

    def bound(center: int) -> Tensor:
        return torch.addmv((squares + squares[center]).mul_(1 - error), features, features[center], alpha=-2)

    return members[_farthest_first(len(members), budget, distance, bound)]


@ordered(needs=("logits",), family="geometry")
def contextual_diversity(evidence: Evidence, members: Tensor, budget: int, rng: np.random.Generator) -> Tensor:
    """Farthest-first traversal of the proxies' outputs, by the symmetric Kullback-Leibler divergence of their softmax.

    d(p, r) = 1/2 KL(p || r) + 1/2 KL(r || p) = 1/2 sum_c (p_c - r_c)(log p_c - log r_c). The measure of Agarwal et al.
    (2020) is one of image segments; this is what remains of it in classification.
    """
    logs = evidence.log_probabilities(members).clamp_(min=math.log(SMALLEST)).float()
    probabilities = logs.exp()
    own = (probabilities * logs).sum(1)
    error = 8 * logs.shape[1] * EPSILON * -math.log(SMALLEST)  # four sums of at most this size

    def distance(center: int, rows: Tensor | slice) -> Tensor:
        # Every term is at least 0, so that nothing cancels.
        return (probabilities[rows] - probabilities[center]).mul_(logs[rows] - logs[center]).sum(1).mul_(0.5)

    def bound(center: int) -> Tensor:
        crossed = torch.addmv(own + (own[center] - error), probabilities, logs[center], alpha=-1)
        return crossed.addmv_(logs, probabilities[center], alpha=-1).mul_(0.5)

    return members[_farthest_first(len(members), budget, distance, bound)]


@ordered(needs=("features",), family="geometry")
def herding(evidence: Evidence, members: Tensor, budget: int, rng: np.random.Generator) -> Tensor:
    """Always the sample that brings the mean of the chosen ones' features closest to the mean of all (Welling 2009).

    With features relative to their mean and their sum over those chosen so far: argmin_i ||sum + h_i||.
    """
    features = evidence.held("features")[members].double()
    features = (features - features.mean(0)).float()
    squares = features.square().sum(1)
    total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)  # of up to n rounded terms
    order = torch.empty(budget, dtype=torch.int64, device=features.device)
    for i in range(budget):
        best = torch.addmv(squares, features, total.float(), alpha=2).argmin()  # ||sum + h||^2 - ||sum||^2
        order[i] = best
        squares[best] = torch.inf
        total += features[best]
    return members[order]


def _farthest_first(
    n: int, budget: int, distance: Callable[[int, Tensor | slice], Tensor], bound: Callable[[int], Tensor]
) -> Tensor:
    """Positions 0..n-1, from 0 on: always the one whose distance to the nearest of those before is largest, the first
    of such.

    The exact distances are computed only where the bound leaves a choice: a matrix-vector product costs a fifth of
    them, and soon few samples are nearer to a new centre than to an old one. Nothing n x n is ever held.

    Args:
        n: number of samples.
        budget: how many to choose.
        distance: (position, rows) -> distances of those rows to it.
        bound: position -> float (n,), no distance of a sample to it is less, rounding included.
    """
    nearest = distance(0, slice(None))
    order = torch.zeros(budget, dtype=torch.int64, device=nearest.device)
    nearest[0] = -torch.inf
    for i in range(1, budget):
        farthest = int(nearest.argmax())
        order[i] = farthest
        nearest[farthest] = -torch.inf  # below any bound, and so it stays
        rows = (bound(farthest) < nearest).nonzero().squeeze(1)
        nearest[rows] = torch.minimum(nearest[rows], distance(farthest, rows))
    return order
