"""Writing files so that they appear whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import csv
import io
import json
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any


def write(path: Path, content: bytes | str | Callable[[IO[bytes]], object]) -> None:
    """Writes a file under a temporary name beside it and renames it into place.

    Args:
        path: the file; folders on the way are made.
        content: bytes, text (as UTF-8 with LF line ends), or a function that fills the open file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Mapping[str, Any], compressed: bool = True) -> None:
    """Writes arrays by name as .npz."""
    import numpy as np  # here, since light modules import this one

    save: Callable[..., None] = np.savez_compressed if compressed else np.savez
    write(path, lambda file: save(file, **arrays))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a mapping as indented JSON; NaN and infinity become null."""
    write(path, json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The value with null for every NaN and infinity in it, which JSON does not have."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows of numbers as CSV; floats to the last digit, so that reading gives back the same bits. A missing
    value is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write(path, text.getvalue())


def is_deliberate(error: Exception) -> bool:
    """Whether a `raise` of this package made an error: then its message says everything. A mistake of ours, or of a
    library, needs its traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Path(last.filename).is_relative_to(Path(__file__).parent) and (last.line or "").startswith("raise ")
