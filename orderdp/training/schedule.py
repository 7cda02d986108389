"""Learning rate and momentum as pure functions of training progress."""

from __future__ import annotations

import math

from orderdp.spec import ScheduleSpec


def one_cycle(progress: float, spec: ScheduleSpec) -> tuple[float, float]:
    """OneCycle with cosine annealing (Smith and Topin 2019, as in `torch.optim.lr_scheduler.OneCycleLR`).

    A function of progress instead of a step counter, so that methods whose epochs differ in length see the same curve
    per epoch, and a run resumed at an epoch needs no scheduler state.

    Args:
        progress: share of training done before this step, in [0, 1).
        spec: peak, shape and momentum range.

    Returns:
        (learning rate, momentum).
    """
    start = spec.max_lr / spec.div_factor
    end = start / spec.final_div_factor
    if progress < spec.pct_start:
        position = progress / spec.pct_start
        return (_cosine(start, spec.max_lr, position), _cosine(spec.max_momentum, spec.base_momentum, position))
    position = (progress - spec.pct_start) / (1 - spec.pct_start)
    return _cosine(spec.max_lr, end, position), _cosine(spec.base_momentum, spec.max_momentum, position)


def _cosine(first: float, last: float, position: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * position)) / 2
