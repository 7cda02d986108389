"""What a data set is: its facts and how its raw files are read and checked.

These modules decide what a run trains on, so their text is part of every run's fingerprint. Where files are
looked for is not here but in `orderdp.datasets.search`, which may change without retraining anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np


class DatasetError(RuntimeError):
    """Files of a data set are missing, damaged or the wrong ones; the message names them and the remedy."""


class Arrays(NamedTuple):
    """A data set in memory: images uint8 (n, C, H, W), labels int64 (n,)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ImageDataset(ABC):
    """One entry of `DATASETS`: light facts, and :meth:`read` for the raw files.

    Attributes:
        name: key in `DATASETS`.
        classes: number of classes; labels are 0 .. classes - 1.
        shape: (channels, height, width) of an image.
        n_train: training samples.
        n_test: test samples.
        mean: per-channel mean of the training images, in units of pixel / 255.
        std: per-channel standard deviation of the training images, in the same units.
        raw: name of each raw file or array -> checksum that its content must have, as `algorithm:hex`.
        bundled_with: Python package that brings the raw data along; None where files must be searched for.
        system_folders: where operating systems' packages install the raw files.
        torchvision_name: class of `torchvision.datasets` that can download the raw files.
        wanted: the files that :meth:`read` looks for in a folder, in words, for messages.
    """

    name: str
    classes: int
    shape: tuple[int, int, int]
    n_train: int
    n_test: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    raw: Mapping[str, str]
    bundled_with: str | None = None
    system_folders: tuple[str, ...] = ()
    torchvision_name: str | None = None
    wanted: str = ""

    @abstractmethod
    def read(self, folder: Path) -> Arrays | None:
        """Read and check the raw files.

        Args:
            folder: where they may be; ignored where `bundled_with` says that a package brings them.

        Returns:
            The data set, or None where the folder lacks a file.

        Raises:
            DatasetError: a file is there but its content has another checksum.
        """


def verified(content: bytes, expected: str, where: str) -> bytes:
    """Return the content if it has the checksum.

    Args:
        content: what was read.
        expected: checksum, as `algorithm:hex`.
        where: file (and member) that it was read from, for the message.

    Raises:
        DatasetError: the checksum differs.
    """
    algorithm = expected.partition(":")[0]
    got = f"{algorithm}:{hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()}"
    if got != expected:
        raise DatasetError(
            f"Wrong checksum of {where}. Expected {expected}, got {got} ({len(content)} bytes): "
            "the file is damaged or another one. Delete or replace it."
        )
    return content


@contextlib.contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A folder to write in that takes the place of `out` when the block ends: an interruption leaves the old one, or
    none.

    Args:
        out: absolute.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        finished = Path(scratch, "finished")
        finished.mkdir()
        yield finished
        if out.exists():
            out.rename(Path(scratch, "old"))
        finished.rename(out)
