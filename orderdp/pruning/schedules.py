"""Prune ratios over training, as plain functions of progress in [0, 1]. Ours: the paper keeps one ratio, and names
schedules as future work."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float, float, float], float]


def constant(progress: float, first: float, last: float) -> float:
    """The mean of `first` and `last` throughout."""
    return (first + last) / 2


def linear(progress: float, first: float, last: float) -> float:
    """A straight line from `first` at progress 0 to `last` at 1."""
    return first + (last - first) * progress


def cosine(progress: float, first: float, last: float) -> float:
    """Half a cosine from `first` at progress 0 to `last` at 1: slow at both ends."""
    return first + (last - first) * (1 - math.cos(math.pi * progress)) / 2


def step(progress: float, first: float, last: float) -> float:
    """`first` in the first half of the training, `last` in the second, their mean at its very middle."""
    return constant(progress, first, last) if progress == 0.5 else first if progress < 0.5 else last


SCHEDULES: dict[str, Schedule] = {"constant": constant, "linear": linear, "cosine": cosine, "step": step}
"""Each is symmetric about the middle, so that its mean over the training is (first + last) / 2."""
