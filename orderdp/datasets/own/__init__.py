"""Data sets of one's own: files are looked through once, converted, and described, so that a description can stand in
`params.yaml` in place of code.

Images in folders of classes (`train/` and `test/`, or one folder, of which a share is held out), in Parquet files as
Hugging Face has them, and in NumPy archives; rows of tables in CSV and Parquet files and archives. All samples are kept
in memory: images as uint8 of one size, rows as float32.
"""

from __future__ import annotations

from orderdp.datasets.own.images import NeedsSize
from orderdp.datasets.own.looking import Description, Looked, look, prepare_own
from orderdp.datasets.own.stored import read_names, read_own, write_own

__all__ = ["Description", "Looked", "NeedsSize", "look", "prepare_own", "read_names", "read_own", "write_own"]
