"""Distance to the centre of a cluster or class."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets.base import ProxyOutputs, scored


@scored(needs=("features",), family="geometry")
def prototypes(
    outputs: ProxyOutputs,
    members: Tensor,
    rng: np.random.Generator,
    *,
    keep: Literal["hard", "easy"] = "hard",
    clusters: int | None = None,
    supervised: bool = False,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    starts: int = 4,
) -> Tensor:
    """Distance of a sample's features to the centre of its cluster (Sorscher et al. 2022).

    Paper: features of a self-supervised network, cosine distance; here: those of the proxy, Euclidean distance unless
    asked otherwise.

    Args:
        outputs: the proxy's features.
        members: the samples to score.
        rng: decides where k-means starts.
        keep: "hard" keeps the samples far from their centre, which pays when most are kept; "easy" keeps the near ones.
        clusters: of k-means; the number of classes unless given.
        supervised: takes the classes for clusters and runs no k-means.
        metric: "cosine" compares directions only.
        starts: k-means is run that often, and the tightest clustering counts.
    """
    if keep not in ("hard", "easy") or metric not in ("euclidean", "cosine"):
        raise ValueError(
            f"'prototypes' takes keep = hard or easy, metric = euclidean or cosine. Got {keep!r}, {metric!r}."
        )
    features = outputs.require("features")[members].float()
    if metric == "cosine":
        features = torch.nn.functional.normalize(features, dim=1)
    if supervised:
        cluster = outputs.labels[members]
    else:
        cluster = _k_means(features, outputs.classes if clusters is None else clusters, starts, rng)
    size = cluster.bincount().clamp(min=1)
    centers = features.new_zeros(len(size), features.shape[1]).index_add_(0, cluster, features) / size.unsqueeze(1)
    if metric == "cosine":
        distance = 1 - (features * torch.nn.functional.normalize(centers, dim=1)[cluster]).sum(
            1
        )  # all-zero features: 1
    else:
        distance = (features - centers[cluster]).square().sum(1).sqrt()
    return distance if keep == "hard" else -distance


def _k_means(features: Tensor, clusters: int, starts: int, rng: np.random.Generator) -> Tensor:
    """int64 (n,): the cluster of each sample."""
    try:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
    except ImportError:
        raise ValueError(
            "'prototypes' needs scikit-learn for k-means; with supervised = True it does without."
        ) from None
    if not 1 <= clusters <= len(features):
        raise ValueError(f"The 'clusters' of 'prototypes' must be in 1..n = {len(features)}. Got {clusters!r}.")
    if starts < 1:
        raise ValueError(f"The 'starts' of 'prototypes' must be at least 1. Got {starts!r}.")
    k_means = KMeans(clusters, n_init=starts, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct samples than clusters: the rest stay empty
        labels = k_means.fit(features.cpu().numpy()).labels_
    return torch.from_numpy(labels).long().to(features.device)
