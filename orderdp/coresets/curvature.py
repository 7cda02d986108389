"""The last layer's Gauss-Newton Hessian of the mean loss, damped, and what takes its inverse.

H = 1/n sum_i (diag(p_i) - p_i p_i^T) (x) [h_i; 1][h_i; 1]^T + damping I, of order k(d + 1): 5,130 for ten classes and
512 features, where it is factored; 51,300 for a hundred, where it takes Kronecker factors or conjugate gradients.
Everything is in double precision, because its condition number is the largest curvature over the damping.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets.base import ProxyOutputs
from orderdp.coresets.last_layer import Gradients, gradients

Kind = Literal["auto", "exact", "kronecker", "cg"]
EXACT = 6000  # "auto" factors H up to this order: 290 MB
ROWS = 4096  # samples at a time
T = TypeVar("T")


class Exact(NamedTuple):
    """H's Cholesky factor."""

    factor: Tensor

    def solve(self, right: Tensor) -> Tensor:
        """(r, k, d + 1) -> H^-1 of each, in the same shape."""
        return torch.cholesky_solve(right.flatten(1).T, self.factor).T.reshape(right.shape)


class Kronecker(NamedTuple):
    """H with the mean of the products taken as the product of the means, E[diag(p) - pp^T] (x) E[hh^T]: the
    eigenvectors of both."""

    left: Tensor
    """(k, k)."""
    right: Tensor
    """(d + 1, d + 1)."""
    scales: Tensor
    """(k, d + 1): one over each eigenvalue of H."""

    def solve(self, right: Tensor) -> Tensor:
        """(r, k, d + 1) -> H^-1 of each, in the same shape."""
        return self.left @ ((self.left.T @ right @ self.right) * self.scales) @ self.right.T


