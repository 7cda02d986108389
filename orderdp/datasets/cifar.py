"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32 x 32 pixels, 10 or 100 classes.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009). The files are pickles of
Python dicts; they are read with an unpickler that can build nothing but arrays and plain containers. torchvision's
reader would need the extracted folder, and unpickles whatever has the right md5 sum, which can be forged.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orderdp.datasets.base import Arrays, DatasetError, ImageDataset, verified


@dataclass(frozen=True, kw_only=True)
class Cifar(ImageDataset):
    """The Python version: the extracted folder, or the archive as downloaded.

    Attributes:
        folder: name of the extracted folder and of the archive's only folder.
        archive: name of the archive.
        archive_checksum: checksum of the archive.
        label_key: key of the labels in a batch.
        test_file: the file of `raw` that holds the test images; all others are training batches, in order.
    """

    folder: str
    archive: str
    archive_checksum: str
    label_key: str
    test_file: str

    def read(self, folder: Path) -> Arrays | None:
        """Read from the extracted folder (`folder` itself or below it), else from the archive in `folder`."""
        for place in (folder, folder / self.folder):
            if all((place / name).is_file() for name in self.raw):
                return self._arrays({name: (place / name).read_bytes() for name in self.raw}, str(place))
        archive = folder / self.archive
        return self._arrays(self._members(archive), str(archive)) if archive.is_file() else None

    def _members(self, archive: Path) -> dict[str, bytes]:
        content = verified(archive.read_bytes(), self.archive_checksum, str(archive))
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                # Members are read in memory and never extracted: no path in the archive can reach the disk.
                return {name: tar.extractfile(f"{self.folder}/{name}").read() for name in self.raw}  # type: ignore[union-attr]
        except (tarfile.TarError, KeyError, AttributeError, EOFError, OSError, zlib.error) as error:
            raise DatasetError(
                f"{archive} is not a readable archive of {self.folder} ({error}). Delete or replace it."
            ) from error

    def _arrays(self, contents: Mapping[str, bytes], where: str) -> Arrays:
        batches = {}
        for name, expected in self.raw.items():
            path = f"{where}/{name}"
            batches[name] = self._batch(verified(contents[name], expected, path), path)
        test_images, test_labels = batches.pop(self.test_file)
        images, labels = zip(*batches.values(), strict=True)
        return Arrays(np.concatenate(images), np.concatenate(labels), test_images, test_labels)

    def _batch(self, content: bytes, path: str) -> tuple[np.ndarray, np.ndarray]:
        try:
            batch = unpickle_arrays(content)
            rows, labels = batch["data"], np.asarray(batch[self.label_key], dtype=np.int64)
            if rows.dtype != np.uint8:
                raise ValueError(f"'data' is {rows.dtype}, not uint8")
            # A row is the image's red, green and blue plane, each row by row.
            return rows.reshape(len(labels), *self.shape), labels
        except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(f"{path} is no batch of {self.name} ({type(error).__name__}: {error}).") from error


# The function that pickled arrays name; its module has moved within NumPy, so that it is taken from an array.
_RECONSTRUCT = np.empty(0, np.uint8).__reduce__()[0]
_BUILDERS: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and plain containers only: a file forged to have the right md5 sum cannot run code."""

    def find_class(self, module: str, name: str) -> object:
        try:
            return _BUILDERS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image batch needs") from None


def unpickle_arrays(content: bytes) -> dict:
    """Unpickle a dict of NumPy arrays, lists, strings and numbers.

    Raises:
        pickle.UnpicklingError: the pickle asks for any other class or function.
    """
    # latin1: the files are pickles of Python 2, whose byte strings hold the arrays' raw bytes.
    return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()


# Checksums: as torchvision's CIFAR10 and CIFAR100 have them.
# Means and standard deviations: those of the 50,000 training images (the widely used values, to four places).
# Paper: its released scripts normalise both data sets by (.5074, .4867, .4411) and (.2011, .1987, .2025);
# here: each by its own, because those means are close to CIFAR-100's only and those deviations to neither's.
CIFAR10 = Cifar(
    name="cifar10",
    classes=10,
    shape=(3, 32, 32),
    n_train=50_000,
    n_test=10_000,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    raw={
        "data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
        "data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "md5:634d18415352ddfa80567beed471001a",
        "data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "md5:40351d587109b95175f43aff81a1287e",
    },
    torchvision_name="CIFAR10",
    wanted="folder cifar-10-batches-py or file cifar-10-python.tar.gz",
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    archive_checksum="md5:c58f30108f718f92721af3b95e74349a",
    label_key="labels",
    test_file="test_batch",
)

CIFAR100 = Cifar(
    name="cifar100",
    classes=100,
    shape=(3, 32, 32),
    n_train=50_000,
    n_test=10_000,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    raw={"train": "md5:16019d7e3df5f24257cddd939b257f8d", "test": "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"},
    torchvision_name="CIFAR100",
    wanted="folder cifar-100-python or file cifar-100-python.tar.gz",
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    archive_checksum="md5:eb9058c3a382ffc7106e4002c42a8d85",
    label_key="fine_labels",
    test_file="test",
)
