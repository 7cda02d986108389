"""In which precision a run computes, and the loss scale that float16 needs."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from orderdp import spec
from orderdp.training.device import choose_dtype
from orderdp.training.optim import Optimizer

FIRST_SCALE, GROWTH, BACKOFF, GROWTH_STEPS = 2.0**16, 2.0, 0.5, 2000


class Precision:
    """Autocast, backward pass and optimizer step of a run.

    Args:
        name: of the recipe.
        device: where to compute.
    """

    def __init__(self, name: spec.Precision, device: torch.device) -> None:
        self.device = device
        self.dtype = choose_dtype(name, device)
        self.scale: LossScale | None = LossScale(device) if self.dtype == torch.float16 else None

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of forward passes."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def backward(self, loss: Tensor, optimizer: Optimizer) -> list[Tensor]:
        """Gradients of a loss, unscaled: of the parameters in the optimizer's order."""
        (loss if self.scale is None else loss * self.scale.value).backward()
        gradients = optimizer.gradients()
        if self.scale is not None:
            self.scale.unscale(gradients)
        return gradients

    def step(self, optimizer: Optimizer, lr: float, momentum: float) -> None:
        """One update; with float16, none if a gradient overflowed."""
        if self.scale is None or self.scale.moved_on():
            optimizer.step(lr, momentum)
        else:
            optimizer.forget()

    def taken(self, norms: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Norms and weights of an epoch's steps, less those that float16 skipped for their overflow; NaN where it
        skipped all."""
        if self.scale is None:
            return norms, weights
        finite = norms.isfinite()
        return (norms[finite], weights[finite]) if finite.any() else (norms[:1] * math.nan, weights[:1])

    def state_dict(self) -> dict[str, Any] | None:
        """The loss scale's."""
        return None if self.scale is None else self.scale.state_dict()

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Restores what `state_dict` gave."""
        if self.scale is not None and state is not None:
            self.scale.load_state_dict(state)


class LossScale:
    """The dynamic loss scale of mixed precision (Micikevicius et al. 2018), with the arithmetic of
    `torch.amp.GradScaler`.

    Not torch's class, because that looks into torch's own optimizers. It costs one wait for the device a step, to know
    whether to skip it; bfloat16 needs none of this.
    """

    def __init__(self, device: torch.device) -> None:
        self.value = torch.full((), FIRST_SCALE, device=device)
        self._steps = torch.zeros((), dtype=torch.int32, device=device)
        self._overflow = torch.zeros((), device=device)

    def unscale(self, gradients: list[Tensor]) -> None:
        """Divides gradients by the scale, in place, and notes whether any is not finite."""
        self._overflow.zero_()
        torch._amp_foreach_non_finite_check_and_unscale_(
            gradients, self._overflow, self.value.double().reciprocal().float()
        )

    def moved_on(self) -> bool:
        """Grows or shrinks the scale after a step; whether its gradients were finite."""
        finite = not bool(self._overflow)
        torch._amp_update_scale_(self.value, self._steps, self._overflow, GROWTH, BACKOFF, GROWTH_STEPS)
        return finite

    def state_dict(self) -> dict[str, Any]:
        """The scale and the steps since it last changed."""
        return {"value": self.value, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.value.copy_(state["value"])
        self._steps.copy_(state["steps"])
