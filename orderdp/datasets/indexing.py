"""Finds the samples of a data set of photographs, and writes and reads its index."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orderdp.datasets.base import DatasetError, appearing
from orderdp.datasets.folders import SUFFIXES, FolderData, Folders, Found, Names, Split

FORMAT = 1
MANIFEST = "manifest.json"
LINK = "images"
SPLITS = {"train": "train", "test": "val"}
"""Our name of a split -> the name of its folder."""
ARRAYS = ("labels", "file", "offset", "size")


def write_index(dataset: Folders, out: Path, places: Sequence[Path]) -> None:
    """Index a data set of photographs.

    Args:
        dataset: entry of `DATASETS`.
        out: folder to make; an older index in it is replaced. It appears whole or not at all.
        places: folders, of which the first that exists must hold the data set: `train/` and `val/` with a folder per
            class, or with tar shards. Of a smaller copy: the photographs to copy.

    Raises:
        DatasetError: no place exists, or the first one that does is not as it should be; names the path.
    """
    out = Path(out).resolve()
    _refuse_foreign(out)
    root = _root(dataset, places)
    found = find_samples(dataset, root)
    out.parent.mkdir(parents=True, exist_ok=True)
    copies = None
    if dataset.short_side is not None:
        from orderdp.datasets.shrinking import shrink  # needs PIL

        copies = out.parent / f".{out.name}-copies"
        found = shrink({split: as_split(root, samples) for split, samples in found.items()}, dataset.short_side, copies)
    with appearing(out) as finished:
        files = save_splits(finished, root, found)
        manifest = _facts(dataset) | {
            "checksum": _checksum(found),
            "samples": {split: len(samples.labels) for split, samples in found.items()},
            "in_shards": {split: samples.in_shards for split, samples in found.items()},
            "files": files,
        }
        (finished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if copies is None:
            (finished / LINK).symlink_to(root.resolve(), target_is_directory=True)
        else:
            copies.rename(finished / LINK)


def find_samples(dataset: Folders, root: Path) -> dict[str, Found]:
    """The samples of each split below a folder.

    Raises:
        DatasetError: the folder is not as it should be; names the path.
    """
    found = {split: _find(dataset, root, folder) for split, folder in SPLITS.items()}
    for split, expected in (("train", dataset.n_train), ("test", dataset.n_test)):
        count = len(found[split].labels)
        if dataset.subset is None and expected is not None and count != expected:
            raise DatasetError(
                f"{root / SPLITS[split]} holds {count} images; '{dataset.name}' has {expected}. Extract it again,"
                " completely."
            )
    return found


def as_split(root: Path, samples: Found) -> Split:
    """Samples that were found, to be read."""
    return Split(
        root=root,
        names=Names.of(samples.names),
        labels=np.array(samples.labels, np.int64),
        file=np.array(samples.file, np.int32),
        offset=np.array(samples.offset, np.int64),
        size=np.array(samples.size, np.int64),
        in_shards=samples.in_shards,
    )


def save_splits(out: Path, root: Path, found: Mapping[str, Found]) -> dict[str, str]:
    """Writes the places of the samples of each split; file -> its sha256."""
    files: dict[str, str] = {}
    for split, samples in found.items():
        split_of = as_split(root, samples)
        arrays: dict[str, np.ndarray] = {"names": split_of.names.text, "ends": split_of.names.ends}
        arrays |= {name: getattr(split_of, name) for name in ARRAYS}
        for name, array in arrays.items():
            file = out / f"{split}_{name}.npy"
            np.save(file, array)
            files[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return files


def load_splits(
    folder: Path, root: Path, checksums: Mapping[str, str], in_shards: Mapping[str, bool], remedy: str
) -> dict[str, Split]:
    """What :func:`save_splits` wrote, checked.

    Raises:
        DatasetError: a file is damaged or missing.
    """
    splits = {}
    for split in SPLITS:
        arrays: dict[str, Any] = {}
        for name in ("names", "ends", *ARRAYS):
            file = folder / f"{split}_{name}.npy"
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != checksums.get(file.name):
                raise DatasetError(f"{file} is damaged or missing. {remedy}")
            arrays[name] = np.load(file, allow_pickle=False)
        names = Names(arrays.pop("names"), arrays.pop("ends"))
        splits[split] = Split(root=root, names=names, in_shards=in_shards[split], **arrays)
    return splits


def read_index(dataset: Folders, folder: Path) -> FolderData:
    """Load the index of a data set, checking every byte of it (and none of the photographs).

    Raises:
        DatasetError: nothing is prepared there, or it is damaged, or the photographs are gone.
    """
    folder = Path(folder)
    command = f"`python -m orderdp prepare --dataset {dataset.name}`"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        facts = {key: manifest[key] for key in _facts(dataset)}
        checksums, in_shards, checksum = manifest["files"], manifest["in_shards"], manifest["checksum"]
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(
            f"The data set '{dataset.name}' is not prepared: {folder} has no {MANIFEST}. Run {command}."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{folder / MANIFEST} is damaged ({type(error).__name__}: {error}). Delete {folder} and run {command}."
        ) from error
    for key, expected in _facts(dataset).items():
        if facts[key] != expected:
            raise DatasetError(
                f"{folder / MANIFEST} describes other data: '{key}' expected {expected}, got {facts[key]}. Delete"
                f" {folder} and run {command}."
            )
    root = folder / LINK
    if not root.is_dir():
        raise DatasetError(
            f"{root} leads to {os.readlink(root) if root.is_symlink() else 'nothing'}, which is not there. Run"
            f" {command}."
        )
    splits = load_splits(folder, root, checksums, in_shards, f"Delete {folder} and run {command}.")
    return FolderData(
        dataset.name, splits["train"], splits["test"], dataset.used_classes, dataset.mean, dataset.std, checksum
    )


def _root(dataset: Folders, places: Sequence[Path]) -> Path:
    for place in places:
        if (root := Path(place).expanduser()).is_dir():
            return root
    tried = "".join(f"  - {place}: no such folder\n" for place in places)
    raise DatasetError(
        f"The data set '{dataset.name}' was not found"
        + (f". Tried:\n{tried}" if places else ", and no folder is named for it. ")
        + "It is not downloaded, because its licence must be accepted by you. Name the folder that holds its `train`"
        f" and `val` under 'data_dirs: {dataset.name}:' in params.yaml."
    )


def _find(dataset: Folders, root: Path, split: str) -> Found:
    folder = root / split
    shards = sorted(
        path for path in (folder if folder.is_dir() else root).glob("*.tar") if folder.is_dir() or split in path.name
    )
    if shards:
        return _in_shards(dataset, root, shards)
    if not folder.is_dir():
        raise DatasetError(
            f"{folder} is missing: {root} must hold `train` and `val`, each with a folder per class or with tar shards "
            f"(or shards whose names contain 'train' and 'val'). It holds: {_listing(root)}."
        )
    return _in_folders(dataset, root, folder)


def _in_folders(dataset: Folders, root: Path, folder: Path) -> Found:
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if not classes:
        raise DatasetError(
            f"{folder} has no folder per class. It holds: {_listing(folder)}. Sort its images into the folders of their"
            " classes."
        )
    names_checksum = hashlib.sha256("\n".join(classes).encode()).hexdigest()
    if len(classes) != dataset.classes:
        others = {
            entry.name
            for split in SPLITS.values()
            if (root / split).is_dir()
            for entry in os.scandir(root / split)
            if entry.is_dir()
        }
        missing = [str(folder / name) for name in sorted(others - set(classes))[:3]]
        raise DatasetError(
            f"{folder} has {len(classes)} classes; '{dataset.name}' has {dataset.classes}."
            + (f" Missing: {', '.join(missing)}{' ...' if len(others) - len(classes) > 3 else ''}." if missing else "")
        )
    if dataset.class_checksum not in (None, names_checksum):
        raise DatasetError(
            f"The folders of {folder} are not the classes of '{dataset.name}' (first: {classes[0]}). They need their"
            " original names."
        )
    found = Found([], [], [], [], [], in_shards=False)
    for label, name in enumerate(_used(dataset, classes, folder)):
        before = len(found.names)
        for entry in sorted(os.scandir(folder / name), key=lambda entry: entry.name):
            if not entry.name.lower().endswith(SUFFIXES):
                continue
            size = entry.stat().st_size
            if size == 0:
                raise DatasetError(f"{entry.path} is empty. Replace the file, or remove it.")
            found.file.append(len(found.names))
            found.names.append(str(Path(entry.path).relative_to(root)))
            found.labels.append(label)
            found.offset.append(0)
            found.size.append(size)
        if len(found.names) == before:
            raise DatasetError(f"{folder / name} holds no image ({', '.join(SUFFIXES)}).")
    return found


def _used(dataset: Folders, classes: list[str], folder: Path) -> list[str]:
    if dataset.subset is None or isinstance(dataset.subset, int):
        return classes[: dataset.subset]
    if unknown := [name for name in dataset.subset if name not in classes]:
        raise DatasetError(f"{folder / unknown[0]} is missing: the subset '{dataset.name}' names this class.")
    return list(dataset.subset)


def _in_shards(dataset: Folders, root: Path, shards: list[Path]) -> Found:
    if isinstance(dataset.subset, tuple):
        raise DatasetError(
            f"{shards[0]} is a shard, which holds class numbers: the subset '{dataset.name}', by names, needs folders."
        )
    found = Found([], [], [], [], [], in_shards=True)
    for number, shard in enumerate(shards):
        found.names.append(str(shard.relative_to(root)))
        for label, offset, size in _members(shard):
            if not 0 <= label < dataset.classes:
                raise DatasetError(f"{shard} at byte {offset}: class {label} is not in 0..{dataset.classes - 1}.")
            if label < dataset.used_classes:
                found.labels.append(label)
                found.file.append(number)
                found.offset.append(offset)
                found.size.append(size)
    if missing := sorted(set(range(dataset.used_classes)) - set(found.labels)):
        raise DatasetError(
            f"The shards in {shards[0].parent} hold no image of class {missing[0]} ({len(missing)} such classes). Are"
            " all shards here?"
        )
    return found


def _members(shard: Path) -> Iterator[tuple[int, int, int]]:
    """(label, offset, length) of each sample of a shard. Its members stand together and share their name up to the
    first dot."""
    try:
        with tarfile.open(shard, "r:") as tar:  # "r:" refuses compressed tars, in which no offset leads to an image
            key, image, label = None, None, None
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                if (folder, stem) != key:
                    key, image, label = (folder, stem), None, None
                if f".{suffix.lower()}" in SUFFIXES:
                    image = member
                elif suffix == "cls":
                    content = tar.extractfile(member).read()  # type: ignore[union-attr]
                    label = int(content)
                if image is not None and label is not None:
                    yield label, image.offset_data, image.size
                    image = label = None
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise DatasetError(
            f"{shard} is no shard of images and classes ({type(error).__name__}: {error}). It must be an uncompressed"
            " tar of `<key>.jpg` and `<key>.cls` side by side."
        ) from error


def _checksum(found: dict[str, Found]) -> str:
    """sha256 over every sample's split, file, place, size and label."""
    checksum = hashlib.sha256()
    for split, samples in found.items():
        for label, file, offset, size in zip(samples.labels, samples.file, samples.offset, samples.size, strict=True):
            checksum.update(f"{split}\t{samples.names[file]}\t{offset}\t{size}\t{label}\n".encode())
    return checksum.hexdigest()


def _facts(dataset: Folders) -> dict[str, object]:
    """What the manifest and the code must agree on."""
    subset = list(dataset.subset) if isinstance(dataset.subset, tuple) else dataset.subset
    facts = {"format": FORMAT, "name": dataset.name, "classes": dataset.classes, "subset": subset}
    return facts if dataset.short_side is None else facts | {"short_side": dataset.short_side}


def _listing(folder: Path) -> str:
    names = sorted(entry.name for entry in os.scandir(folder))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "nothing"


def _refuse_foreign(out: Path) -> None:
    """Never remove what we did not make."""
    if out.exists() and not (out / MANIFEST).exists() and any(out.iterdir()):
        raise DatasetError(f"{out} holds what is no prepared data set ({_listing(out)}); choose another folder.")
