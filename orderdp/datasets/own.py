"""Data sets of one's own: files are looked through once, converted, and described, so that a description can stand in
`params.yaml` in place of code.

Folders of classes (`train/` and `test/`, or one folder, of which a share is held out), Parquet files as Hugging Face
has them, and NumPy archives. Every image is kept in memory as uint8, all of one size.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from orderdp.datasets.base import DatasetError
from orderdp.datasets.folders import SUFFIXES
from orderdp.datasets.prepared import MANIFEST, ImageData
from orderdp.pruning.rng import numpy_generator

FORMAT = 1
TESTS = ("test", "val", "valid", "validation", "dev")
"""Names of the folder or file of the test part, the first that is there."""
HOLDOUT = 0.2
MOST_BYTES = 4 * 2**30
"""Of all images in memory."""
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
NAMED = 5
"""How many of a kind of file a message names."""


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


@dataclass(frozen=True)
class Description:
    """What `params.yaml` says of a data set of one's own.

    Attributes:
        path: where its files are.
        size: side, in pixels, to which images are brought; None: they have one size already.
        holdout: share of each class that is held out as test part; None: the files have one.
        skip_broken: whether files that cannot be read are left out.
        shape: (channels, height, width).
        classes: their names, in the order of the labels.
        n_train: training samples.
        n_test: test samples.
        mean: per channel, of pixels scaled to [0, 1], over the training images.
        std: likewise.
        digest: sha256 of all pixels and labels.
    """

    path: str
    size: int | None
    holdout: float | None
    skip_broken: bool
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
    notes: list[str]


def look(path: Path, size: int | None = None, holdout: float | None = None, skip_broken: bool = False) -> Looked:
    """Looks through a data set and converts it.

    Args:
        path: a folder of classes, a folder of Parquet files, one such file, or an .npz archive.
        size: side of the square to which images are brought: the shorter side is resized to it, and the middle cut
            out. Needed where images differ in size.
        holdout: share of each class to hold out as test part, in (0, 0.5], where the files have none; 0.2 when None.
        skip_broken: leave out files that cannot be read, instead of refusing them.

    Raises:
        DatasetError: nothing usable is there; one line says what and where.
    """
    source = find(path)
    if len(source.classes) < 2:
        raise DatasetError(
            f"{path} has only the class {source.classes[0]!r}. A classifier needs two: a folder for each class."
        )
    notes = [f"{source.kind}: {len(source.classes)} classes", *source.notes]
    decoder = _Decoder(size, skip_broken)
    train_images, train_labels = decoder.all_of(source.train)
    held_out = None
    if source.test is None:
        held_out = HOLDOUT if holdout is None else holdout
        is_test = _held_out(train_labels, held_out, source.classes)
        test_images, test_labels = [train_images[i] for i in np.flatnonzero(is_test)], train_labels[is_test]
        train_images, train_labels = [train_images[i] for i in np.flatnonzero(~is_test)], train_labels[~is_test]
        notes.append(f"no test part: {100 * held_out:g} % of each class are held out as one")
    elif holdout is not None:
        raise DatasetError(f"{path} has a test part, so nothing is to be held out. Leave out --holdout.")
    else:
        test_images, test_labels = decoder.all_of(source.test)
    decoder.refuse(path)
    arrays: dict[str, NDArray[Any]] = {
        "train_images": decoder.stacked(train_images, path),
        "train_labels": train_labels,
        "test_images": decoder.stacked(test_images, path),
        "test_labels": test_labels,
    }
    notes += [*decoder.notes(), *_of_classes(arrays, source.classes), *_duplicates(arrays)]
    scaled = arrays["train_images"].transpose(1, 0, 2, 3).reshape(arrays["train_images"].shape[1], -1)
    mean = tuple(round(float(plane.mean()) / 255, 4) for plane in scaled)
    std = tuple(round(float(plane.std()) / 255, 4) for plane in scaled)
    if min(std) == 0:
        raise DatasetError(f"All training images of {path} are the same in a channel: there is nothing to learn.")
    description = Description(
        path=str(Path(path).resolve()),
        size=size,
        holdout=held_out,
        skip_broken=skip_broken,
        shape=arrays["train_images"].shape[1:],  # type: ignore[arg-type]
        classes=source.classes,
        n_train=len(train_labels),
        n_test=len(test_labels),
        mean=mean,
        std=std,
        digest=digest(arrays),
    )
    return Looked(description, arrays, notes)


def digest(arrays: dict[str, NDArray[Any]]) -> str:
    """sha256 over shapes, pixels and labels, as `sha256:<hex>`."""
    checksum = hashlib.sha256()
    for name in ARRAYS:
        checksum.update(f"{name}{arrays[name].shape}{arrays[name].dtype}".encode())
        checksum.update(np.ascontiguousarray(arrays[name]).data)
    return f"sha256:{checksum.hexdigest()}"


# Finding


def find(path: Path) -> Source:
    """The samples of a data set, by what lies at the path.

    Raises:
        DatasetError: nothing that is known.
    """
    path = Path(path).expanduser()
    if path.is_file() and path.suffix == ".npz":
        return _archive(path)
    if path.is_file() and path.suffix == ".parquet":
        return _parquet(path, [path])
    if not path.is_dir():
        raise DatasetError(
            f"{path} is no folder, no .parquet file and no .npz archive."
            if path.exists()
            else f"{path} is not there. Name the folder, the .parquet file or the .npz archive of the data set."
        )
    if tables := sorted(path.rglob("*.parquet")):
        return _parquet(path, tables)
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
    samples, others = _Files(), Counter[str]()
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


class _Files(Sequence[Raw]):
    """Samples in files, read when they are needed."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._labels: list[int] = []

    def add(self, path: str, label: int) -> None:
        self._paths.append(path)
        self._labels.append(label)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Raw:  # type: ignore[override]
        path = self._paths[index]
        try:
            return Raw(path, self._labels[index], Path(path).read_bytes())
        except OSError:  # a link to nothing, or no right to read
            return Raw(path, self._labels[index], b"")