class Iterative(NamedTuple):
    """H as what it does to a vector, for conjugate gradients; a product costs 4 n k d."""

    probabilities: Tensor
    inputs: Tensor
    damping: float

    def apply(self, vectors: Tensor) -> Tensor:
        """(r, k, d + 1) -> H times each."""
        result = self.damping * vectors
        rows = max(1, ROWS // len(vectors))
        for p, h in zip(self.probabilities.split(rows), self.inputs.split(rows), strict=True):
            change = torch.einsum("bd,rkd->rbk", h, vectors).mul_(p)  # of the logits, times p
            change -= p * change.sum(2, keepdim=True)
            result += torch.einsum("rbk,bd->rkd", change, h) / len(self.inputs)
        return result

    def solve(self, right: Tensor, tolerance: float = 1e-8, limit: int = 1000) -> Tensor:
        """(r, k, d + 1) -> H^-1 of each, in the same shape, up to that share of its norm as residual."""
        solution = torch.zeros_like(right)
        residual, direction = right, right
        square = start = residual.square().sum((1, 2), keepdim=True)
        for _ in range(limit):
            if bool((square <= tolerance**2 * start).all()):
                break
            image = self.apply(direction)
            length = square / (direction * image).sum((1, 2), keepdim=True).clamp(min=1e-300)
            solution = solution + length * direction
            residual = residual - length * image
            before, square = square, residual.square().sum((1, 2), keepdim=True)
            direction = residual + square / before.clamp(min=1e-300) * direction
        return solution


Curvature = Exact | Kronecker | Iterative


def gauss_newton(outputs: ProxyOutputs, kind: Kind, damping: float) -> Curvature:
    """H over all samples of the outputs, in the given form; "auto": exact where it is small, else Kronecker."""
    if kind not in ("auto", "exact", "kronecker", "cg"):
        raise ValueError(f"The 'curvature' must be 'auto', 'exact', 'kronecker' or 'cg'. Got {kind!r}.")
    if not 0 < damping < float("inf"):
        raise ValueError(f"The 'damping' must be positive and finite. Got {damping!r}.")
    order = outputs.classes * (outputs.require("features").shape[1] + 1)
    if kind == "auto":
        kind = "exact" if order <= EXACT else "kronecker"

    def build() -> Curvature:
        probabilities = outputs.require("logits")[-1].double().softmax(-1)
        inputs = gradients(outputs, torch.arange(outputs.n, device=outputs.labels.device), dtype=torch.float64).inputs
        if kind == "cg":
            return Iterative(probabilities, inputs, damping)
        return (exact if kind == "exact" else kronecker)(probabilities, inputs, damping)

    return remembered(outputs, ("curvature", kind, damping), build)


def exact(probabilities: Tensor, inputs: Tensor, damping: float) -> Exact:
    """Builds H block by block, a pair of classes at a time, and factors it."""
    (n, k), size = probabilities.shape, inputs.shape[1]
    matrix = inputs.new_zeros(k, size, k, size)
    for p, h in zip(probabilities.split(ROWS), inputs.split(ROWS), strict=True):
        for a in range(k):
            for b in range(a + 1):
                weights = p[:, a] * (float(a == b) - p[:, b]) / n
                matrix[a, :, b] += (h * weights.unsqueeze(1)).T @ h
    matrix = matrix.view(k * size, k * size)  # its lower half: Cholesky reads no other
    # Features of size 1e8 would leave more than the damping to rounding, and Cholesky with a negative pivot.
    matrix.diagonal().add_(max(damping, 1e-12 * float(matrix.diagonal().max())))
    return Exact(torch.linalg.cholesky(matrix))


def kronecker(probabilities: Tensor, inputs: Tensor, damping: float) -> Kronecker:
    """Eigenvectors of the two factors."""
    n = len(inputs)
    small, left = torch.linalg.eigh(probabilities.mean(0).diag() - probabilities.T @ probabilities / n)
    large, right = torch.linalg.eigh(inputs.T @ inputs / n)
    return Kronecker(left, right, 1 / (small.clamp(min=0).unsqueeze(1) * large.clamp(min=0) + damping))


def norms(form: Curvature, parts: Gradients, sketched: Callable[[], Tensor]) -> Tensor:
    """float64 (m,): ||H^-1 g_i||; with conjugate gradients the norm of a sketch of it, because n systems are too
    many."""
    if isinstance(form, Iterative):
        return sketched().norm(dim=1)
    results = []
    for errors, inputs in zip(parts.errors.split(ROWS), parts.inputs.split(ROWS), strict=True):
        if isinstance(form, Kronecker):  # in the eigenvectors' coordinates H is diagonal
            results.append(
                ((errors @ form.left).square() @ form.scales.square() * (inputs @ form.right).square()).sum(1).sqrt()
            )
        else:
            few = zip(errors.split(512), inputs.split(512), strict=True)
            results += [form.solve(e.unsqueeze(2) * h.unsqueeze(1)).flatten(1).norm(dim=1) for e, h in few]
    return torch.cat(results)


def sketch(outputs: ProxyOutputs, kind: Kind, damping: float, members: Tensor, size: int) -> Tensor:
    """float64 (len(members), size): random projections of H^-1 g_i that keep lengths and angles on average
    (Johnson-Lindenstrauss).

    Row r is <H^-1 z_r, g_i> with z_r of +-1 / sqrt(size): `size` systems to solve instead of n. The z_r are the same in
    every call, so that classes share the solutions. Where H's order is at most `size` the vectors themselves come out.
    """
    form = gauss_newton(outputs, kind, damping)

    def probes() -> Tensor:
        k, width = outputs.classes, outputs.require("features").shape[1] + 1
        if k * width <= size:
            signs = torch.eye(k * width, dtype=torch.float64)
        else:
            signs = (
                torch.from_numpy(np.random.default_rng(0).integers(2, size=(size, k * width)) * 2.0 - 1.0) / size**0.5
            )
        return form.solve(signs.view(-1, k, width).to(outputs.labels.device))

    solved = remembered(outputs, ("sketch", kind, damping, size), probes)
    parts = gradients(outputs, members, dtype=torch.float64)
    columns = solved.permute(2, 0, 1).flatten(1)  # (d + 1, size k)
    rows = max(1, 2**23 // columns.shape[1])
    products = [
        torch.einsum("brk,bk->br", (inputs @ columns).view(len(inputs), *solved.shape[:2]), errors)
        for errors, inputs in zip(parts.errors.split(rows), parts.inputs.split(rows), strict=True)
    ]
    return torch.cat(products)


def remembered(outputs: ProxyOutputs, key: tuple[object, ...], build: Callable[[], T]) -> T:
    """What was built from the outputs before, once for all classes and budgets; it lives as long as the outputs
    does."""
    memory: dict[tuple[object, ...], T] = vars(outputs).setdefault("_remembered", {})
    if key not in memory:
        memory[key] = build()
    return memory[key]
