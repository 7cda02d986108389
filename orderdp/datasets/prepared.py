"""The prepared form of a data set: four .npy files and a manifest, whole or not at all, checked at load."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from orderdp.datasets.base import Arrays, DatasetError, ImageDataset, appearing
from orderdp.datasets.search import find

FORMAT = 1
MANIFEST = "manifest.json"
# Others may leave their marks in a folder that we replace.
TOLERATED = {".gitignore", ".snakemake_timestamp"}


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set in memory.

    Attributes:
        name: key in `DATASETS`.
        train_images: uint8 (n_train, C, H, W); float32 (n_train, features, 1, 1) of a table.
        train_labels: int64 (n_train,).
        test_images: likewise.
        test_labels: int64 (n_test,).
        classes: number of classes.
        mean: per-channel mean to normalise by, in units of pixel / 255, or of a table's own.
        std: per-channel standard deviation to normalise by, in the same units.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """Planes of an image."""
        return self.train_images.shape[1]


def write_prepared(dataset: ImageDataset, out: Path, places: Sequence[Path] = ()) -> None:
    """Find, check and convert the raw files of a data set.

    The folder appears by renaming a finished one, so that an interruption leaves either the old folder, or
    none. The same raw files give the same bytes.

    Args:
        dataset: entry of `DATASETS`.
        out: folder to make; an older prepared data set in it is replaced.
        places: folders to look for the raw files in, before any other place.

    Raises:
        DatasetError: the raw files are missing or wrong, or `out` holds something else.
    """
    out = Path(out).resolve()
    _refuse_foreign(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as downloads, appearing(out) as finished:
        arrays, source = find(dataset, places, Path(downloads))
        _check_facts(dataset, arrays)
        files = {}
        for name, array in arrays._asdict().items():
            file = finished / f"{name}.npy"
            np.save(file, array)
            files[file.name] = {"shape": list(array.shape), "sha256": _sha256(file)}
        manifest = _facts(dataset) | {"source": source, "files": files}
        (finished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_prepared(dataset: ImageDataset, folder: Path) -> ImageData:
    """Load a prepared data set, checking every byte of it.

    Args:
        dataset: entry of `DATASETS`.
        folder: as given to :func:`write_prepared`.

    Raises:
        DatasetError: nothing is prepared there, or a file is damaged, or it was made from other raw files
            than those whose checksums its definition has.
    """
    folder = Path(folder)
    command = f"`python -m orderdp prepare --dataset {dataset.name}`"
    remedy = f"Delete {folder} and run {command}."
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {name: manifest["files"][f"{name}.npy"]["sha256"] for name in Arrays._fields}
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(
            f"The data set '{dataset.name}' is not prepared: {folder} has no {MANIFEST}. Run {command}."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{folder / MANIFEST} is damaged ({type(error).__name__}: {error}). {remedy}") from error
    for key, expected in _facts(dataset).items():
        if manifest.get(key) != expected:
            raise DatasetError(
                f"{folder / MANIFEST} describes other data: '{key}' expected {expected}, "
                f"got {manifest.get(key)}. {remedy}"
            )
    tensors = {name: _load_array(folder / f"{name}.npy", checksum, remedy) for name, checksum in files.items()}
    return ImageData(dataset.name, **tensors, classes=dataset.classes, mean=dataset.mean, std=dataset.std)


def _facts(dataset: ImageDataset) -> dict[str, object]:
    """What the manifest and the code must agree on."""
    return {"format": FORMAT, "name": dataset.name, "classes": dataset.classes, "raw": dict(dataset.raw)}


def _check_facts(dataset: ImageDataset, arrays: Arrays) -> None:
    train, test = (dataset.n_train,), (dataset.n_test,)
    expected = ((*train, *dataset.shape), train, (*test, *dataset.shape), test)
    for name, array, shape in zip(Arrays._fields, arrays, expected, strict=True):
        if array.shape != shape:
            raise DatasetError(f"The {name} of '{dataset.name}' must have shape {shape}. Got {array.shape}.")
        if name.endswith("labels") and (array.min() < 0 or array.max() >= dataset.classes):
            raise DatasetError(
                f"The {name} of '{dataset.name}' must be in 0..{dataset.classes - 1}. Got {array.min()}..{array.max()}."
            )


def _load_array(file: Path, expected: str, remedy: str) -> Tensor:
    got = _sha256(file) if file.is_file() else "no such file"
    if got != expected:
        raise DatasetError(f"{file} is damaged: expected sha256 {expected}, got {got}. {remedy}")
    return torch.from_numpy(np.load(file, allow_pickle=False))


def _refuse_foreign(out: Path) -> None:
    """Never remove what we did not make."""
    if not out.exists():
        return
    if not out.is_dir():
        raise DatasetError(f"{out} is a file; give a folder to prepare a data set in.")
    ours = {f"{name}.npy" for name in Arrays._fields} | {MANIFEST} | TOLERATED
    foreign = sorted(path.name for path in out.iterdir() if path.name not in ours)
    if foreign:
        raise DatasetError(
            f"{out} holds what is no prepared data set ({', '.join(foreign[:5])}); choose another folder."
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
