"""Finds the samples of a data set of one's own: files in folders, rows of Parquet files, arrays of an archive."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orderdp.datasets.base import DatasetError
from orderdp.datasets.folders import SUFFIXES
from orderdp.datasets.own.stored import ARRAYS
from orderdp.datasets.own.tables import LABEL, Table

TESTS = ("test", "val", "valid", "validation", "dev")
"""Names of the folder or file of the test part, the first that is there."""
TABLES = (".parquet", ".csv")
FEATURES = ("train_features", "test_features")


class Raw(NamedTuple):
    """One sample as it lies in its file."""

    where: str
    """For messages: a path, or a file and a row."""
    label: int
    content: bytes | NDArray[np.uint8]
    """An encoded image, or pixels (H, W) or (H, W, C)."""


@dataclass
class Source:
    """What was found at a path: the samples of each part, not decoded yet."""

    kind: str
    """In words."""
    classes: tuple[str, ...]
    train: Sequence[Raw]
    test: Sequence[Raw] | None
    """None: a share of `train` is to be held out."""
    notes: list[str] = field(default_factory=list)


def find(path: Path) -> Source | Table:
    """The samples of a data set, by what lies at the path.

    Raises:
        DatasetError: nothing that is known.
    """
    path = Path(path).expanduser()
    if path.is_file() and path.suffix == ".npz":
        return _archive(path)
    if path.is_file() and path.suffix in TABLES:
        return _files_of_rows(path, [path])
    if not path.is_dir():
        raise DatasetError(
            f"{path} is no folder, no .parquet or .csv file and no .npz archive."
            if path.exists()
            else f"{path} is not there. Name the folder, the .parquet or .csv file or the .npz archive of the data set."
        )
    for suffix in TABLES:
        if files := sorted(path.rglob(f"*{suffix}")):
            return _files_of_rows(path, files)
    return _folders(path)


def _folders(path: Path) -> Source:
    train = path / "train"
    if not train.is_dir():
        classes = _classes(path)
        samples, notes = _in_classes(path, classes)
        return Source("folders of images", classes, samples, None, notes)
    test = next((path / name for name in TESTS if (path / name).is_dir()), None)
    classes = _classes(train)
    samples, notes = _in_classes(train, classes)
    if test is None:
        return Source("folders of images", classes, samples, None, notes)
    if others := [name for name in _classes(test) if name not in classes]:
        raise DatasetError(f"{test / others[0]} is a class that {train} does not have: nothing could learn it.")
    held, more = _in_classes(test, tuple(name for name in classes if (test / name).is_dir()), classes)
    return Source(f"folders of images, train and {test.name}", classes, samples, held, [*notes, *more])


def _classes(folder: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise DatasetError(f"{folder} has no folder per class. Sort its images into folders, one for each class.")
    return tuple(names)


def _in_classes(
    folder: Path, present: tuple[str, ...], classes: tuple[str, ...] | None = None
) -> tuple[Sequence[Raw], list[str]]:
    """The samples in the folders of classes, labelled by their place among `classes`, and what was left aside."""
    samples, others = Files(), Counter[str]()
    numbers = {name: label for label, name in enumerate(classes or present)}
    for name in present:
        before = len(samples)
        for file in sorted(_files(folder / name)):
            if Path(file).suffix.lower() in SUFFIXES:
                samples.add(file, numbers[name])
            else:
                others[Path(file).suffix.lower() or "no suffix"] += 1
        if len(samples) == before:
            raise DatasetError(
                f"{folder / name} holds no image ({', '.join(SUFFIXES)}). Remove the folder, or fill it."
            )
    ignored = ", ".join(f"{count} ({suffix})" for suffix, count in sorted(others.items()))
    return samples, [f"files that are no images, left aside: {ignored}"] if ignored else []


def _files(folder: Path) -> Iterator[str]:
    """Files below a folder, in whatever folders; a link to a file is one, links to folders are not followed."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                yield str(Path(place, name))


