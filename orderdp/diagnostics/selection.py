"""What the kept samples are: overlap, coverage, their losses and labels, and what is forgotten. All sets are masks,
bool (n,)."""

from __future__ import annotations

import torch
from torch import Tensor


def jaccard(a: Tensor, b: Tensor) -> Tensor:
    """Jaccard similarity |A and B| / |A or B| of two sets.

    Args:
        a: bool (n,).
        b: bool (n,).

    Returns:
        scalar in [0, 1]; NaN for two empty sets. Paper: Eq. 40.
    """
    return (a & b).sum() / (a | b).sum()


def coverage(usage: Tensor) -> Tensor:
    """Share of samples that were kept at least once.

    Args:
        usage: integers (n,), how often each sample was kept.

    Returns:
        scalar in [0, 1].
    """
    return (usage > 0).float().mean()


def kept_by_loss(losses: Tensor, kept: Tensor, groups: int = 10) -> Tensor:
    """Share kept of each group of equal size by loss, the hardest first.

    Args:
        losses: float (n,); equal losses count in the order of their samples.
        kept: bool (n,).
        groups: how many, at most n; 10 gives deciles.

    Returns:
        float (groups,) in [0, 1].
    """
    n = len(losses)
    group = torch.arange(n, device=losses.device) * groups // n
    ranked = kept[losses.argsort(descending=True, stable=True)].float()
    sums = torch.zeros(groups, device=losses.device).index_add_(0, group, ranked)
    return sums / torch.bincount(group, minlength=groups)


def kept_by_label(labels: Tensor, kept: Tensor, classes: int) -> Tensor:
    """Share kept of each class.

    Args:
        labels: int64 (n,) in 0..classes-1.
        kept: bool (n,).
        classes: number of classes.

    Returns:
        float (classes,) in [0, 1]; NaN for a class without samples.
    """
    return torch.bincount(labels[kept], minlength=classes) / torch.bincount(labels, minlength=classes)


def label_shift(labels: Tensor, kept: Tensor, classes: int) -> Tensor:
    """Total variation distance between the labels of the kept samples and those of all.

    Args:
        labels: int64 (n,) in 0..classes-1.
        kept: bool (n,), at least one.
        classes: number of classes.

    Returns:
        scalar in [0, 1]: 0 where the kept samples have the data's class shares.
    """
    mine, all_ = (torch.bincount(part, minlength=classes) / len(part) for part in (labels[kept], labels))
    return (mine - all_).abs().sum() / 2


def forgotten(before: Tensor, now: Tensor, among: Tensor) -> Tensor:
    """Share of the samples that were right before and are wrong now.

    Args:
        before: bool (n,), whether the model classified each sample rightly then.
        now: bool (n,), the same now.
        among: bool (n,), the samples that count.

    Returns:
        scalar in [0, 1]; NaN if none of them was right before.
    """
    known = before & among
    return (known & ~now).sum() / known.sum()
