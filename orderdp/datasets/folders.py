"""Data sets of photographs that stay in their files: folders of classes, or tar shards, with an index of every sample.

Pruning chooses samples by their number, so every sample must be reachable by it. In folders a sample is a file. In
shards (the tar files of WebDataset: members `<key>.jpg` and `<key>.cls` side by side) the index holds, for every
sample, its shard and the offset and length of the image in it, found by reading the tar headers once when the data set
is prepared; later one read at that offset brings it. WebDataset's own readers stream a shard from its beginning, which
a selection cannot use.

The prepared form is small: names, labels and places as .npy files, a manifest, and a link `images` to where the files
lie. Its checksum covers names, sizes and labels, not the contents: reading 150 GB at every preparation would take
hours, and a file that cannot be decoded is named when it is met.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orderdp.datasets.base import DatasetError

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
OPEN_SHARDS = 64
"""Shards kept open by a process; ImageNet has more than a process may open files."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """One entry of `DATASETS` of this kind.

    Attributes:
        name: key in `DATASETS`.
        classes: number of classes of the whole data set.
        class_checksum: sha256 of the sorted names of all its classes, joined by line feeds; None to accept any.
        n_train: training samples of the whole data set; None to accept any number.
        n_test: likewise of the validation set, which serves as test set.
        subset: for development, the classes used: the first so many (in sorted order), or their names; None for all.
        mean: per channel, of pixels scaled to [0, 1].
        std: likewise.
        copy_of: key of the data set whose photographs are prepared as a smaller copy; None to read them where they lie.
        short_side: of the copy, the shorter side of each photograph, in pixels; smaller ones stay as they are.
    """

    name: str
    classes: int
    class_checksum: str | None
    n_train: int | None
    n_test: int | None
    subset: int | tuple[str, ...] | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    copy_of: str | None = None
    short_side: int | None = None

    @property
    def used_classes(self) -> int:
        """Number of classes after `subset`."""
        return (
            self.classes if self.subset is None else self.subset if isinstance(self.subset, int) else len(self.subset)
        )


class Found(NamedTuple):
    """The samples of one split."""

    names: list[str]
    labels: list[int]
    file: list[int]
    offset: list[int]
    size: list[int]
    in_shards: bool


@dataclass(eq=False)
class Split:
    """The training or test part: where each sample's bytes are.

    Attributes:
        root: folder that all files are below.
        names: names of the files (samples of folders, or shards), relative to `root`.
        labels: int64 (n,).
        file: int32 (n,), each sample's position in `names`.
        offset: int64 (n,), where its image starts in that file.
        size: int64 (n,), its bytes.
        in_shards: whether the files are tar shards.
    """

    root: Path
    names: Names
    labels: NDArray[np.int64]
    file: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    in_shards: bool
    _open: OrderedDict[int, int] = field(default_factory=OrderedDict, repr=False)

    def __len__(self) -> int:
        """Samples."""
        return len(self.labels)

    def path(self, index: int) -> str:
        """Where a sample is, for messages."""
        path = str(self.root / self.names[self.file[index]])
        return f"{path} (sample {index}, at byte {self.offset[index]})" if self.in_shards else path

    def read(self, index: int) -> bytes:
        """The encoded image of a sample.

        Raises:
            DatasetError: the file is gone, or shorter than when it was indexed.
        """
        try:
            if self.in_shards:
                content = os.pread(self._shard(int(self.file[index])), int(self.size[index]), int(self.offset[index]))
            else:
                content = (self.root / self.names[self.file[index]]).read_bytes()
        except OSError as error:
            raise DatasetError(
                f"{self.path(index)} cannot be read: {error.strerror}. Put it back, or prepare the data set again."
            ) from None
        if len(content) != self.size[index]:
            raise DatasetError(
                f"{self.path(index)} has changed: {self.size[index]} bytes when it was indexed, {len(content)} now. "
                "Put it back, or prepare the data set again."
            )
        return content

    def _shard(self, number: int) -> int:
        # `pread` moves no file position, so that workers may share what was open when they were forked.
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if len(self._open) >= OPEN_SHARDS:
            os.close(self._open.popitem(last=False)[1])
        self._open[number] = os.open(self.root / self.names[number], os.O_RDONLY)
        return self._open[number]

    def __getstate__(self) -> dict[str, object]:
        """Without open files, for workers that are spawned."""
        return {**self.__dict__, "_open": OrderedDict()}


class Names(Sequence[str]):
    """Many strings in one array of bytes: a list of a million paths would be copied into every worker, touch by touch.

    Args:
        text: uint8, all names as UTF-8, one after the other.
        ends: int64 (count,), where each ends.
    """

    def __init__(self, text: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.text, self.ends = text, ends

    @classmethod
    def of(cls, names: Sequence[str]) -> Names:
        """Packs names."""
        encoded = [name.encode() for name in names]
        ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        start = self.ends[index - 1] if index else 0
        return self.text[start : self.ends[index]].tobytes().decode()


@dataclass(frozen=True, eq=False)
class FolderData:
    """A data set whose images are read when they are needed.

    Attributes:
        name: key in `DATASETS`.
        train: training samples.
        test: test samples.
        classes: number of classes in use; labels are 0 .. classes - 1.
        mean: per channel, to normalise by, in units of pixel / 255.
        std: likewise.
        checksum: sha256 over names, sizes and labels.
    """

    name: str
    train: Split
    test: Split
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    checksum: str
    channels: int = 3

    @property
    def train_labels(self) -> Tensor:
        """int64 (n_train,)."""
        return torch.from_numpy(self.train.labels)

    @property
    def test_labels(self) -> Tensor:
        """int64 (n_test,)."""
        return torch.from_numpy(self.test.labels)