def _parquet(path: Path, tables: list[Path]) -> Source:
    """Columns `image` (a struct with `bytes`) and `label`, in files whose names begin with the part."""
    parts: dict[str, list[Path]] = {}
    for table in tables:
        part = next((name for name in ("train", *TESTS) if table.name.startswith(name)), "train")
        parts.setdefault("train" if part == "train" else "test", []).append(table)
    if "train" not in parts:
        raise DatasetError(f"{path} has no Parquet file of training samples: its name begins with 'train'.")
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


def _archive(path: Path) -> Source:
    """`train_images` uint8 (n, H, W) or (n, H, W, C) or (n, C, H, W), `train_labels` (n,), and the test part."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in ARRAYS}
            names = archive["classes"].astype(str).tolist() if "classes" in archive.files else []
    except Exception as error:  # of zip files, NumPy and pickles
        raise DatasetError(f"{path} is no archive of NumPy arrays: {str(error).splitlines()[0]}.") from error
    for name in ARRAYS[:2]:
        if name not in arrays:
            raise DatasetError(f"{path} has no array '{name}'. It has: {', '.join(arrays) or 'none of ours'}.")
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


# Decoding


class _Decoder:
    """Brings images of all kinds to uint8 (H, W, C), and notes what it met."""

    def __init__(self, size: int | None, skip_broken: bool) -> None:
        self.size, self.skip_broken = size, skip_broken
        self.broken: list[str] = []
        self.met: Counter[str] = Counter()
        self.sides: Counter[tuple[int, int]] = Counter()
        self.coloured = False

    def all_of(self, samples: Sequence[Raw]) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
        images, labels = [], []
        for index in range(len(samples)):
            raw = samples[index]
            image = self._pixels(raw)
            if image is not None:
                images.append(image)
                labels.append(raw.label)
        return images, np.array(labels, np.int64)

    def refuse(self, path: Path) -> None:
        """Raises if there were broken files that are not to be skipped."""
        if self.broken and not self.skip_broken:
            raise DatasetError(
                f"{path}: {len(self.broken)} files are no readable images: {self._named()}. Replace or remove them, or"
                " leave them out with --skip-broken."
            )

    def stacked(self, images: list[NDArray[np.uint8]], path: Path) -> NDArray[np.uint8]:
        """uint8 (n, C, H, W), of one size and one number of channels."""
        if len(self.sides) > 1:
            (small, *_), (large, *_) = sorted(self.sides), sorted(self.sides, reverse=True)
            raise DatasetError(
                f"{path}: the images differ in size, from {small[1]} x {small[0]} to {large[1]} x {large[0]} pixels."
                " Bring them to one: --size 32, for example."
            )
        if not images:
            raise DatasetError(f"{path} has a part without any image.")
        shape = (len(images), 3 if self.coloured else 1, *images[0].shape[:2])
        if (size := math.prod(shape)) > MOST_BYTES:
            raise DatasetError(
                f"{path}: its images take {size / 2**30:.1f} GiB, and at most {MOST_BYTES / 2**30:g} are kept"
                " in memory. Make them smaller: --size 64, for example."
            )
        whole = np.empty(shape, np.uint8)
        for index, image in enumerate(images):
            whole[index] = image.transpose(2, 0, 1)  # one channel is repeated where three are needed
        return whole

    def notes(self) -> list[str]:
        found = [f"{count} images {what}" for what, count in sorted(self.met.items())]
        if self.broken:
            found.append(f"{len(self.broken)} files are no readable images, and are left out: {self._named()}")
        return found

    def _named(self) -> str:
        more = f" and {len(self.broken) - NAMED} more" if len(self.broken) > NAMED else ""
        return ", ".join(self.broken[:NAMED]) + more

    def _pixels(self, raw: Raw) -> NDArray[np.uint8] | None:
        from PIL import Image, ImageOps

        try:
            encoded = isinstance(raw.content, bytes)
            opened: Image.Image = (
                Image.open(io.BytesIO(raw.content)) if encoded else Image.fromarray(raw.content.squeeze())  # type: ignore[arg-type, union-attr]
            )
            opened.load()
            image = ImageOps.exif_transpose(opened)
        except Exception:  # PIL raises many kinds
            self.broken.append(raw.where)
            return None
        if opened.getexif().get(0x0112, 1) != 1:
            self.met["were turned as their EXIF data say"] += 1
        if image.mode.startswith(("I", "F")):
            self.met["have 16 bits a channel or more, brought to 8"] += 1
            deep = np.asarray(image, np.float64)
            image = Image.fromarray((deep / (257 if deep.max() > 255 else 1)).clip(0, 255).astype(np.uint8))
        if image.mode == "CMYK":
            self.met["have the colours of print (CMYK), brought to RGB"] += 1
        elif image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            self.met["are transparent in places, which is left out of account"] += 1
        grey = image.mode in ("L", "LA", "1")
        image = image.convert("L" if grey else "RGB")
        self.coloured = self.coloured or not grey
        self.met["are grey" if grey else "are coloured"] += 1
        if self.size is not None:
            image = ImageOps.fit(image, (self.size, self.size), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        self.sides[pixels.shape[:2]] += 1  # type: ignore[index]
        return pixels[:, :, None] if grey else pixels


# What there is to say


def _held_out(labels: NDArray[np.int64], share: float, classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which samples are held out: the share of each class, at least one of it, drawn with a fixed seed."""
    chosen = np.zeros(len(labels), bool)
    for label, name in enumerate(classes):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DatasetError(
                f"The class {name!r} has {len(members)} images: too few to hold one out for the test part."
            )
        count = min(len(members) - 1, max(1, round(share * len(members))))
        chosen[numpy_generator(0, "holdout", label).permutation(members)[:count]] = True
    return chosen


