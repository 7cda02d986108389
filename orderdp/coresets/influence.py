"""How much the parameters, or the validation loss, would move if a sample were left out; and samples whose moves
cancel."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets.base import ProxyOutputs, ordered, residuals, scored
from orderdp.coresets.curvature import Kind, gauss_newton, norms, sketch
from orderdp.coresets.last_layer import Gradients, gradients, with_one
from orderdp.coresets.swaps import least_sum


@scored(needs=("logits", "features"), family="influence")
def influence(
    outputs: ProxyOutputs,
    members: Tensor,
    rng: np.random.Generator,
    *,
    target: Literal["parameters", "loss"] = "parameters",
    curvature: Kind = "auto",
    damping: float = 0.01,
    projection: int = 256,
) -> Tensor:
    """Influence functions: the samples whose removal would move the last layer's parameters most, ||H^-1 g_i|| (Koh &
    Liang 2017).

    Args:
        outputs: with logits and features; for the target "loss" with a validation split too.
        members: all samples.
        rng: unused.
        target: "parameters"; or "loss": the samples whose larger weight would lower the validation loss most, grad
            L_val^T H^-1 g_i.
        curvature: H as "exact", "kronecker" or by "cg"; "auto" is exact up to an order k(d + 1) of 6,000, else
            Kronecker.
        damping: added to H's diagonal.
        projection: with "cg" the norm is estimated from so many random directions, each a system to solve.
    """
    if target not in ("parameters", "loss"):
        raise ValueError(f"The 'target' of influence must be 'parameters' or 'loss'. Got {target!r}.")
    parts = gradients(outputs, members, dtype=torch.float64)
    form = gauss_newton(outputs, curvature, damping)
    if target == "parameters":
        return norms(form, parts, lambda: sketch(outputs, curvature, damping, members, projection))
    outputs.check("influence", ("validation_logits", "validation_features", "validation_labels"))
    labels = outputs.require("validation_labels")
    errors = residuals(outputs.require("validation_logits").double(), labels)
    slope = Gradients(errors, with_one(outputs.require("validation_features").double())).total() / len(labels)
    return parts.dot(form.solve(slope.unsqueeze(0))[0])


@ordered(needs=("logits", "features"), family="influence", nested=False)
def dataset_pruning(
    outputs: ProxyOutputs,
    members: Tensor,
    n_keep: int,
    rng: np.random.Generator,
    *,
    curvature: Kind = "auto",
    damping: float = 0.01,
    projection: int = 256,
    sweeps: int = 50,
    temperature: float = 1.0,
) -> Tensor:
    """Dataset pruning: drops samples that together move the parameters least, min ||sum_dropped H^-1 g_i / n|| (Yang et
    al. 2023).

    The cardinality-guaranteed form. The vectors are projected to a few random directions, and two searches swap a
    dropped sample with a kept one until no swap shortens the sum: one from the set that drops the shortest vectors, one
    from where a simulated annealing ends. The better set is the answer.

    Args:
        outputs: with logits and features.
        members: of one class, or all.
        n_keep: how many to keep.
        rng: proposes and accepts swaps.
        curvature: as in `influence`.
        damping: added to H's diagonal.
        projection: random directions.
        sweeps: swaps that the annealing proposes, per member; 20,000 in all at least.
        temperature: of its start, relative to the median squared distance between two of the vectors.
    """
    for name, value in (("projection", projection), ("sweeps", sweeps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"The '{name}' of dataset_pruning must be an integer of at least 1. Got {value!r}.")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"The 'temperature' of dataset_pruning must be positive and finite. Got {temperature!r}.")
    if n_keep == len(members):
        return members
    shifts = sketch(outputs, curvature, damping, members, projection).cpu().numpy() / outputs.n
    kept, _ = least_sum(shifts, n_keep, rng, steps=sweeps * len(members), temperature=temperature)
    return members[torch.from_numpy(kept).to(members.device)]
