"""CIFAR's files on disk, on small batches of the same format: folder and archive, damage, and pickles that
ask for more than arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from orderdp.datasets import DatasetError
from orderdp.datasets.cifar import CIFAR10, CIFAR100, Cifar, unpickle_arrays
from orderdp.datasets.prepared import read_prepared, write_prepared

PER_BATCH = 4


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"


def batch_bytes(entry: Cifar, rng: np.random.Generator) -> bytes:
    """One batch as the original files have it: a dict that Python 2 and NumPy 1 pickled with protocol 2."""
    rows = rng.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)
    labels = rng.integers(0, entry.classes, PER_BATCH).tolist()
    items = python2_text("data") + python2_array(rows) + python2_text(entry.label_key) + python2_labels(labels)
    if entry.classes == 100:
        items += python2_text("coarse_labels") + python2_labels([0] * PER_BATCH)
    return b"\x80\x02}(" + items + b"u."


def python2_text(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode()


def python2_labels(labels: list[int]) -> bytes:
    return b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"


def python2_array(rows: np.ndarray) -> bytes:
    sizes = b"".join(b"M" + size.to_bytes(2, "little") for size in rows.shape)
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    content = b"T" + rows.size.to_bytes(4, "little") + rows.tobytes()
    return empty + b"(K\x01" + sizes + b"\x86" + dtype + b"\x89" + content + b"tb"


def unpickled(content: bytes) -> dict:
    """By the real unpickler, as torchvision does it."""
    return pickle.loads(content, encoding="latin1")


def archive_bytes(entry: Cifar, contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"{entry.folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def repinned(entry: Cifar, contents: dict[str, bytes]) -> Cifar:
    archive = archive_bytes(entry, contents)
    return dataclasses.replace(
        entry,
        raw={name: md5(content) for name, content in contents.items()},
        archive_checksum=md5(archive),
        n_train=PER_BATCH * (len(contents) - 1),
        n_test=PER_BATCH,
    )


@pytest.fixture(params=[CIFAR10, CIFAR100], ids=lambda entry: entry.name)
def small(request, tmp_path):
    """(entry, contents of its files, folder with the extracted folder, folder with the archive)."""
    rng = np.random.default_rng(0)
    contents = {name: batch_bytes(request.param, rng) for name in request.param.raw}
    entry = repinned(request.param, contents)
    extracted, packed = tmp_path / "extracted", tmp_path / "packed"
    (extracted / entry.folder).mkdir(parents=True)
    packed.mkdir()
    for name, content in contents.items():
        (extracted / entry.folder / name).write_bytes(content)
    # gzip stores the time of packing, so the archive is pinned as written.
    archive = archive_bytes(entry, contents)
    (packed / entry.archive).write_bytes(archive)
    return dataclasses.replace(entry, archive_checksum=md5(archive)), contents, extracted, packed


def test_images_and_labels_are_those_of_the_batches_in_order(small, tmp_path):
    entry, contents, extracted, _ = small
    write_prepared(entry, tmp_path / "out", [extracted])
    data = read_prepared(entry, tmp_path / "out")
    batches = [unpickled(content) for content in contents.values()]
    expected = np.concatenate([batch["data"] for batch in batches[:-1]])
    np.testing.assert_array_equal(data.train_images.numpy().reshape(-1, 3072), expected)
    assert data.train_labels.tolist() == [label for batch in batches[:-1] for label in batch[entry.label_key]]
    assert data.test_labels.tolist() == batches[-1][entry.label_key]
    # Channel 1 (green), second row, third column of the first image.
    assert data.train_images[0, 1, 1, 2] == batches[0]["data"][0, 1024 + 32 + 2]


def test_folder_archive_and_the_folder_itself_give_the_same(small):
    entry, _, extracted, packed = small
    first = entry.read(extracted)
    for place in (packed, extracted / entry.folder):
        for ours, theirs in zip(entry.read(place), first, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert entry.read(extracted.parent / "nowhere") is None


def test_a_wrong_batch_is_refused_by_name(small):
    entry, contents, extracted, _ = small
    file = extracted / entry.folder / entry.test_file
    file.write_bytes(contents[entry.test_file][:-20])
    with pytest.raises(
        DatasetError, match=f"Wrong checksum of {file}. Expected {entry.raw[entry.test_file]}, got md5:"
    ):
        entry.read(extracted)


def test_a_truncated_archive_is_refused_by_name(small):
    entry, _, _, packed = small
    archive = packed / entry.archive
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=f"Wrong checksum of {archive}. Expected {entry.archive_checksum}, got md5:"):
        entry.read(packed)


def test_an_archive_without_a_batch_is_refused_by_name(small):
    entry, contents, _, packed = small
    archive = packed / entry.archive
    archive.write_bytes(archive_bytes(entry, {entry.test_file: contents[entry.test_file]}))
    entry = dataclasses.replace(entry, archive_checksum=md5(archive.read_bytes()))
    with pytest.raises(DatasetError, match=f"{archive} is not a readable archive"):
        entry.read(packed)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"data": np.zeros((4, 3072), np.float32), "labels": [0] * 4}, protocol=4),
        pickle.dumps({"data": np.zeros((4, 3000), np.uint8), "labels": [0] * 4}, protocol=4),
        pickle.dumps({"data": np.zeros((4, 3072), np.uint8)}, protocol=4),
        pickle.dumps([1, 2], protocol=4),
        b"",
        b"garbage",
    ],
    ids=["floats", "short rows", "no labels", "a list", "empty", "garbage"],
)
def test_what_is_no_batch_is_refused_by_name(tmp_path, content):
    contents = dict.fromkeys(CIFAR10.raw, content)
    (tmp_path / CIFAR10.folder).mkdir()
    for name in contents:
        (tmp_path / CIFAR10.folder / name).write_bytes(content)
    with pytest.raises(DatasetError, match="data_batch_1 is no batch of cifar10"):
        repinned(CIFAR10, contents).read(tmp_path)


class Exploit:
    def __reduce__(self):
        return os.system, ("exit 7",)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_would_run_code_is_refused(protocol):
    with pytest.raises(pickle.UnpicklingError, match=r"asks for (posix|nt)\.system"):
        unpickle_arrays(pickle.dumps({"data": Exploit()}, protocol=protocol))


@pytest.mark.parametrize("entry", [CIFAR10, CIFAR100], ids=lambda entry: entry.name)
def test_checksums_are_those_of_torchvision(entry):
    torchvision = pytest.importorskip("torchvision")
    theirs = getattr(torchvision.datasets, entry.torchvision_name)
    assert entry.raw == {name: f"md5:{md5}" for name, md5 in theirs.train_list + theirs.test_list}
    assert (entry.folder, entry.archive, entry.archive_checksum) == (
        theirs.base_folder,
        theirs.filename,
        f"md5:{theirs.tgz_md5}",
    )
    assert [entry.test_file] == [name for name, _ in theirs.test_list]
