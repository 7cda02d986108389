"""Looks through a data set of one's own, converts it and describes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orderdp.datasets.base import DatasetError
from orderdp.datasets.own.finding import Files, Source, find
from orderdp.datasets.own.images import Decoder
from orderdp.datasets.own.photos import Photos
from orderdp.datasets.own.photos import index as photographs
from orderdp.datasets.own.stored import digest, write_own, write_photos
from orderdp.datasets.own.tables import LABEL, Table, numbers, statistics
from orderdp.datasets.own.words import NAMED, refuse_broken
from orderdp.pruning.rng import numpy_generator

HOLDOUT = 0.2
PHOTO = (3, 224, 224)
"""Shape of a photograph as networks usually see it, by which costs are estimated."""


@dataclass(frozen=True)
class Description:
    """What `params.yaml` says of a data set of one's own.

    Attributes:
        path: where its files are.
        size: side, in pixels, to which images are brought; None: they have one size already.
        holdout: share of each class that is held out as test part; None: the files have one.
        skip_broken: whether files that cannot be read, and rows without a label, are left out.
        label: column of a table's labels; None for "label".
        part: how many training samples were to be kept; None: all.
        photos: whether the images stay in their files; their shape is then a usual one.
        shape: (channels, height, width), or (features, 1, 1) of a table.
        classes: their names, in the order of the labels.
        n_train: training samples.
        n_test: test samples.
        mean: per channel, of pixels scaled to [0, 1], or per feature, over the training samples.
        std: likewise.
        digest: sha256 of all samples and labels.
    """

    path: str
    size: int | None
    holdout: float | None
    skip_broken: bool
    label: str | None
    part: int | None
    photos: bool
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    n_train: int
    n_test: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


@dataclass
class Looked:
    """A data set that was looked through: its arrays, its description, and what there is to say about it."""

    description: Description
    arrays: dict[str, NDArray[Any]]
    names: list[str]
    """Of the training samples."""
    notes: list[str]
    index: Photos | None = None
    """Of photographs that stay in their files; of them there are labels alone among the arrays."""
    repeated: int = 0
    """Training samples that repeat others, to the pixel."""

    def part(self, count: int) -> Looked:
        """The same with about so many training samples, each class in proportion; itself if it has no more."""
        if count >= len(self.names):
            return replace(self, description=replace(self.description, part=count))
        kept = _proportional(self.arrays["train_labels"], count, len(self.description.classes))
        arrays = self.arrays | {name: self.arrays[name][kept] for name in ("train_images", "train_labels")}
        mean, std = _statistics(arrays["train_images"], Path(self.description.path))
        facts: dict[str, Any] = {"part": count, "n_train": len(kept), "mean": mean, "std": std}
        facts["digest"] = digest(arrays)
        names = [self.names[index] for index in kept]
        notes = [*self.notes, f"{len(names):,} training samples are kept, each class in proportion"]
        return Looked(replace(self.description, **facts), arrays, names, notes, repeated=self.repeated)

    def write(self, name: str, out: Path) -> None:
        """Writes the prepared form, see :func:`write_own`."""
        told = self.description
        facts: dict[str, Any] = {"name": name, "classes": list(told.classes), "mean": told.mean, "std": told.std}
        facts |= {"digest": told.digest, "source": told.path}
        names = [name.removeprefix(f"{told.path}/") for name in self.names]
        if self.index is None:
            write_own(out, self.arrays, names, facts)
        else:
            parts = {"train": self.index.train, "test": self.index.test}
            write_photos(out, Path(told.path), parts, names, facts)


def look(
    path: Path,
    size: int | None = None,
    holdout: float | None = None,
    skip_broken: bool = False,
    label: str | None = None,
    part: int | None = None,
    photos: bool = False,
) -> Looked:
    """Looks through a data set and converts it.

    Args:
        path: a folder of classes, a folder of Parquet or CSV files, one such file, or an .npz archive.
        size: side of the square to which images are brought: the shorter side is resized to it, and the middle cut
            out. Needed where images differ in size.
        holdout: share of each class to hold out as test part, in (0, 0.5], where the files have none; 0.2 when None.
        skip_broken: leave out files that cannot be read, and rows without a label, instead of refusing them.
        label: column of a table's labels; "label" when None.
        part: training samples to keep, about so many, each class in proportion; all when None.
        photos: leave the images in their files, of any size; of folders of images.

    Raises:
        DatasetError: nothing usable is there; one line says what and where.
    """
    source = find(path)
    if source.test is not None and holdout is not None:
        raise DatasetError(f"{path} has a test part, so nothing is to be held out. Leave out --holdout.")
    held_out = (HOLDOUT if holdout is None else holdout) if source.test is None else None
    if photos:
        if size is not None or label is not None or part is not None:
            raise DatasetError("--photos leaves the images in their files, as they are. Leave out --size.")
        read, things = _photos(source, Path(path), held_out, skip_broken), "photographs"
    elif isinstance(source, Table):
        if size is not None:
            raise DatasetError(f"{path} is a table, whose rows have no size. Leave out --size.")
        read, things = _rows(source, held_out, skip_broken, label or LABEL), "rows"
    else:
        if label is not None:
            raise DatasetError(f"{path} holds images, whose labels are in no column. Leave out --label.")
        read, things = _images(source, path, size, held_out, skip_broken), "images"
    arrays = read.arrays
    notes = [f"{source.kind}: {len(read.classes)} classes", *source.notes, *read.notes]
    if held_out is not None:
        notes.append(f"no test part: {100 * held_out:g} % of each class are held out as one")
    of_equals, repeated = ([], 0) if photos else _duplicates(arrays, things)
    notes += [*_of_classes(arrays, read.classes, things), *of_equals]
    if read.photos is None:
        shape, checksum = arrays["train_images"].shape[1:], digest(arrays)
        mean, std = _statistics(arrays["train_images"], path)
    else:
        shape, checksum, mean, std = PHOTO, read.photos.digest, read.photos.mean, read.photos.std
    description = Description(
        path=str(Path(path).expanduser().resolve()),
        size=size,
        holdout=held_out,
        skip_broken=skip_broken,
        label=label,
        part=None,
        photos=photos,
        shape=shape,  # type: ignore[arg-type]
        classes=read.classes,
        n_train=len(read.names),
        n_test=len(arrays["test_labels"]),
        mean=mean,
        std=std,
        digest=checksum,
    )
    looked = Looked(description, arrays, read.names, notes, read.photos, repeated)
    return looked if part is None else looked.part(part)


class _Read(NamedTuple):
    """A data set's arrays by name, its classes, the names of its training samples, and what there is to say."""

    arrays: dict[str, NDArray[Any]]
    """Of photographs that stay in their files the labels alone."""
    classes: tuple[str, ...]
    names: list[str]
    notes: list[str]
    photos: Photos | None = None
    """Those that stay in their files."""


