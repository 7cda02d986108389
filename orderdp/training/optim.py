"""Optimizers of the engine, torch's and timm's, and the learning rate and momentum that are set at every step."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from orderdp.spec import AdamWSpec, LambSpec, LarsSpec, OptimizerSpec, ScheduleSpec, SgdSpec

NUMBERED_BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")


class Scheduled:
    """An optimizer whose learning rate and momentum are set at every step.

    Args:
        optimizer: its groups may hold `lr_scale`, a factor on the learning rate.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def gradients(self) -> list[Tensor]:
        """The gradients of the last backward pass, before weight decay."""
        return [p.grad for p in self.parameters if p.grad is not None]

    def set_rates(self, lr: float, momentum: float) -> None:
        """Sets the learning rate and the momentum, which is beta1 where the method has one."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum

    @torch.no_grad()
    def step_on_device(self, lr: Tensor, momentum: Tensor) -> None:
        """One step of SGD with momentum whose rates are tensors, so that a CUDA graph can contain it.

        torch's own step takes the momentum as a Python number, which a graph would keep for ever. So the buffers are
        multiplied by it first, and torch's fused step is given the momentum 1. The buffers must exist, see
        `make_buffers`. Rounding differs from the plain step's.

        Args:
            lr: scalar, float32, on the device.
            momentum: likewise.
        """
        for group in self.optimizer.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            buffers = [self.optimizer.state[p]["momentum_buffer"] for p in parameters]
            torch._foreach_mul_(buffers, momentum)
            sgd(
                parameters,
                [p.grad for p in parameters],
                buffers,
                fused=True,
                weight_decay=group["weight_decay"],
                momentum=1.0,
                lr=lr,  # type: ignore[arg-type]
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )

    def make_buffers(self) -> None:
        """Gives every parameter a momentum buffer of zeros, with which the first step is the same as without one."""
        for parameter in self.parameters:
            state = self.optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)

    def zero_grad(self) -> None:
        """Drops the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """The wrapped optimizer's."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.optimizer.load_state_dict(state)


def build_optimizer(model: nn.Module, spec: OptimizerSpec) -> Scheduled:
    """The optimizer of a recipe over all of a model's parameters.

    Paper: weight decay 5e-4, nothing said of its reach; here: on biases and batch-norm too where `decay` is "all", as
    in the released scripts.

    Raises:
        ValueError: `layer_decay` for a network without numbered blocks.
    """
    decayed = [(name, p) for name, p in model.named_parameters() if p.requires_grad and _decays(model, name, p, spec)]
    names = {name for name, _ in decayed}
    others = [(name, p) for name, p in model.named_parameters() if p.requires_grad and name not in names]
    groups: list[dict[str, Any]] = [
        {"params": [p for _, p in part], "weight_decay": decay}
        for part, decay in ((decayed, spec.weight_decay), (others, 0.0))
        if part
    ]
    if isinstance(spec, SgdSpec):
        return Scheduled(torch.optim.SGD(groups, momentum=0.9, nesterov=spec.nesterov, foreach=True))
    if isinstance(spec, AdamWSpec):
        if spec.layer_decay is not None:
            groups = list(_by_layer(model, decayed, others, spec))
        return Scheduled(torch.optim.AdamW(groups, betas=(0.9, spec.beta2), eps=spec.eps))
    if isinstance(spec, LarsSpec):
        return Scheduled(_lars(groups, spec))
    return Scheduled(_lamb(groups, spec))


def clipped(gradients: list[Tensor], limit: float | None) -> Tensor:
    """Scales gradients down, in place, to a norm of at most `limit`; nothing waits for the device.

    Args:
        gradients: of all parameters.
        limit: above 0; None to leave them as they are.

    Returns:
        Their norm before, over all of them: a scalar.
    """
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    if limit is not None:
        torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm


def _decays(model: nn.Module, name: str, parameter: nn.Parameter, spec: OptimizerSpec) -> bool:
    exempt: set[str] = getattr(model, "no_weight_decay", set)()
    return spec.decay == "all" or (parameter.ndim > 1 and name not in exempt)


def _by_layer(
    model: nn.Module, decayed: list[tuple[str, nn.Parameter]], others: list[tuple[str, nn.Parameter]], spec: AdamWSpec
) -> Iterator[dict[str, Any]]:
    """Groups whose learning rate falls by `layer_decay` from the head (1) through each block to the embedding."""
    assert spec.layer_decay is not None
    numbers = [int(found[1]) for name, _ in model.named_parameters() if (found := NUMBERED_BLOCK.search(name))]
    if not numbers:
        raise ValueError(
            "The 'layer_decay' of adamw needs a network with numbered blocks, as vit has. "
            f"{type(model).__name__} has none: set it to null."
        )
    last = max(numbers) + 2
    for part, decay in ((decayed, spec.weight_decay), (others, 0.0)):
        layers: dict[int, list[nn.Parameter]] = {}
        for name, parameter in part:
            found = NUMBERED_BLOCK.search(name)
            embedding = any(word in name for word in ("patch_embed", "pos_embed", "cls_token"))
            layers.setdefault(int(found[1]) + 1 if found else 0 if embedding else last, []).append(parameter)
        for layer, parameters in sorted(layers.items()):
            yield {"params": parameters, "weight_decay": decay, "lr_scale": spec.layer_decay ** (last - layer)}


def _lars(groups: list[dict[str, Any]], spec: LarsSpec) -> torch.optim.Optimizer:
    """timm's LARS. Paper: nothing said; its scripts bound the scale by 50 and each element of g + weight_decay w by 10,
    here neither: both bounds are out of reach of a training that works."""
    from timm.optim.lars import Lars  # takes seconds to import, so only where it is needed

    return Lars(
        groups,
        momentum=0.9,
        nesterov=spec.nesterov,
        trust_coeff=spec.trust_coefficient,
        eps=spec.eps,
        trust_clip=spec.trust_clip,
        always_adapt=spec.adapt == "all",
    )


def _lamb(groups: list[dict[str, Any]], spec: LambSpec) -> torch.optim.Optimizer:
    """timm's LAMB without its own clipping (the recipe's `clip_norm` serves all optimizers). The released scripts bound
    |w| by 10; here no bound, as in timm."""
    from timm.optim.lamb import Lamb

    return Lamb(
        groups,
        bias_correction=spec.bias_correction,
        betas=(0.9, spec.beta2),
        eps=spec.eps,
        max_grad_norm=None,
        trust_clip=spec.trust_clip,
        always_adapt=spec.adapt == "all",
    )


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
