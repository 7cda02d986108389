"""Checks of arguments; each message names the argument, the function, what is allowed and what came."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def whole(owner: str, name: str, value: Any, low: int, high: int | None = None, span: str = "") -> int:
    """An integer in [low, high]; `span` writes the ends as symbols."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or int(value) < low or (high is not None and int(value) > high):
        allowed = f"of at least {low}" if high is None else f"in {span + ' = ' if span else ''}[{low}, {high}]"
        raise ValueError(f"The '{name}' of {owner} must be an integer {allowed}. Got {value!r}.")
    return int(value)


def sizes(owner: str, n: Any, s: Any, q: Any, hardest: Any = None) -> tuple[int, int, int, int]:
    """n, s, q and how many of the q are the largest: 1 <= q <= s <= n and 0 <= hardest <= q; None stands for q."""
    n = whole(owner, "n", n, 1)
    s = whole(owner, "s", s, 1, n, "[1, n]")
    q = whole(owner, "q", q, 1, s, "[1, s]")
    return n, s, q, q if hardest is None else whole(owner, "hardest", hardest, 0, q, "[0, q]")


def share(owner: str, name: str, value: Any, *, zero: bool = False, one: bool = True) -> float:
    """A number between 0 and 1; the ends are allowed only where `zero` or `one` says so."""
    inside = is_real(value) and 0 <= float(value) <= 1
    if not inside or (value == 0 and not zero) or (value == 1 and not one):
        raise ValueError(
            f"The '{name}' of {owner} must be in {'[' if zero else '('}0, 1{']' if one else ')'}. Got {value!r}."
        )
    return float(value)


def number(owner: str, name: str, value: Any, *, positive: bool = False) -> float:
    """A finite number of at least 0, or above 0."""
    if not is_real(value) or not 0 <= float(value) < math.inf or (positive and value == 0):
        raise ValueError(
            f"The '{name}' of {owner} must be a finite number {'above' if positive else 'of at least'} 0. Got"
            f" {value!r}."
        )
    return float(value)


def vector(owner: str, name: str, values: ArrayLike | Sequence[Any], *, finite: bool = True) -> NDArray[np.float64]:
    """float64 (m,), m >= 1, finite or at least without NaN."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(
            f"The '{name}' of {owner} must be a 1-d array of at least one number. Got shape {array.shape}."
        )
    if not (np.isfinite(array) if finite else ~np.isnan(array)).all():
        raise ValueError(f"The '{name}' of {owner} must {'be finite' if finite else 'not hold NaN'}.")
    return array


def is_real(value: Any) -> bool:
    """Whether this is one real number and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)
