"""Fashion-MNIST: the idx format on tiny files, and the real files where the system has them."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from orderdp.datasets import DatasetError
from orderdp.datasets.fashion_mnist import FASHION_MNIST, parse_idx
from orderdp.datasets.prepared import read_prepared, write_prepared

REAL = Path("/usr/share/datasets/fashion-mnist")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def tiny(tmp_path):
    """A data set of 6 + 2 images and the folder that holds its four files, gzipped."""
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        rng.integers(0, 10, 6, dtype=np.uint8),
        rng.integers(0, 256, (2, 28, 28), dtype=np.uint8),
        rng.integers(0, 10, 2, dtype=np.uint8),
    ]
    folder = tmp_path / "raw"
    folder.mkdir()
    pins = {}
    for name, array in zip(FASHION_MNIST.raw, arrays, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        pins[name] = f"sha256:{hashlib.sha256(idx(array)).hexdigest()}"
    return (dataclasses.replace(FASHION_MNIST, raw=pins, n_train=6, n_test=2, system_folders=()), folder, arrays)


def test_the_four_files_become_the_four_arrays(tiny, tmp_path):
    dataset, folder, arrays = tiny
    write_prepared(dataset, tmp_path / "out", [folder])
    data = read_prepared(dataset, tmp_path / "out")
    np.testing.assert_array_equal(data.train_images.numpy(), arrays[0][:, None])
    np.testing.assert_array_equal(data.train_labels.numpy(), arrays[1])
    np.testing.assert_array_equal(data.test_images.numpy(), arrays[2][:, None])
    np.testing.assert_array_equal(data.test_labels.numpy(), arrays[3])


def test_plain_files_in_torchvisions_place_do_as_well(tiny, tmp_path):
    dataset, folder, _ = tiny
    place = tmp_path / "root" / "FashionMNIST" / "raw"
    place.mkdir(parents=True)
    for name in dataset.raw:
        (place / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
    for ours, theirs in zip(dataset.read(tmp_path / "root"), dataset.read(folder), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_wrong_checksum_is_refused_by_name(tiny):
    dataset, folder, arrays = tiny
    file = folder / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(idx(arrays[3] + 1)))
    expected = dataset.raw["t10k-labels-idx1-ubyte"]
    with pytest.raises(
        DatasetError, match=f"Wrong checksum of the content of {file}. Expected {expected}, got sha256:"
    ):
        dataset.read(folder)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"no gzip at all", lambda b: b[:40] + b"\xff" * 40 + b[80:]]
)
def test_a_damaged_gzip_file_is_refused_by_name(tiny, damage):
    dataset, folder, _ = tiny
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DatasetError, match=str(file)):
        dataset.read(folder)


def test_a_folder_that_lacks_a_file_is_passed_over(tiny):
    dataset, folder, _ = tiny
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    assert dataset.read(folder) is None
    assert dataset.read(folder / "nowhere") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00\x08",
        b"\x00\x00\x08\x00",
        b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00",  # floats
        b"\x00\x00\x08\x01\x00\x00\x00\x05abcd",
        b"\x00\x00\x08\x03\x00\x00",
    ],
)
def test_what_is_no_idx_file_of_bytes_is_refused(content):
    with pytest.raises(DatasetError, match="some/file is no idx file"):
        parse_idx(content, Path("some/file"))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the package dataset-fashion-mnist ({REAL})")
def test_the_real_files_and_their_statistics():
    arrays = FASHION_MNIST.read(REAL)
    assert arrays is not None
    assert arrays.train_images.shape == (60_000, 1, 28, 28)
    assert np.bincount(arrays.train_labels).tolist() == [6_000] * 10
    assert np.bincount(arrays.test_labels).tolist() == [1_000] * 10
    # Exact moments from the histogram of byte values.
    share = np.bincount(arrays.train_images.ravel(), minlength=256) / arrays.train_images.size
    levels = np.arange(256) / 255
    mean = share @ levels
    assert FASHION_MNIST.mean == (pytest.approx(mean, abs=5e-5),)
    assert FASHION_MNIST.std == (pytest.approx(np.sqrt(share @ (levels - mean) ** 2), abs=5e-5),)
