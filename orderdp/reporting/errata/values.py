"""What a function of the errata takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any]
"""Of the experiment `errata`: n, s and q of the paper's default split, and the least share that the released InfoBatch
keeps."""
Values = dict[str, Any]
"""What the texts of a row name in braces."""


def shares(settings: Settings) -> tuple[float, float]:
    """s/n and q/s of the default split."""
    return settings["s"] / settings["n"], settings["q"] / settings["s"]
