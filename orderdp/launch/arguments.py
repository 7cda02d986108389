"""Values of options on the command line, as argparse reads them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable


def named(text: str) -> str:
    """A name that is not empty, as it would be by a variable of the shell that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must be a name. Got {text!r}")
    return text


def number(least: int, most: int) -> Callable[[str], int]:
    """A whole number in a range."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number in [{least}, {most}]. Got {text[:40]!r}")
        return value

    return read


def between(low: float, high: float, *, with_high: bool = False) -> Callable[[str], float]:
    """A number above one end and below another, or up to it."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = low
        if not (low < value < high or (with_high and value == high)):
            ends = f"({low:g}, {high:g}{']' if with_high else ')'}"
            raise argparse.ArgumentTypeError(f"must be a number in {ends}. Got {text[:40]!r}")
        return value

    return read


def device_of(text: str) -> str:
    """The name of a device, such as cpu or cuda:1."""
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", text):
        raise argparse.ArgumentTypeError(f"must be cuda, cuda:N, mps or cpu. Got {text!r}")
    return text


def scale_of(text: str) -> str:
    """`scale=NAME` -> NAME."""
    key, _, name = text.partition("=")
    if key != "scale" or not name:
        raise argparse.ArgumentTypeError(f"takes only scale=NAME. Got {text!r}. Edit params.yaml")
    return name


UNITS = {"s": 1, "m": 60, "h": 3600}


def time_limit(text: str) -> float | None:
    """`30m`, `2h`, `90s` -> seconds; `none` -> None."""
    if text == "none":
        return None
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh])", text)
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"must be a time such as 30m, 2h or 90s, or none. Got {text[:40]!r}")
    return float(found[1]) * UNITS[found[2]]
