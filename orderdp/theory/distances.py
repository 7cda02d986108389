"""How far the weights gamma_j/q, a distribution over ranks, are from uniform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orderdp.compat import renamed_arguments
from orderdp.theory import checks
from orderdp.theory.weights import rank_weights, running_sum


def _excess(owner: str, n: int, s: int, q: int, n_hard: int | None) -> NDArray[np.float64]:
    """gamma_j/q - 1/n, exactly 0 where all candidates are kept."""
    n, s, q, n_hard = checks.sizes(owner, n, s, q, n_hard)
    return np.zeros(n) if q == s else rank_weights(n, s, q, n_hard=n_hard) / q - 1 / n


@renamed_arguments(hardest="n_hard")
def sup_gap(n: int, s: int, q: int, *, n_hard: int | None = None) -> float:
    """C_s = max_j |n gamma_j/q - 1|, the largest distance between the two densities on (0, 1).

    Source: Theorem 4. Paper: the square of it; here: the distance itself, as in the theorem's proof, because Hoelder's
    inequality pairs it with the 1-Wasserstein distance.
    Paper: C_s -> 0 as q -> s (3.2, D.2); here: for the top q it is max(s/q - 1, 1) at every q < s, because the last
    rank has density 0, and jumps to 0 at q = s. `total_variation` and `wasserstein` do shrink.

    Args:
        n, s, q, n_hard: as in `rank_weights`.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> round(sup_gap(1000, 100, 30), 3), sup_gap(1000, 100, 100)
        (2.333, 0.0)
    """
    return float(np.abs(_excess("sup_gap", n, s, q, n_hard)).max() * n)


@renamed_arguments(hardest="n_hard")
def total_variation(n: int, s: int, q: int, *, n_hard: int | None = None) -> float:
    """Half the sum of |gamma_j/q - 1/n|, in [0, 1 - 1/n]: the share of the training that would have to move to other
    ranks.

    Args:
        n, s, q, n_hard: as in `rank_weights`.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> round(total_variation(1000, 100, 30), 3)
        0.649
    """
    return float(np.abs(_excess("total_variation", n, s, q, n_hard)).sum() / 2)


@renamed_arguments(hardest="n_hard")
def wasserstein(n: int, s: int, q: int, *, n_hard: int | None = None) -> float:
    """The 1-Wasserstein distance between gamma_j/q and 1/n on the relative ranks j/n, in [0, 1/2).

    How far, in relative rank, the training moves on average. For the top q it is (n+1)(s-q) / (2n(s+1)).

    Args:
        n, s, q, n_hard: as in `rank_weights`.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> round(wasserstein(1000, 100, 30), 3)
        0.347
    """
    return float(np.abs(running_sum(_excess("wasserstein", n, s, q, n_hard))).sum() / n)
