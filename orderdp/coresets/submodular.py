"""Facility location: samples such that every other one has one near it. On features, and on gradients (CRAIG).

Maximising sum_i max_{j in S} (C - d_ij) is the same as minimising the distances to the nearest chosen sample, whatever
the constant C: it only has to make every term positive for the greedy answer to be within 1 - 1/e of the best
(Nemhauser et al. 1978). So this module deals in distances, and the first choice is the medoid.

Two samples that are each other's nearest often gain exactly the same. So that such ties are ties, whatever blocks the
distances come in, these are computed in double precision, kept in single, and summed in double, which loses nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets.base import Evidence, ordered
from orderdp.coresets.last_layer import Gradients, gradients, places

# Largest group whose distances are held at once: 256 MB. Those of larger groups are computed as they are asked for.
MATRIX = 8192
BLOCK = 2**23  # distances computed at a time: 64 MB
FIRST_TRIALS, MOST_TRIALS = 8, 64  # candidates evaluated together; twice as many each time until one wins

SAME = (
    2.0**-43
)  # squared distances below this share of the vectors' squares are 0: rounding could tell equal samples apart

Distances = Callable[[Tensor], Tensor]
"""Positions (b,) -> float32 (b, m), the distances of all m members of a group to them."""


@ordered(needs=("features",), family="geometry")
def facility_location(
    evidence: Evidence,
    members: Tensor,
    budget: int,
    rng: np.random.Generator,
    *,
    metric: Literal["euclidean", "cosine"] = "euclidean",
) -> Tensor:
    """Facility location on the features: always the sample that shortens the distances to the nearest chosen one most.

    Args:
        evidence: with features.
        members: of one class, or all.
        budget: how many to choose.
        rng: unused.
        metric: "euclidean", or "cosine" for 1 - cos.
    """
    if metric not in ("euclidean", "cosine"):
        raise ValueError(f"The 'metric' of facility_location must be 'euclidean' or 'cosine'. Got {metric!r}.")
    features = evidence.held("features")[members]
    return members[greedy(feature_distances(features, metric), len(members), budget)]


def cluster_sizes(evidence: Evidence, members: Tensor, chosen: Tensor) -> Tensor:
    """How many members each chosen sample is the nearest to, itself included; of equally near ones the first chosen
    counts."""
    return nearest_counts(
        gradient_distances(gradients(evidence, members, dtype=torch.float64)),
        places(evidence, members, chosen),
        len(members),
    )


@ordered(needs=("logits", "features"), family="gradient matching", weigh=cluster_sizes)
def craig(evidence: Evidence, members: Tensor, budget: int, rng: np.random.Generator) -> Tensor:
    """CRAIG: facility location on the last layer's gradients, each chosen one weighted by its cluster (Mirzasoleiman et
    al. 2020)."""
    parts = gradients(evidence, members, dtype=torch.float64)
    return members[greedy(gradient_distances(parts), len(members), budget)]


def feature_distances(features: Tensor, metric: str = "euclidean") -> Distances:
    """Euclidean distances, or 1 - cos, between the rows of float (m, d)."""
    features = features.double()
    # What all have in common only costs digits.
    vectors = torch.nn.functional.normalize(features) if metric == "cosine" else features - features.mean(0)
    squares = vectors.square().sum(1)

    def distances(rows: Tensor) -> Tensor:
        squared = _squared(vectors[rows] @ vectors.T, squares[rows], squares)
        return (squared.div_(2) if metric == "cosine" else squared.sqrt_()).float()

    return distances


def gradient_distances(parts: Gradients) -> Distances:
    """||g_i - g_j||, from the closed form of inner products."""
    parts = parts.scaled()
    squares = parts.squares()
    return lambda rows: _squared(parts.inner(rows), squares[rows], squares).sqrt_().float()


def _squared(inner: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """||a - b||^2 from inner products, which become it; 0 between equal samples."""
    total = rows.unsqueeze(1) + columns
    squared = inner.mul_(-2).add_(total)
    return squared.masked_fill_(squared <= total.mul_(SAME), 0)


def greedy(distances: Distances, m: int, budget: int) -> Tensor:
    """The exact greedy order, evaluated lazily (Minoux 1978): a gain never grows, so an old one bounds it from above.

    Args:
        distances: at least 0, and 0 from a sample to itself; symmetric.
        m: number of samples.
        budget: how many to choose.

    Returns:
        int64 (budget,) positions in 0..m-1; of equal gains, the first position.
    """
    if m <= MATRIX:
        distances = _kept(distances, m)
    everyone = torch.arange(m)
    blocks = everyone.split(_rows(m))
    best = int(torch.cat([distances(rows).sum(1, dtype=torch.float64) for rows in blocks]).argmin())
    nearest = distances(torch.tensor([best]))[0].double()
    order = [best]

    def gains(rows: Tensor) -> list[float]:
        return torch.sub(nearest, distances(rows)).clamp_(min=0).sum(1).tolist()

    # Entries: (-gain, position, size of the set that the gain is for).
    heap = [
        (-gain, row, 1) for rows in blocks for row, gain in zip(rows.tolist(), gains(rows), strict=True) if row != best
    ]
    heapq.heapify(heap)
    trials = FIRST_TRIALS
    while len(order) < budget:
        if heap[0][2] == len(order) or heap[0][0] >= 0:  # exact and on top; or nothing gains anything any more
            best = heapq.heappop(heap)[1]
            order.append(best)
            nearest = torch.minimum(nearest, distances(torch.tensor([best]))[0])
            trials = FIRST_TRIALS
            continue
        stale: list[int] = []
        while heap and len(stale) < trials and heap[0][2] < len(order):
            stale.append(heapq.heappop(heap)[1])
        for row, gain in zip(stale, gains(torch.tensor(stale)), strict=True):
            heapq.heappush(heap, (-gain, row, len(order)))
        trials = min(2 * trials, MOST_TRIALS)
    return torch.tensor(order, device=nearest.device)


def nearest_counts(distances: Distances, chosen: Tensor, m: int) -> Tensor:
    """float (len(chosen),): how many of m samples have each chosen position as their nearest; every chosen one has at
    least itself."""
    owner = torch.zeros(m, dtype=torch.int64, device=chosen.device)
    least = torch.full((m,), torch.inf, device=chosen.device, dtype=torch.float64)
    first = 0
    for rows in chosen.split(_rows(m)):
        near, which = distances(rows).min(0)
        closer = near < least
        owner[closer] = which[closer] + first
        least = torch.where(closer, near.double(), least)
        first += len(rows)
    owner[chosen] = torch.arange(len(chosen), device=chosen.device)
    return owner.bincount(minlength=len(chosen)).double()


def _kept(distances: Distances, m: int) -> Distances:
    """The same, from a matrix that is filled once."""
    blocks = torch.arange(m).split(_rows(m))
    matrix = distances(blocks[0]).new_empty(m, m)
    for rows in blocks:
        matrix[rows] = distances(rows)
    return lambda rows: matrix.index_select(0, rows.to(matrix.device))


def _rows(m: int) -> int:
    return max(1, BLOCK // m)
