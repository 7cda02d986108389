"""Multinomial logistic regression with a ridge, convex in every sample, and the certified minimum of its L_q."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from orderdp.theory.weights import rank_weights

Array = NDArray[np.float64]

SMOOTHINGS = (0.1, 0.03, *[0.01] * 40)
"""mu of each round of `minimise`."""


def design(x: ArrayLike) -> Array:
    """float64 (n, d+1): each sample's numbers in one row, and a 1 for the bias."""
    flat = np.asarray(x, dtype=np.float64)
    flat = flat.reshape(len(flat), -1)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def one_hot(y: ArrayLike, classes: int) -> Array:
    """float64 (n, classes)."""
    return np.asarray(np.eye(classes)[np.asarray(y)], dtype=np.float64)


def losses(theta: Array, x: Array, t: Array, ridge: float) -> Array:
    """L_i(theta) = cross-entropy of sample i + ridge/2 |theta|^2: convex, and with a finite minimiser, as Theorem 3
    asks.

    Args:
        theta: (..., k, d); leading axes are separate models.
        x: (..., m, d), the last column 1.
        t: (..., m, k), one-hot labels.
        ridge: at least 0.

    Returns:
        float64 (..., m).
    """
    logits = x @ np.swapaxes(theta, -1, -2)
    top = logits.max(
        axis=-1, keepdims=True
    )  # for a finite exponential; scipy's logsumexp takes four times as long on few rows
    normaliser = np.log(np.exp(logits - top).sum(axis=-1)) + top[..., 0]
    return np.asarray(
        normaliser - (logits * t).sum(axis=-1) + ridge / 2 * np.square(theta).sum(axis=(-1, -2))[..., None]
    )


def residuals(theta: Array, x: Array, t: Array) -> Array:
    """Softmax minus label, (..., m, k): the gradient of sample i is their outer product with x_i, + ridge theta."""
    return np.asarray(special.softmax(x @ np.swapaxes(theta, -1, -2), axis=-1) - t)


def gradient(theta: Array, x: Array, t: Array, ridge: float, weights: Array) -> Array:
    """sum_i w_i grad L_i, shaped as theta; weights (..., m), the other arguments as in `losses`."""
    weighted = residuals(theta, x, t) * weights[..., None]
    return np.asarray(np.swapaxes(weighted, -1, -2) @ x + ridge * weights.sum(axis=-1)[..., None, None] * theta)


def gradients(theta: Array, x: Array, t: Array, ridge: float) -> Array:
    """All grad L_i as rows, (m, k d), of one model."""
    outer = residuals(theta, x, t)[:, :, None] * x[:, None, :]
    return np.asarray((outer + ridge * theta).reshape(len(x), -1))


def lipschitz(x: Array, ridge: float, ball: float) -> float:
    """G: no grad L_i is longer at any theta with |theta| <= ball. |softmax - label| is at most sqrt(2)."""
    return math.sqrt(2) * float(np.linalg.norm(x, axis=1).max()) + ridge * ball


class Minimum(NamedTuple):
    """A point that nearly minimises L_q, and how nearly."""

    theta: Array
    """(k, d)."""
    value: float
    """L_q(theta)."""
    excess: float
    """Proven upper bound on value - min L_q."""


def minimise(x: Array, t: Array, s: int, q: int, ridge: float, *, tolerance: float = 1e-8) -> Minimum:
    """The minimum of L_q, which is convex with kinks wherever losses tie.

    L_q(theta) is the maximum of f_w(theta) = sum_i w_i L_i(theta) over the w in the convex hull of the permutations of
    gamma/q. Less mu n/2 |w - w_0|^2 the maximum is unique and differentiable in theta, and L-BFGS finds its minimum;
    its w is the next w_0, until the certificate holds (the method of multipliers). The certificate trusts none of this:
    f_w <= L_q everywhere and f_w is ridge-strongly convex, hence min L_q >= f_w(theta) - |grad f_w(theta)|^2 / (2
    ridge).

    Args:
        x: (n, d), the last column 1.
        t: (n, k), one-hot labels.
        s: candidates.
        q: kept candidates.
        ridge: above 0.
        tolerance: the certified `excess` to stop at; what was reached is reported, whether it is this or not.
    """
    n, shape = len(x), (t.shape[1], x.shape[1])
    gamma = rank_weights(n, s, q) / q

    def smooth(flat: Array, near: Array, mu: float) -> tuple[float, Array]:
        values = losses(flat.reshape(shape), x, t, ridge)
        w = project(near + values / (mu * n), gamma)
        smoothed = float(w @ values) - mu * n / 2 * float(np.square(w - near).sum())
        return smoothed, gradient(flat.reshape(shape), x, t, ridge, w).ravel()

    flat, w, best = np.zeros(math.prod(shape)), np.full(n, 1 / n), None
    options = {"maxiter": 2000, "maxcor": 30, "ftol": 0.0, "gtol": 1e-8}
    for mu in SMOOTHINGS:
        flat = optimize.minimize(smooth, flat, (w, mu), method="L-BFGS-B", jac=True, options=options).x
        theta = flat.reshape(shape)
        values = losses(theta, x, t, ridge)
        w = project(w + values / (mu * n), gamma)
        value = float(gamma @ np.sort(values)[::-1])
        lower = float(w @ values) - float(np.square(gradient(theta, x, t, ridge, w)).sum()) / (2 * ridge)
        if best is None or value - lower < best.excess:
            best = Minimum(theta, value, value - lower)
        if best.excess <= tolerance:
            break
    assert best is not None
    return best


def project(v: Array, gamma: Array) -> Array:
    """The point nearest to v in the convex hull of all permutations of gamma (n,), which must be in descending order.

    In descending order of v it is v - m, m being the non-increasing sequence nearest to v - gamma.
    """
    order = np.argsort(-v, kind="stable")
    ranked = v[order]
    nearest = np.empty_like(v)
    nearest[order] = ranked - optimize.isotonic_regression(ranked - gamma, increasing=False).x
    return nearest
