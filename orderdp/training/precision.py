"""In which precision a run computes, and the loss scale that float16 needs."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from orderdp.spec import PrecisionName
from orderdp.training.device import choose_dtype
from orderdp.training.optim import Scheduled


class Precision:
    """Autocast, backward pass and optimizer step of a run.

    With float16 there is a dynamic loss scale (Micikevicius et al. 2018), which costs one wait for the device at every
    step.

    Args:
        name: of the recipe.
        device: where to compute.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.device = device
        self.dtype = choose_dtype(name, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of forward passes."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of a loss, scaled, to those that are there."""
        self.scaler.scale(loss).backward()

    def gradients(self, optimizer: Scheduled) -> list[Tensor]:
        """The gradients, unscaled: of the parameters in the optimizer's order. Once a step."""
        self.scaler.unscale_(optimizer.optimizer)
        return optimizer.gradients()

    def step(self, optimizer: Scheduled, lr: float, momentum: float) -> None:
        """One update, and with float16 none if a gradient overflowed. Then it drops the gradients."""
        optimizer.set_rates(lr, momentum)
        self.scaler.step(optimizer.optimizer)
        self.scaler.update()
        optimizer.zero_grad()

    def drop_skipped(self, norms: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Norms and weights of an epoch's steps, less those that float16 skipped for their overflow; NaN where it
        skipped all."""
        if not self.scaler.is_enabled():
            return norms, weights
        finite = norms.isfinite()
        return (norms[finite], weights[finite]) if finite.any() else (norms[:1] * math.nan, weights[:1])

    def state_dict(self) -> dict[str, Any]:
        """The loss scale's; empty without one."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        if state:
            self.scaler.load_state_dict(state)
