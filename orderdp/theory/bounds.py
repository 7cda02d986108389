"""Theorems 3 and 4 as functions."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from orderdp.compat import renamed_arguments
from orderdp.theory import checks
from orderdp.theory.distances import sup_gap


def constant_rate(radius: float, lipschitz: float, steps: int) -> float:
    """The learning rate R/(G sqrt(T)), at which the bound of Theorem 3 becomes G R/sqrt(T).

    Args:
        radius: R, distance of the start from a minimiser of L_q; above 0.
        lipschitz: G, largest (sub)gradient norm of any sample's loss; above 0.
        steps: T.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> constant_rate(radius=1.0, lipschitz=2.0, steps=100)
        0.05
    """
    radius = checks.number("constant_rate", "radius", radius, positive=True)
    lipschitz = checks.number("constant_rate", "lipschitz", lipschitz, positive=True)
    return radius / (lipschitz * math.sqrt(checks.whole("constant_rate", "steps", steps, 1)))


def convergence_bound(radius: float, lipschitz: float, rates: ArrayLike, *, averaged: bool = False) -> float:
    """Bound on the expected L_q(theta) - min L_q, for convex G-Lipschitz losses and unbiased steps.

    Source: Theorem 3, Eq. 6, for the best of the iterates 1..T; Eq. 18 for their average weighted by the rates.

    Paper: the minimum is over 0 <= t <= T, and the average is divided by "sum_{t=1}^T"; here: t from 1, and divided by
    the sum of the rates, because that is what the proof sums. The last line of Eq. 26 lacks a factor 2; the bound
    itself is right.

    Args:
        radius: R, distance of the start from a minimiser of L_q; at least 0.
        lipschitz: G, at least 0.
        rates: (T,), the learning rates eta^t, above 0.
        averaged: of the averaged iterate instead of the best one; drops the factor eta_max/eta_min.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> round(convergence_bound(1.0, 2.0, [0.05] * 100), 3)
        0.2
    """
    radius = checks.number("convergence_bound", "radius", radius)
    lipschitz = checks.number("convergence_bound", "lipschitz", lipschitz)
    eta = checks.vector("convergence_bound", "rates", rates)
    if eta.min() <= 0:
        raise ValueError(f"The 'rates' of convergence_bound must be above 0. Got {eta.min():g}.")
    bound = (radius**2 + lipschitz**2 * float(np.square(eta).sum())) / (2 * float(eta.sum()))
    return bound if averaged else bound * float(eta.max() / eta.min())


class GeneralizationBound(NamedTuple):
    """The terms of Theorem 4: L(theta*) - E[L_q(theta^t)] <= deviation - q_n + optimization.

    Example:
        >>> bound = generalization_bound(1000, 100, 30, largest_loss=2.0, gap=0.1, optimization=0.05)
        >>> round(bound.c_s, 3)
        2.333
    """

    c_s: float
    """Largest distance of the weights' density from uniform."""
    b: float
    """Largest loss."""
    q_n: float
    """L_q - L."""
    deviation: float
    """sqrt(2) C_s B sqrt((n-s)/(s(n-1)))."""
    optimization: float
    """The bound of Theorem 3, the paper's "unbiased term"."""

    @property
    def bias(self) -> float:
        """The paper's "bias term": deviation - q_n."""
        return self.deviation - self.q_n

    @property
    def total(self) -> float:
        """The right-hand side."""
        return self.bias + self.optimization


@renamed_arguments(hardest="n_hard")
def generalization_bound(
    n: int, s: int, q: int, *, largest_loss: float, gap: float, optimization: float, n_hard: int | None = None
) -> GeneralizationBound:
    """The terms of Theorem 4's right-hand side.

    Paper: C_s squared; here: not squared, as in the proof (see `sup_gap`).
    Paper: B is the infimum over the iterates of the largest loss; here: the caller's, because the proof needs the
    largest loss at the theta it speaks of (or the supremum, for all iterates at once).

    The terms are computed as printed; they are no guarantee. The proof bounds |L - L(theta*)| by Theorem 3, which
    speaks of L_q on the training set, not of the expected risk. Conversely, with L_q as Eq. 3 defines it, L - L_q is
    -Q_n exactly, so that `deviation` is slack: it bounds what a mini-batch estimate of a spectral risk would add.

    Args:
        n, s, q, n_hard: as in `rank_weights`.
        largest_loss: B = max_i |L_i(theta)|, at least 0.
        gap: Q_n(theta), as `surrogate_gap` gives it; its infimum over the iterates for a bound on all of them.
        optimization: as `convergence_bound` gives it, at least 0.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> bound = generalization_bound(1000, 100, 100, largest_loss=2.0, gap=0.1, optimization=0.05)
        >>> round(bound.c_s, 3)  # all candidates are kept: no bias
        0.0
    """
    owner = "generalization_bound"
    n, s, q, n_hard = checks.sizes(owner, n, s, q, n_hard)
    b = checks.number(owner, "largest_loss", largest_loss)
    optimization = checks.number(owner, "optimization", optimization)
    if not math.isfinite(gap):
        raise ValueError(f"The 'gap' of {owner} must be finite. Got {gap!r}.")
    c_s = sup_gap(n, s, q, n_hard=n_hard)
    finite_population = 0.0 if n == s else math.sqrt((n - s) / (s * (n - 1)))  # n = 1 has n = s
    return GeneralizationBound(c_s, b, float(gap), math.sqrt(2) * c_s * b * finite_population, optimization)
