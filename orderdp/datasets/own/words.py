"""How a message names files and columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orderdp.datasets.base import DatasetError

NAMED = 5
"""How many of a kind a message names."""


def named(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def refuse_broken(path: Path, broken: Sequence[str], skip_broken: bool) -> None:
    """Raises if there are broken files that are not to be left out.

    Raises:
        DatasetError: there are.
    """
    if broken and not skip_broken:
        raise DatasetError(
            f"{path}: {len(broken)} files are no readable images: {named(broken)}. Replace or remove them, or leave"
            " them out with --skip-broken."
        )


def left_out(broken: Sequence[str]) -> list[str]:
    """What there is to say of broken files that are left out."""
    return [f"{len(broken)} files are no readable images, and are left out: {named(broken)}"] if broken else []
