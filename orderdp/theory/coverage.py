"""How much of the data is trained on at all, and how alike the sets of successive epochs are.

All in the limit of many samples, but for the functions that take n.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from orderdp.theory import checks
from orderdp.theory.weights import rank_weights

Start = Literal["unseen_first", "fixed_ranking", "random"]


def never_kept(epochs: int, explore: float, exploit: float, *, start: Start = "unseen_first") -> NDArray[np.float64]:
    """Share of the samples that no epoch has kept so far, under one of three models of the scores.

    - "unseen_first": what was never kept ranks first, as with an infinite initial score. Of the u not kept yet, explore
    u are
      candidates, and of these as many are kept as fit: u falls by min(explore u, explore exploit).
    - "fixed_ranking": all scores are known and their order never changes. The hardest share `exploit` is kept whenever
    it is among
      the candidates, the rest never: (1 - exploit) + exploit (1 - explore)^t. With few samples more are kept, see
      `fixed_never_kept`.
    - "random": every epoch draws a new order: (1 - explore exploit)^t.

    All three are limits for many samples. "random" is exact for any number of them.

    Paper: "every sample has a non-zero chance" (2.2); here: only if ranks move or unseen samples come first. gamma_j is
    0 for the last s - q ranks, and a constant initial score below the loss's floor acts as a fixed ranking.

    Args:
        epochs: T, at least 0.
        explore: s/n, in (0, 1].
        exploit: q/s, in (0, 1].
        start: the model.

    Returns:
        float64 (T + 1,): after 0, 1, ..., T epochs; starts at 1, never increases.

    Raises:
        ValueError: an argument outside its range, or an unknown model.

    Example:
        >>> never_kept(3, 0.5, 0.6).round(3).tolist()
        [1.0, 0.7, 0.4, 0.2]
    """
    epochs = checks.whole("never_kept", "epochs", epochs, 0)
    explore = checks.share("never_kept", "explore", explore)
    exploit = checks.share("never_kept", "exploit", exploit)
    if start not in get_args(Start):
        raise ValueError(f"The 'start' of never_kept must be one of {', '.join(get_args(Start))}. Got {start!r}.")
    return left_after(np.arange(epochs + 1), explore, exploit, start)


def left_after(t: NDArray[np.int64] | int, explore: float, exploit: float, start: Start) -> NDArray[np.float64]:
    """`never_kept` after t epochs, of t's shape and unchecked."""
    if start == "fixed_ranking":
        return np.asarray((1 - exploit) + exploit * (1 - explore) ** np.asarray(t))
    if start == "random":
        return np.asarray((1 - explore * exploit) ** np.asarray(t))
    # As long as more than q unseen samples are candidates, every epoch takes q of them; after that all that are
    # candidates.
    with np.errstate(
        divide="ignore", over="ignore"
    ):  # shares so small that the quotient is infinite: then q fit in every epoch
        full = np.ceil(np.float64((1 - exploit) / explore) / exploit)
    full_epochs = np.minimum(t, full)
    return np.asarray((1 - full_epochs * explore * exploit) * (1 - explore) ** (t - full_epochs))


def fixed_never_kept(epochs: int, n: int, s: int, q: int) -> float:
    """Share of n samples that no epoch has kept if their ranking never changes, exactly: the mean of (1 - gamma_j)^T
    over the ranks j.

    Every epoch keeps rank j with the probability gamma_j, independently of the other epochs. As T grows, the share
    falls to (s - q)/n, the share of the ranks without any chance. `never_kept` with the start "fixed_ranking" is its
    limit for many samples at a given T, in which the ranks beyond q/s have no chance either. With n samples the ranks
    just beyond q/s have a small one, which adds up over epochs.

    Args:
        epochs: T, at least 0.
        n, s, q: as in `rank_weights`.

    Example:
        >>> f"{fixed_never_kept(200, 50, 25, 15):.3f}, at least {(25 - 15) / 50}"
        '0.249, at least 0.2'

    Raises:
        ValueError: an argument outside its range.
    """
    epochs = checks.whole("fixed_never_kept", "epochs", epochs, 0)
    n, s, q, _ = checks.sizes("fixed_never_kept", n, s, q)
    return float(((1 - rank_weights(n, s, q)) ** epochs).mean())


def expected_jaccard(explore: float, exploit: float) -> float:
    """Jaccard similarity of two epochs' sets under a fixed ranking: explore / (2 - explore), whatever `exploit`.

    Both sets are the hardest share `exploit`, each thinned by its own draw of candidates. In the limit of many samples
    no other course of the scores gives more: the later epoch's candidates hold only a share `explore` of what the
    earlier one kept. Of few samples this share varies from draw to draw, and the expected similarity is larger than
    that of the expected share, because it is convex in it: at n = 3, s = 2, q = 1 a ranking that never changes gives
    5/9, and the limit is 1/2.

    Args:
        explore: s/n, in (0, 1].
        exploit: q/s, in (0, 1].

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> round(expected_jaccard(0.5, 0.6), 3)
        0.333
    """
    explore = checks.share("expected_jaccard", "explore", explore)
    checks.share("expected_jaccard", "exploit", exploit)
    return explore / (2 - explore)


def random_jaccard(keep: float) -> float:
    """Jaccard similarity of two independent uniform sets: keep / (2 - keep).

    Args:
        keep: q/n, in (0, 1].

    Raises:
        ValueError: `keep` outside its range.

    Example:
        >>> round(random_jaccard(0.3), 3)
        0.176
    """
    keep = checks.share("random_jaccard", "keep", keep)
    return keep / (2 - keep)
