"""How much of the data is trained on at all, and how alike the sets of successive epochs are. All in the limit of many samples."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from orderdp.theory import checks

Start = Literal["unseen_first", "fixed_ranking", "random"]


def never_kept(epochs: int, explore: float, exploit: float, *, start: Start = "unseen_first") -> NDArray[np.float64]:
    """Share of the samples that no epoch has kept so far, under one of three models of the scores.

    - "unseen_first": what was never kept ranks first, as with an infinite initial score. Of the u not kept yet, explore u are
      candidates, and of these as many are kept as fit: u falls by min(explore u, explore exploit).
    - "fixed_ranking": all scores are known and their order never changes. The hardest share `exploit` is kept whenever it is among
      the candidates, the rest never: (1 - exploit) + exploit (1 - explore)^t.
    - "random": the order is drawn anew every epoch: (1 - explore exploit)^t.

    Paper: "every sample has a non-zero chance" (2.2); here: only if ranks move or unseen samples come first. gamma_j is 0 for the last
    s - q ranks, and a constant initial score below the loss's floor acts as a fixed ranking.

    Args:
        epochs: T, at least 0.
        explore: s/n, in (0, 1].
        exploit: q/s, in (0, 1].
        start: the model.

    Returns:
        float64 (T + 1,): after 0, 1, ..., T epochs; starts at 1, never increases.

    Raises:
        ValueError: an argument outside its range, or an unknown model.
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
    # As long as more than q unseen samples are candidates, every epoch takes q of them; after that all that are candidates.
    full = math.ceil((1 - exploit) / (explore * exploit))
    full_epochs = np.minimum(t, full)
    return np.asarray((1 - full_epochs * explore * exploit) * (1 - explore) ** (t - full_epochs))


def expected_jaccard(explore: float, exploit: float) -> float:
    """Jaccard similarity of two epochs' sets under a fixed ranking: explore / (2 - explore), whatever `exploit`.

    Both sets are the hardest share `exploit`, each thinned by its own draw of candidates. No other course of the scores gives more: the
    later epoch's candidates hold only a share `explore` of what the earlier one kept.

    Args:
        explore: s/n, in (0, 1].
        exploit: q/s, in (0, 1].

    Raises:
        ValueError: an argument outside its range.
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
    """
    keep = checks.share("random_jaccard", "keep", keep)
    return keep / (2 - keep)
