"""Fashion-MNIST: 70,000 grey images of clothes, 28 x 28 pixels, 10 classes.

Source: H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms (2017). The files are in MNIST's idx format, usually gzipped. torchvision's reader would need them
decompressed in folders of its own, and does not check their content.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orderdp.datasets.base import Arrays, DatasetError, ImageDataset, verified


@dataclass(frozen=True, kw_only=True)
class FashionMnist(ImageDataset):
    """Four idx files, each gzipped (`.gz`) or plain, in the folder itself or where torchvision puts them
    below it."""

    def read(self, folder: Path) -> Arrays | None:
        """Read the four files of one folder."""
        for place in (folder, folder / "FashionMNIST" / "raw"):
            paths = [path for name in self.raw if (path := _existing(place / name)) is not None]
            if len(paths) == len(self.raw):
                train_images, train_labels, test_images, test_labels = (
                    parse_idx(verified(_content(path), expected, f"the content of {path}"), path)
                    for path, expected in zip(paths, self.raw.values(), strict=True)
                )
                return Arrays(
                    train_images[:, None],
                    train_labels.astype(np.int64),
                    test_images[:, None],
                    test_labels.astype(np.int64),
                )
        return None


def _existing(path: Path) -> Path | None:
    candidates = (path, path.with_name(path.name + ".gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _content(path: Path) -> bytes:
    """The file's bytes, decompressed: distributors compress the same content differently, so only the content
    has one checksum."""
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as stream:
            return stream.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path} is truncated or not a gzip file ({error}). Delete or replace it.") from error


def parse_idx(content: bytes, path: Path) -> np.ndarray:
    """Parse an idx file of unsigned bytes: two zero bytes, type 8, number of axes, big-endian uint32 sizes,
    then the values.

    Args:
        content: the whole file.
        path: for the message.

    Returns:
        uint8 array (read-only view of the content).

    Raises:
        DatasetError: header and length do not fit together.
    """
    axes = content[3] if content[:3] == b"\x00\x00\x08" and len(content) >= 4 else 0
    start = 4 + 4 * axes
    shape = tuple(np.frombuffer(content[4:start], dtype=">u4").tolist()) if len(content) >= start else ()
    if not shape or len(content) != start + int(np.prod(shape)):
        raise DatasetError(f"{path} is no idx file of unsigned bytes, or it is truncated. Delete or replace it.")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


FASHION_MNIST = FashionMnist(
    name="fashion_mnist",
    classes=10,
    shape=(1, 28, 28),
    n_train=60_000,
    n_test=10_000,
    # Computed from the training images; tests/datasets/test_fashion_mnist.py recomputes them.
    mean=(0.2860,),
    std=(0.3530,),
    # Order: as Arrays has them. Checksums of the decompressed files.
    raw={
        "train-images-idx3-ubyte": "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    system_folders=("/usr/share/datasets/fashion-mnist",),
    torchvision_name="FashionMNIST",
    wanted="{train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, with or without .gz",
)