def _of_classes(arrays: dict[str, NDArray[Any]], classes: tuple[str, ...]) -> Iterator[str]:
    counts = {part: np.bincount(arrays[f"{part}_labels"], minlength=len(classes)) for part in ("train", "test")}
    for part, count in counts.items():
        yield f"{part}: {count.sum():,} images, {count.min():,} to {count.max():,} of a class"
    if (without := np.flatnonzero(counts["train"] == 0)).size:
        raise DatasetError(f"The class {classes[without[0]]!r} has no training image: nothing could learn it.")
    if (without := np.flatnonzero(counts["test"] == 0)).size:
        names = ", ".join(repr(classes[index]) for index in without[:NAMED])
        yield f"classes without a test image, on which nothing is measured: {names}"


def _duplicates(arrays: dict[str, NDArray[Any]]) -> Iterator[str]:
    codes = {
        part: [hashlib.sha256(image.tobytes()).digest() for image in arrays[f"{part}_images"]]
        for part in ("train", "test")
    }
    known = set(codes["train"])
    if both := sum(code in known for code in codes["test"]):
        yield f"{both:,} test images are in the training part, too, to the pixel: the accuracy on them means nothing"
    if repeated := len(codes["train"]) - len(known):
        yield f"{repeated:,} training images are repetitions of others, to the pixel"