class Files(Sequence[Raw]):
    """Samples in files, read when they are needed."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._labels: list[int] = []

    def add(self, path: str, label: int) -> None:
        self._paths.append(path)
        self._labels.append(label)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def places(self) -> list[tuple[str, int]]:
        """Path and label of each sample."""
        return list(zip(self._paths, self._labels, strict=True))

    def __getitem__(self, index: int) -> Raw:  # type: ignore[override]
        path = self._paths[index]
        try:
            return Raw(path, self._labels[index], Path(path).read_bytes())
        except OSError:  # a link to nothing, or no right to read
            return Raw(path, self._labels[index], b"")


def _files_of_rows(path: Path, files: list[Path]) -> Source | Table:
    """Parquet or CSV files, whose names begin with the part."""
    parts: dict[str, list[Path]] = {}
    for table in files:
        part = next((name for name in ("train", *TESTS) if table.name.startswith(name)), "train")
        parts.setdefault("train" if part == "train" else "test", []).append(table)
    if "train" not in parts:
        raise DatasetError(f"{path} has no file of training samples: its name begins with 'train'.")
    suffix = parts["train"][0].suffix
    if suffix == ".csv" or "image" not in _columns(parts["train"][0]):
        kind = "a table in CSV" if suffix == ".csv" else "a table in Parquet"
        frames = {part: _frame(some) for part, some in parts.items()}
        return Table(kind, path, frames["train"], frames.get("test"))
    return _images_in_rows(path, parts)


def _columns(file: Path) -> list[str]:
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(file).names)
    except Exception as error:  # pyarrow raises many kinds
        raise DatasetError(f"{file} is no Parquet file: {str(error).splitlines()[0]}.") from error


def _frame(files: list[Path]) -> Any:
    import pandas as pd

    frames = []
    for file in files:
        try:
            frames.append(pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file))
        except Exception as error:  # pandas raises many kinds
            raise DatasetError(f"{file} is no table: {str(error).strip().splitlines()[0]}.") from error
    return pd.concat(frames, ignore_index=True)


def _images_in_rows(path: Path, parts: dict[str, list[Path]]) -> Source:
    """Columns `image` (a struct with `bytes`) and `label`."""
    names: tuple[str, ...] = ()
    rows: dict[str, list[Raw]] = {}
    for part, files in parts.items():
        rows[part] = []
        for file in files:
            found, given = _rows(file)
            names = names or given
            rows[part] += found
    return Source("Parquet files", _numbered(path, names, *rows.values()), rows["train"], rows.get("test"))


def _numbered(path: Path, names: Sequence[str], *parts: Sequence[Raw]) -> tuple[str, ...]:
    """Names of the classes; their numbers where none are given. Raises for a label that is none of them."""
    labels = {raw.label for part in parts for raw in part}
    names = tuple(names) or tuple(str(label) for label in range(max(labels, default=0) + 1))
    if labels and (min(labels) < 0 or max(labels) >= len(names)):
        raise DatasetError(f"{path}: labels must be in 0..{len(names) - 1}. Got {min(labels)} to {max(labels)}.")
    return tuple(names)


def _rows(file: Path) -> tuple[list[Raw], tuple[str, ...]]:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except Exception as error:  # pyarrow raises many kinds
        raise DatasetError(f"{file} is no Parquet file: {str(error).splitlines()[0]}.") from error
    missing = [name for name in ("image", "label") if name not in table.column_names]
    if missing:
        raise DatasetError(f"{file} has no column '{missing[0]}'. It has: {', '.join(table.column_names)}.")
    images, labels = table.column("image").to_pylist(), table.column("label").to_pylist()
    rows = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        content = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(label, int) or isinstance(label, bool):
            raise DatasetError(f"{file}, row {number}: 'label' must be a whole number. Got {label!r}.")
        rows.append(Raw(f"{file}, row {number}", label, content if isinstance(content, bytes) else b""))
    described = (table.schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        names = json.loads(described)["info"]["features"]["label"]["names"]
    except (ValueError, KeyError, TypeError):
        names = ()
    return rows, tuple(map(str, names))


def _archive(path: Path) -> Source | Table:
    """`train_images` uint8 (n, H, W) or (n, H, W, C) or (n, C, H, W), or `train_features` (n, d), `train_labels` (n,),
    and the test part."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in (*ARRAYS, *FEATURES)}
            names = archive["classes"].astype(str).tolist() if "classes" in archive.files else []
    except Exception as error:  # of zip files, NumPy and pickles
        raise DatasetError(f"{path} is no archive of NumPy arrays: {str(error).splitlines()[0]}.") from error
    if FEATURES[0] in arrays:
        return _features(path, arrays)
    for name in ARRAYS[:2]:
        if name not in arrays:
            raise DatasetError(
                f"{path} has no array '{name}' (of rows: 'train_features'). It has: {', '.join(arrays) or 'no other'}."
            )
    parts: dict[str, list[Raw] | None] = {"train": None, "test": None}
    for part in parts:
        if f"{part}_images" not in arrays:
            continue
        images, labels = arrays[f"{part}_images"], arrays.get(f"{part}_labels", np.empty(0))
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise DatasetError(
                f"{path}: '{part}_images' must be uint8 of (n, H, W), (n, H, W, C) or (n, C, H, W). Got {images.dtype}"
                f" {images.shape}."
            )
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise DatasetError(
                f"{path}: '{part}_labels' must be {len(images)} whole numbers. Got {labels.dtype} {labels.shape}."
            )
        if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
            images = images.transpose(0, 2, 3, 1)
        parts[part] = [
            Raw(f"{path}, {part} image {i}", int(label), image)
            for i, (image, label) in enumerate(zip(images, labels, strict=True))
        ]
    train, test = parts["train"] or [], parts["test"]
    return Source("NumPy arrays", _numbered(path, names, train, test or []), train, test)


def _features(path: Path, arrays: dict[str, NDArray[Any]]) -> Table:
    import pandas as pd

    frames: list[Any] = []
    for part in ("train", "test"):
        if f"{part}_features" not in arrays:
            frames.append(None)
            continue
        values, labels = arrays[f"{part}_features"], arrays.get(f"{part}_labels", np.empty(0))
        if values.ndim != 2 or values.dtype.kind not in "iufb":
            raise DatasetError(f"{path}: '{part}_features' must be numbers (n, d). Got {values.dtype} {values.shape}.")
        if labels.shape != values.shape[:1]:
            raise DatasetError(f"{path}: '{part}_labels' must be {len(values)} labels. Got {labels.shape}.")
        frame = pd.DataFrame(values, columns=[f"feature {place}" for place in range(values.shape[1])])
        frames.append(pd.concat([frame, pd.Series(labels, name=LABEL)], axis=1))
    return Table("NumPy arrays of rows", path, frames[0], frames[1])
