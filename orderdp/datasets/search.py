"""Where raw files are looked for: given folders, then the system's, then torchvision's own download."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from orderdp.datasets.base import Arrays, DatasetError, ImageDataset

DOWNLOAD_TIMEOUT_S = 60


def find(dataset: ImageDataset, places: Sequence[Path], scratch: Path) -> tuple[Arrays, str]:
    """Read a data set from the first place that has it.

    Args:
        dataset: entry of `DATASETS`.
        places: folders to look in first. Not looked at where a Python package brings the data.
        scratch: empty folder for a download; the caller removes it.

    Returns:
        The data set and the kind of place it came from (never a path of this machine).

    Raises:
        DatasetError: no place has it (the message lists every place tried), or one has it damaged.
    """
    if dataset.bundled_with is not None:
        arrays = dataset.read(scratch)
        assert arrays is not None
        return arrays, dataset.bundled_with
    tried = []
    for kind, folder in _folders(dataset, places):
        arrays = dataset.read(folder)
        if arrays is not None:
            return arrays, kind
        tried.append(f"{folder} ({kind}): " + ("it lacks the files" if folder.is_dir() else "no such folder"))
    try:
        download(dataset, scratch)
    except Exception as error:
        # Whatever goes wrong in the network or in torchvision, the user needs the list of places.
        tried.append(f"torchvision's download: {type(error).__name__}: {error}")
    else:
        arrays = dataset.read(scratch)
        if arrays is not None:
            return arrays, "torchvision download"
        tried.append("torchvision's download: it did not bring the files")
    raise DatasetError(
        f"The data set '{dataset.name}' was not found. Tried:\n"
        + "".join(f"  - {line}\n" for line in tried)
        + f"Put the files ({dataset.wanted}) into a folder and name it under "
        + f"'data_dirs: {dataset.name}:' in params.yaml."
    )


def _folders(dataset: ImageDataset, places: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    yield from (("given folder", Path(place).expanduser()) for place in places)
    yield from (("system folder", Path(folder)) for folder in dataset.system_folders)


def download(dataset: ImageDataset, folder: Path) -> None:
    """Let torchvision download the raw files.

    Args:
        dataset: entry of `DATASETS` with a `torchvision_name`.
        folder: torchvision's root folder.

    Raises:
        Exception: whatever torchvision and the network raise.
    """
    from torchvision import datasets

    # torchvision sets no time limit, and a firewall that drops packets would hold us for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        getattr(datasets, str(dataset.torchvision_name))(str(folder), download=True)
    finally:
        socket.setdefaulttimeout(before)