# The prepared form


def write_own(looked: Looked, name: str, out: Path) -> None:
    """Writes a data set that was looked through: four arrays and a manifest. The folder appears whole or not at all.

    Raises:
        DatasetError: the folder holds something else.
    """
    out = Path(out).resolve()
    if out.exists() and not (out / MANIFEST).exists() and any(out.iterdir()):
        raise DatasetError(f"{out} holds what is no prepared data set. Choose another name.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        finished = Path(scratch, "finished")
        finished.mkdir()
        for array, values in looked.arrays.items():
            np.save(finished / f"{array}.npy", values)
        told = looked.description
        manifest = {
            "format": FORMAT,
            "name": name,
            "classes": list(told.classes),
            "mean": told.mean,
            "std": told.std,
            "digest": told.digest,
            "source": told.path,
        }
        (finished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if out.exists():
            out.rename(Path(scratch, "old"))
        finished.rename(out)


def prepare_own(
    name: str, out: Path, path: Path, size: int | None, holdout: float | None, skip_broken: bool, expected: str
) -> None:
    """Prepares a data set that was described before.

    Args:
        name: of the data set.
        out: folder to make.
        path: as for :func:`look`, like `size`, `holdout` and `skip_broken`.
        expected: its digest when it was described.

    Raises:
        DatasetError: the files are not those that were described.
    """
    looked = look(path, size, holdout, skip_broken)
    if looked.description.digest != expected:
        raise DatasetError(
            f"{path} has changed since '{name}' was described in params.yaml: expected {expected}, got"
            f" {looked.description.digest}. Put the files back, or describe them again: `python -m orderdp dataset add"
            f" {name} {path} --replace`."
        )
    write_own(looked, name, out)


def read_own(name: str, folder: Path, expected: str) -> ImageData:
    """Loads a data set of one's own, checking every byte of it.

    Args:
        name: under `datasets` in `params.yaml`.
        folder: as given to :func:`write_own`.
        expected: its digest.

    Raises:
        DatasetError: it is not prepared, or it is another one.
    """
    remedy = f"Run `python -m orderdp prepare --dataset {name}`."
    try:
        manifest = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))
        arrays = {array: np.load(Path(folder) / f"{array}.npy", allow_pickle=False) for array in ARRAYS}
        classes, mean, std = manifest["classes"], tuple(manifest["mean"]), tuple(manifest["std"])
    except FileNotFoundError as error:
        raise DatasetError(f"The data set '{name}' is not prepared: {error.filename} is missing. {remedy}") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DatasetError(f"{folder} is damaged ({type(error).__name__}: {error}). Delete it. {remedy}") from error
    if (got := digest(arrays)) != expected:
        raise DatasetError(
            f"{folder} holds other data than params.yaml describes: expected {expected}, got {got}. Delete it. {remedy}"
        )
    tensors = {array: torch.from_numpy(values) for array, values in arrays.items()}
    return ImageData(name, **tensors, classes=len(classes), mean=mean, std=std)
