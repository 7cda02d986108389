"""The prepared form of a data set of one's own: four arrays and a manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from orderdp.datasets.base import DatasetError, appearing
from orderdp.datasets.folders import FolderData, Found
from orderdp.datasets.indexing import LINK, SPLITS, load_splits, save_splits
from orderdp.datasets.prepared import MANIFEST, ImageData

FORMAT = 1
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
"""A row of a table is an image of one pixel with a channel for each feature."""
NAMES = "train_names.json"


def digest(arrays: dict[str, NDArray[Any]]) -> str:
    """sha256 over shapes, pixels and labels, as `sha256:<hex>`."""
    checksum = hashlib.sha256()
    for name in ARRAYS:
        checksum.update(f"{name}{arrays[name].shape}{arrays[name].dtype}".encode())
        checksum.update(np.ascontiguousarray(arrays[name]).data)
    return f"sha256:{checksum.hexdigest()}"


def write_own(out: Path, arrays: dict[str, NDArray[Any]], names: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Writes a data set that was looked through. The folder appears whole or not at all.

    Args:
        out: folder to make; an older prepared data set in it is replaced.
        arrays: ARRAYS by name.
        names: of the training samples: a file, or a row.
        facts: of the manifest: `name`, `classes` by name, `mean`, `std`, `digest`, `source`.

    Raises:
        DatasetError: the folder holds something else.
    """
    out = Path(out).resolve()
    _refuse_foreign(out)
    with appearing(out) as finished:
        for array in ARRAYS:
            np.save(finished / f"{array}.npy", arrays[array])
        _describe(finished, names, facts)


def write_photos(
    out: Path, root: Path, found: Mapping[str, Found], names: Sequence[str], facts: Mapping[str, Any]
) -> None:
    """Writes the index of photographs that stay in their files. The folder appears whole or not at all.

    Args:
        out: folder to make; an older prepared data set in it is replaced.
        root: folder that all files are below.
        found: `train` and `test`.
        names: as for :func:`write_own`, like `facts`.

    Raises:
        DatasetError: the folder holds something else.
    """
    out = Path(out).resolve()
    _refuse_foreign(out)
    with appearing(out) as finished:
        files = save_splits(finished, root, found)
        samples = {split: len(some.labels) for split, some in found.items()}
        _describe(finished, names, {"photos": True, **facts, "samples": samples, "files": files})
        (finished / LINK).symlink_to(root.resolve(), target_is_directory=True)


def _describe(folder: Path, names: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Writes the names of the training samples and the manifest."""
    (folder / NAMES).write_text(json.dumps(list(names), ensure_ascii=False), encoding="utf-8")
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, **facts}, indent=2) + "\n", encoding="utf-8")


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not (out / MANIFEST).exists() and any(out.iterdir()):
        raise DatasetError(f"{out} holds what is no prepared data set. Choose another name.")


def read_own(name: str, folder: Path, expected: str) -> ImageData | FolderData:
    """Loads a data set of one's own, checking every byte of what was prepared.

    Args:
        name: under `datasets` in `params.yaml`.
        folder: where it was written.
        expected: its digest.

    Raises:
        DatasetError: it is not prepared, or it is another one, or its photographs are gone.
    """
    folder, remedy = Path(folder), f"Run `python -m orderdp prepare --dataset {name}`."
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        photos = manifest.get("photos", False)
        arrays = {} if photos else {array: np.load(folder / f"{array}.npy", allow_pickle=False) for array in ARRAYS}
        classes, mean, std = len(manifest["classes"]), tuple(manifest["mean"]), tuple(manifest["std"])
        got = manifest["digest"] if photos else digest(arrays)
    except FileNotFoundError as error:
        raise DatasetError(f"The data set '{name}' is not prepared: {error.filename} is missing. {remedy}") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError) as error:
        raise DatasetError(f"{folder} is damaged ({type(error).__name__}: {error}). Delete it. {remedy}") from error
    if got != expected:
        raise DatasetError(
            f"{folder} holds other data than params.yaml describes: expected {expected}, got {got}. Delete it. {remedy}"
        )
    if not photos:
        tensors = {array: torch.from_numpy(values) for array, values in arrays.items()}
        return ImageData(name, **tensors, classes=classes, mean=mean, std=std)
    root = folder / LINK
    if not root.is_dir():
        raise DatasetError(f"The photographs of '{name}' are gone: {os.readlink(root)} is not there. Put them back.")
    splits = load_splits(folder, root, manifest["files"], dict.fromkeys(SPLITS, False), f"Delete {folder}. {remedy}")
    return FolderData(name, splits["train"], splits["test"], classes, mean, std, expected)


def read_names(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the training samples and of the classes of a prepared data set; empty where they are not written."""
    try:
        names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        return names, json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["classes"]
    except (OSError, ValueError, KeyError):
        return [], []
