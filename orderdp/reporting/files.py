"""Writing report files: whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def write(path: Path, content: bytes | str) -> None:
    """Writes under a temporary name in the same folder and renames into place. Text is UTF-8 with LF line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a mapping as indented JSON."""
    write(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Writes a table of data. Ten digits: more than any number here means, fewer than differ between machines."""
    write(path, frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str | None:
    """Hex digest of a file; None if it does not exist."""
    return sha256(path.read_bytes()) if path.is_file() else None