def _photos(source: Source | Table, path: Path, held_out: float | None, skip_broken: bool) -> _Read:
    if not isinstance(source, Source) or not isinstance(source.train, Files):
        raise DatasetError(
            f"{path} is no folder of images, so there are no files to leave them in. Leave out --photos."
        )
    _needs_two(path, source.classes)
    assert source.test is None or isinstance(source.test, Files)  # of the same kind
    chosen = None
    if held_out is not None:
        chosen = _held_out(np.array([label for _, label in source.train.places]), held_out, source.classes)
    index = photographs(source.train, source.test, path.expanduser(), chosen, skip_broken)
    labels = {"train_labels": np.array(index.train.labels), "test_labels": np.array(index.test.labels)}
    return _Read(labels, source.classes, index.train.names, index.notes, index)


def _images(source: Source, path: Path, size: int | None, held_out: float | None, skip_broken: bool) -> _Read:
    _needs_two(path, source.classes)
    decoder = Decoder(size)
    images, labels, names = decoder.all_of(source.train)
    if held_out is None:
        assert source.test is not None
        test_images, test_labels, _ = decoder.all_of(source.test)
    else:
        refuse_broken(path, decoder.broken, skip_broken)
        chosen = _held_out(labels, held_out, source.classes)
        test_images, test_labels = [images[i] for i in np.flatnonzero(chosen)], labels[chosen]
        images, labels = [images[i] for i in np.flatnonzero(~chosen)], labels[~chosen]
        names = [names[i] for i in np.flatnonzero(~chosen)]
    refuse_broken(path, decoder.broken, skip_broken)
    arrays: dict[str, NDArray[Any]] = {
        "train_images": decoder.stacked(images, path),
        "train_labels": labels,
        "test_images": decoder.stacked(test_images, path),
        "test_labels": test_labels,
    }
    return _Read(arrays, source.classes, names, decoder.notes())


