"""Values of options in `params.yaml`, held to the signatures of what they build and to the ranges of their names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from orderdp import code_fingerprint as code


class Range(NamedTuple):
    """Numbers between two ends."""

    low: float
    high: float = math.inf
    with_low: bool = True
    with_high: bool = True

    def holds(self, value: float) -> bool:
        above = value >= self.low if self.with_low else value > self.low
        return above and (value <= self.high if self.with_high else value < self.high)

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'at least' if self.with_low else 'above'} {self.low:g}"
        ends = f"{int(self.low)}, {int(self.high)}"  # all ends are whole numbers
        return f"in {'[' if self.with_low else '('}{ends}{']' if self.with_high else ')'}"


COUNT, SHARE = Range(1, 10**6), Range(0, 1)
SOME, MOST, INSIDE = Range(0, 1, with_low=False), Range(0, 1, with_high=False), Range(0, 1, False, False)
POSITIVE, NOT_NEGATIVE = Range(0, 10**6, with_low=False), Range(0, 10**6)
RANGES: dict[str, Range] = {
    **dict.fromkeys(("width", "depth", "image", "patch", "window", "decoder_width", "decoder_depth"), COUNT),
    **dict.fromkeys(("clusters", "starts", "rounds", "projection", "sweeps"), COUNT),
    **dict.fromkeys(("period", "candidates", "batch_size", "steps"), COUNT),
    **dict.fromkeys(("explore", "exploit", "smoothing", "annealing", "min_keep"), SOME),
    **dict.fromkeys(("drop_path", "trim"), MOST),
    **dict.fromkeys(("epsilon", "hard_fraction"), SHARE),
    **dict.fromkeys(("rate", "damping", "temperature"), POSITIVE),
    **dict.fromkeys(("warmup_epochs", "ridge", "growth", "variance_weight"), NOT_NEGATIVE),
    "prune_ratio": INSIDE,
    "rise": Range(-1, 1, False, False),
    "initial_score": Range(-math.inf),
}
"""Option -> its range, wherever it is taken. An option that is not here is held to its type alone."""


def wrong(entry: tuple[str, str], options: Mapping[str, Any]) -> dict[str, str]:
    """Options whose value a registered class or function does not take -> what it takes.

    Args:
        entry: module and name, from :func:`orderdp.code_fingerprint.registry`.
        options: name -> value; those that it does not know are left out.
    """
    types = code.accepted(*entry)
    found = {}
    for name, value in options.items():
        allowed, span = types.get(name, (object,)), RANGES.get(name)
        if not _is_one_of(value, allowed):
            names = [str(each) for each in allowed if not isinstance(each, type) and each is not None]
            kinds = [KINDS.get(each, str(each)) for each in allowed if isinstance(each, type)]
            kinds += ["null"] if None in allowed else []
            found[name] = f"must be {' or '.join([*names, *kinds])}. Got {value!r}"
        elif span is not None and type(value) in (int, float) and not span.holds(value):
            found[name] = f"must be {span}. Got {value!r}"
    return found


KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _is_one_of(value: Any, allowed: tuple[Any, ...]) -> bool:
    kinds = tuple(each for each in allowed if isinstance(each, type))
    if isinstance(value, bool):
        return bool in kinds or object in kinds or value in [each for each in allowed if isinstance(each, bool)]
    if isinstance(value, int) and float in kinds:
        return True
    return isinstance(value, kinds) or any(value == each and type(value) is type(each) for each in allowed)
