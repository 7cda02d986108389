"""DeepFool: how far a sample's input is from the decision boundary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from orderdp.coresets.base import ProxyOutputs, scored


@scored(needs=("perturbation",), family="uncertainty")
def deepfool(outputs: ProxyOutputs, members: Tensor, rng: np.random.Generator) -> Tensor:
    """DeepFool: the samples that the smallest change of the input would carry over the decision boundary (Ducoffe &
    Precioso 2018)."""
    return -outputs.require("perturbation")[members]


def perturbations(
    model: nn.Module,
    images: Tensor,
    *,
    classes: int = 10,
    iterations: int = 50,
    overshoot: float = 0.02,
    batch_size: int = 256,
) -> Tensor:
    """The norm of the change that makes the model answer another class, by steps to the nearest linearised boundary.

    Source: Moosavi-Dezfooli et al. 2016, algorithm 2. Each step costs two forward passes and one backward pass per
    candidate class, over those samples only that have not crossed yet. The model is in eval mode meanwhile; nothing of
    it is different afterwards.

    Args:
        model: images -> logits; each sample's must not depend on the others' in eval mode.
        images: float (n, ...), normalised as the model takes them, on its device.
        classes: candidates per sample: the ones that the model finds likeliest for the unchanged image, its answer
            included.
        iterations: at most so many steps.
        overshoot: share of the change added to it to get across the boundary; not counted in its norm.
        batch_size: images at a time.

    Returns:
        float32 (n,): Euclidean norm; float32's largest number where no gradient leads to another class. That of a
        sample which has not crossed after all iterations is the norm of the change so far.
    """
    if classes < 2 or iterations < 1 or batch_size < 1:
        raise ValueError(
            f"DeepFool needs classes >= 2, iterations >= 1, batch_size >= 1. Got {classes}, {iterations}, {batch_size}."
        )
    with _evaluating(model), torch.enable_grad():
        parts = [_batch(model, part.detach(), classes, iterations, overshoot) for part in images.split(batch_size)]
    return torch.cat(parts) if parts else images.new_empty(0, dtype=torch.float32)


def _batch(model: nn.Module, images: Tensor, classes: int, iterations: int, overshoot: float) -> Tensor:
    with torch.no_grad():
        candidates = _likeliest(model(images), classes)  # the first is the answer to leave
    change = torch.zeros_like(images)
    norms = torch.zeros(len(images), device=images.device)
    active = torch.arange(len(images), device=images.device)
    for _ in range(iterations):
        step, reachable = _step(model, images[active] + (1 + overshoot) * change[active], candidates[active])
        norms[active[~reachable]] = torch.finfo(norms.dtype).max
        active = active[reachable]
        change[active] += step[reachable]
        norms[active] = change[active].flatten(1).float().norm(dim=1)
        with (
            torch.no_grad()
        ):  # one more forward pass, which spares those that crossed a backward pass for each candidate
            answers = model(images[active] + (1 + overshoot) * change[active]).argmax(1) if len(active) else active
        active = active[answers == candidates[active, 0]]
        if len(active) == 0:
            break
    return norms


def _likeliest(logits: Tensor, classes: int) -> Tensor:
    """int64 (b, classes): the answer, then the next ones. Of equal logits the first class is the answer, as `argmax`
    has it."""
    return logits.argsort(dim=1, descending=True, stable=True)[:, :classes]


def _step(model: nn.Module, point: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """The shortest way to the linearised boundary with one of the candidates, and whether any gradient leads there."""
    point = point.requires_grad_()
    values = model(point).gather(1, candidates)
    columns = range(values.shape[1])
    slopes = [
        torch.autograd.grad(values[:, c].sum(), point, retain_graph=c != columns[-1])[0].flatten(1).double()
        for c in columns
    ]
    ways = torch.stack(slopes[1:], dim=1) - slopes[0].unsqueeze(1)
    lead = (values[:, :1] - values[:, 1:]).detach().double().clamp(min=0)
    squares = ways.square().sum(2)
    near, which = torch.where(squares > 0, lead / squares.sqrt(), torch.inf).min(1)
    rows = torch.arange(len(point), device=point.device)
    factor = torch.where(near.isfinite(), lead[rows, which] / squares[rows, which], 0.0)
    return (ways[rows, which] * factor.unsqueeze(1)).view_as(point).to(point.dtype), near.isfinite()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode, and every module back in its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