def _rows(table: Table, held_out: float | None, skip_broken: bool, column: str) -> _Read:
    classes, labels, test_labels = table.labels(column, skip_broken)
    _needs_two(table.path, classes)
    train, test = table.train, table.test
    if held_out is not None:
        chosen = _held_out(labels, held_out, classes)
        train, test = train[~chosen], train[chosen]
        labels, test_labels = labels[~chosen], labels[chosen]
    values, test_values, notes = numbers(table.path, train, test)
    names = [f"row {index}" for index in train.index]
    arrays: dict[str, NDArray[Any]] = {
        "train_images": values[:, :, None, None],
        "train_labels": labels,
        "test_images": test_values[:, :, None, None],
        "test_labels": test_labels,
    }
    return _Read(arrays, classes, names, [f"{values.shape[1]} features", *notes])


def _needs_two(path: Path, classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise DatasetError(
            f"{path} has only the class {classes[0]!r}. A classifier needs two: a folder, or a label, for each class."
        )


def _statistics(images: NDArray[Any], path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, of pixels scaled to [0, 1], or of each feature."""
    if images.dtype != np.uint8:
        return statistics(images[:, :, 0, 0])
    scaled = images.transpose(1, 0, 2, 3).reshape(images.shape[1], -1)
    mean = tuple(round(float(plane.mean()) / 255, 4) for plane in scaled)
    std = tuple(round(float(plane.std()) / 255, 4) for plane in scaled)
    if min(std) == 0:
        raise DatasetError(f"All training images of {path} are the same in a channel: there is nothing to learn.")
    return mean, std


def _proportional(labels: NDArray[np.int64], part: int, classes: int) -> NDArray[np.int64]:
    """Numbers of about `part` samples, in order: of each class the same share, at least one, drawn with a fixed
    seed."""
    kept = []
    for label in range(classes):
        members = np.flatnonzero(labels == label)
        count = max(1, round(part * len(members) / len(labels)))
        kept.append(numpy_generator(0, "part", label).permutation(members)[:count])
    return np.sort(np.concatenate(kept))


def prepare_own(name: str, out: Path, path: Path, expected: str, **how: Any) -> None:
    """Prepares a data set that was described before.

    Args:
        name: of the data set.
        out: folder to make.
        path: where its files are.
        expected: its digest when it was described.
        how: as for :func:`look`.

    Raises:
        DatasetError: the files are not those that were described.
    """
    looked = look(path, **how)
    if looked.description.digest != expected:
        raise DatasetError(
            f"{path} has changed since '{name}' was described in params.yaml: expected {expected}, got"
            f" {looked.description.digest}. Put the files back, or describe them again: `python -m orderdp dataset add"
            f" {name} {path} --replace`."
        )
    looked.write(name, out)


def _held_out(labels: NDArray[np.int64], share: float, classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which samples are held out: the share of each class, at least one of it, drawn with a fixed seed."""
    chosen = np.zeros(len(labels), bool)
    for label, name in enumerate(classes):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DatasetError(
                f"The class {name!r} has {len(members)} samples: too few to hold one out for the test part."
            )
        count = min(len(members) - 1, max(1, round(share * len(members))))
        chosen[numpy_generator(0, "holdout", label).permutation(members)[:count]] = True
    return chosen


def _of_classes(arrays: dict[str, NDArray[Any]], classes: tuple[str, ...], things: str) -> Iterator[str]:
    counts = {part: np.bincount(arrays[f"{part}_labels"], minlength=len(classes)) for part in ("train", "test")}
    for part, count in counts.items():
        yield f"{part}: {count.sum():,} {things}, {count.min():,} to {count.max():,} of a class"
    if (without := np.flatnonzero(counts["train"] == 0)).size:
        raise DatasetError(f"The class {classes[without[0]]!r} has no training sample: nothing could learn it.")
    if (without := np.flatnonzero(counts["test"] == 0)).size:
        names = ", ".join(repr(classes[index]) for index in without[:NAMED])
        yield f"classes without a test sample, on which nothing is measured: {names}"


def _duplicates(arrays: dict[str, NDArray[Any]], things: str) -> tuple[list[str], int]:
    """What there is to say of equal samples, and how many of the training part repeat others."""
    notes, least = [], "pixel" if things == "images" else "digit"
    codes = {
        part: [hashlib.sha256(image.tobytes()).digest() for image in arrays[f"{part}_images"]]
        for part in ("train", "test")
    }
    known = set(codes["train"])
    if both := sum(code in known for code in codes["test"]):
        notes.append(
            f"{both:,} test {things} are in the training part, too, to the {least}: accuracy on them means nothing"
        )
    if repeated := len(codes["train"]) - len(known):
        notes.append(f"{repeated:,} training {things} are repetitions of others, to the {least}")
    return notes, repeated
