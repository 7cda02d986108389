"""Report files: data frames, and digests."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from orderdp.files import write, write_json

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["sha256", "sha256_of", "write", "write_csv", "write_json"]


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Writes a table of data. Ten digits: more than any number here means, fewer than differ between machines."""
    write(path, frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str | None:
    """Hex digest of a file; None if it does not exist."""
    return sha256(path.read_bytes()) if path.is_file() else None
