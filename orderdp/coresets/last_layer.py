"""The loss's gradient by the last layer's weights and bias, in closed form: g_i = (p_i - y_i) (x) [h_i; 1]. Never held
as n x k(d + 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from orderdp.coresets.base import ProxyOutputs, residuals


class Gradients(NamedTuple):
    """The last layer's gradient for each of m samples, as the two factors of an outer product."""

    errors: Tensor
    """float (m, k): p - y."""
    inputs: Tensor
    """float (m, d + 1): what enters the layer, and a 1 for the bias."""

    def take(self, rows: Tensor) -> Gradients:
        """The gradients of some samples."""
        return Gradients(self.errors[rows], self.inputs[rows])

    def inner(self, rows: Tensor) -> Tensor:
        """(len(rows), m): <g_i, g_j> = <e_i, e_j> (1 + <h_i, h_j>)."""
        return (self.errors[rows] @ self.errors.T).mul_(self.inputs[rows] @ self.inputs.T)

    def squares(self) -> Tensor:
        """(m,): ||g_i||^2 = ||e_i||^2 (1 + ||h_i||^2)."""
        return self.errors.square().sum(1) * self.inputs.square().sum(1)

    def dot(self, matrix: Tensor) -> Tensor:
        """(m,): <g_i, M> for one M (k, d + 1), which costs m k d."""
        return (self.errors @ matrix).mul_(self.inputs).sum(1)

    def total(self, weights: Tensor | None = None) -> Tensor:
        """(k, d + 1): the weighted sum of all m gradients."""
        errors = self.errors if weights is None else self.errors * weights.unsqueeze(1)
        return errors.T @ self.inputs

    def scaled(self) -> Gradients:
        """The same directions and proportions, with errors up to 1: squares of a well-trained network's would leave
        float32's range."""
        largest = self.errors.abs().max()
        return Gradients(self.errors / largest, self.inputs) if float(largest) > 0 else self


def gradients(outputs: ProxyOutputs, members: Tensor, *, dtype: torch.dtype = torch.float32) -> Gradients:
    """The gradients of the last proxy. Errors are computed in double precision, so that a softmax near 1 keeps its
    digits."""
    errors = residuals(outputs.require("logits")[-1, members].double(), outputs.labels[members])
    return Gradients(errors.to(dtype), with_one(outputs.require("features")[members].to(dtype)))


def with_one(features: Tensor) -> Tensor:
    """(m, d) -> (m, d + 1): [h; 1]."""
    return torch.cat([features, features.new_ones(len(features), 1)], dim=1)


def places(outputs: ProxyOutputs, members: Tensor, chosen: Tensor) -> Tensor:
    """int64 (len(chosen),): where among the members the chosen ones are."""
    place = torch.empty(outputs.n, dtype=torch.int64, device=members.device)
    place[members] = torch.arange(len(members), device=members.device)
    return place[chosen]
