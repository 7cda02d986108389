"""The data sets: where their raw files come from, how they are checked, and their prepared form.

Importing this package imports torch and NumPy only; scikit-learn and torchvision are imported when raw files
are read or downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orderdp.datasets.base import DatasetError, ImageDataset
from orderdp.datasets.cifar import CIFAR10, CIFAR100
from orderdp.datasets.digits import DIGITS
from orderdp.datasets.fashion_mnist import FASHION_MNIST
from orderdp.datasets.folders import FolderData, Folders
from orderdp.datasets.imagenet import IMAGENET, IMAGENET10, IMAGENET100, IMAGENET_256
from orderdp.datasets.indexing import read_index, write_index
from orderdp.datasets.prepared import ImageData, read_prepared, write_prepared

__all__ = [
    "DATASETS", "DatasetError", "FolderData", "Folders", "ImageData", "ImageDataset", "get", "load", "load_images",
    "prepare",
]  # fmt: skip

DATASETS: dict[str, ImageDataset | Folders] = {
    "digits": DIGITS,
    "fashion_mnist": FASHION_MNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "imagenet": IMAGENET,
    "imagenet_256": IMAGENET_256,
    "imagenet100": IMAGENET100,
    "imagenet10": IMAGENET10,
}


def get(name: str) -> ImageDataset | Folders:
    """The entry of a data set.

    Raises:
        ValueError: no data set has this name; the message lists the known ones.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise ValueError(f"Unknown data set {name!r}. Known: {', '.join(DATASETS)}.") from None


def prepare(name: str, out: Path, *, places: Sequence[Path] = ()) -> None:
    """Find the raw files of a data set, check them, and write its prepared form.

    Searched in order: `places`, the system's folder, torchvision's download. Of ImageNet and its like, which are in
    `places` only, the prepared form is an index, and of `imagenet_256` and its like a smaller copy with an index.

    Args:
        name: key in `DATASETS`.
        out: folder to make, for example `data/digits`. It appears whole or not at all.
        places: folders that may hold the raw files.

    Raises:
        ValueError: unknown name.
        DatasetError: the raw files are missing (with every place tried) or wrong (with the file, expected and
            actual checksum).
    """
    dataset = get(name)
    if isinstance(dataset, Folders):
        write_index(dataset, out, places)
    else:
        write_prepared(dataset, out, places)


def load(name: str, folder: Path) -> ImageData | FolderData:
    """Load a prepared data set and check it against its manifest and the checksums in its definition.

    Args:
        name: key in `DATASETS`.
        folder: where :func:`prepare` put it.

    Raises:
        ValueError: unknown name.
        DatasetError: nothing is prepared there, or it is damaged, or it was made from other raw files.
    """
    dataset = get(name)
    return read_index(dataset, folder) if isinstance(dataset, Folders) else read_prepared(dataset, folder)


def load_images(name: str, folder: Path) -> ImageData:
    """:func:`load` for code that needs all images in memory.

    Raises:
        ValueError: also where the data set is a folder of photographs.
    """
    data = load(name, folder)
    if isinstance(data, FolderData):
        raise ValueError(f"{name!r} is a folder of photographs; this needs a data set that is held in memory")
    return data
