"""Photographs in folders and in shards: what is found, what is read, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import re
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from orderdp.datasets import DatasetError, folders, shrinking
from orderdp.datasets.imagenet import IMAGENET, IMAGENET10
from orderdp.datasets.indexing import read_index, write_index
from tests.photos import CLASSES, PHOTOS, jpeg, numbers, write_folders, write_shards


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def copy(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "copy")


def indexed(root, out, **changes):
    dataset = dataclasses.replace(PHOTOS, **changes)
    write_index(dataset, out, [root])
    return read_index(dataset, out)


def contents(split):
    """label and bytes of every sample, in any order."""
    return sorted((int(split.labels[i]), split.read(i)) for i in range(len(split)))


def test_folders_and_shards_hold_the_same_samples(tree, shards, tmp_path):
    expected = {
        split: sorted((label, jpeg(label, number)) for label in range(3) for number in numbers(split))
        for split in ("train", "val")
    }
    for root, in_shards in ((tree, False), (shards, True)):
        data = indexed(root, tmp_path / root.name)
        assert (data.train.in_shards, data.classes, data.channels) == (in_shards, 3, 3)
        assert contents(data.train) == expected["train"]
        assert contents(data.test) == expected["val"]
        assert data.train_labels.tolist() == data.train.labels.tolist()


def test_a_sample_is_read_by_its_number(tree, shards, tmp_path):
    in_folders, in_tars = indexed(tree, tmp_path / "a").train, indexed(shards, tmp_path / "b").train
    assert in_folders.read(21) == jpeg(1, 1)  # classes one after the other
    assert in_tars.read(21) == jpeg(0, 7)  # classes in turn: sample 21 is the first class's eighth
    assert in_tars.path(21).endswith(f"train/part-001.tar (sample 21, at byte {in_tars.offset[21]})")
    assert in_folders.path(21).endswith("train/n02/n02_001.JPEG")


def test_a_split_travels_to_a_spawned_worker_and_few_shards_stay_open(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "OPEN_SHARDS", 2)
    split = indexed(shards, tmp_path / "b").train
    before = len(os.listdir("/proc/self/fd"))
    for index in (0, 20, 40, 59, 1, 21):
        split.read(index)
    assert len(os.listdir("/proc/self/fd")) - before == 2
    assert pickle.loads(pickle.dumps(split)).read(7) == split.read(7)


def test_subsets(tree, shards, tmp_path):
    assert indexed(tree, tmp_path / "a", subset=2).train.labels.max() == 1
    assert indexed(shards, tmp_path / "b", subset=2).classes == 2
    named = indexed(tree, tmp_path / "c", subset=("n03", "n01"))
    assert named.train.read(0) == jpeg(2, 0) and named.train.labels[0] == 0
    with pytest.raises(DatasetError, match=r"train/n09 is missing: the subset 'photos' names this class"):
        indexed(tree, tmp_path / "d", subset=("n09",))
    with pytest.raises(DatasetError, match=r"part-000\.tar is a shard, which holds class numbers"):
        indexed(shards, tmp_path / "e", subset=("n01",))
    assert (IMAGENET.used_classes, IMAGENET10.used_classes) == (1000, 10)


def test_the_digest_sees_names_sizes_and_labels(copy, tmp_path):
    first = indexed(copy, tmp_path / "a").checksum
    assert indexed(copy, tmp_path / "a").checksum == first  # made again in the same place
    file = copy / "train/n02/n02_003.JPEG"
    file.write_bytes(file.read_bytes() + b"\0")
    assert indexed(copy, tmp_path / "b").checksum != first
    file.write_bytes(file.read_bytes()[:-1])
    assert indexed(copy, tmp_path / "c").checksum == first
    file.rename(file.with_name("n02_003x.JPEG"))
    assert indexed(copy, tmp_path / "d").checksum != first


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: shutil.rmtree(root / "val"), r"/val is missing: .* must hold `train` and `val`.*It holds: train"),
        (
            lambda root: shutil.rmtree(root / "train/n02"),
            r"train has 2 classes; 'photos' has 3\. Missing: .*/train/n02\.",
        ),
        (lambda root: (root / "val/n01/n01_500.JPEG").write_bytes(b""), r"val/n01/n01_500\.JPEG is empty"),
        (lambda root: [p.unlink() for p in (root / "val/n03").iterdir()], r"val/n03 holds no image \(\.jpeg"),
        (
            lambda root: (
                [p.rename(root / "val" / p.name) for p in (root / "val").rglob("*.JPEG")]
                and [(root / "val" / name).rmdir() for name in CLASSES]
            ),
            r"/val has no folder per class\. It holds: n01_500\.JPEG",
        ),
    ],
    ids=["no val", "missing class", "empty file", "empty class", "flat val"],
)
def test_a_wrong_layout_is_one_error_that_names_the_path(copy, tmp_path, damage, message):
    damage(copy)
    with pytest.raises(DatasetError, match=message):
        indexed(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_classes_and_counts(tree, tmp_path):
    with pytest.raises(DatasetError, match=r"are not the classes of 'photos' \(first: n01\)"):
        indexed(tree, tmp_path / "a", class_checksum="0")
    with pytest.raises(DatasetError, match=r"/train holds 60 images; 'photos' has 61"):
        indexed(tree, tmp_path / "a", n_train=61)
    missing = tmp_path / "missing"
    expected = rf"was not found\. Tried:\n  - {re.escape(str(missing))}: no such folder\n.*'data_dirs: photos:'"
    with pytest.raises(DatasetError, match=expected):
        indexed(missing, tmp_path / "a")


def test_wrong_shards(tmp_path, shards):
    root = shutil.copytree(shards, tmp_path / "copy")
    with tarfile.open(root / "train/part-000.tar", "w:gz") as tar:
        tar.add(root / "val")
    with pytest.raises(DatasetError, match=r"train/part-000\.tar is no shard of images and classes.*uncompressed tar"):
        indexed(root, tmp_path / "a")
    shutil.rmtree(root)
    shutil.copytree(shards, root)
    with pytest.raises(DatasetError, match=r"part-000\.tar at byte \d+: class 2 is not in 0\.\.1"):
        indexed(root, tmp_path / "b", classes=2)
    for name in ("001", "002", "003"):
        (root / f"train/part-{name}.tar").unlink()
    assert indexed(root, tmp_path / "c").train.labels.tolist() == [0, 1, 2] * 5 + [0]


def test_what_changes_after_indexing_is_noticed(copy, tmp_path):
    data = indexed(copy, tmp_path / "a")
    file = copy / "train/n01/n01_000.JPEG"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(DatasetError, match=r"n01_000\.JPEG has changed: \d+ bytes when it was indexed, \d+ now"):
        data.train.read(0)
    file.unlink()
    with pytest.raises(DatasetError, match=r"n01_000\.JPEG cannot be read: No such file"):
        data.train.read(0)
    labels = tmp_path / "a/train_labels.npy"
    np.save(labels, np.load(labels)[::-1])
    with pytest.raises(DatasetError, match=r"train_labels\.npy is damaged or missing"):
        read_index(PHOTOS, tmp_path / "a")
    copy.rename(tmp_path / "moved")
    with pytest.raises(DatasetError, match=r"a/images leads to .*copy, which is not there"):
        read_index(PHOTOS, tmp_path / "a")
    with pytest.raises(DatasetError, match=r"is not prepared: .* has no manifest\.json"):
        read_index(PHOTOS, tmp_path / "b")


def test_many_names_in_one_array():
    names = folders.Names.of(["a", "", "Größe", "x/y"])
    assert list(names) == ["a", "", "Größe", "x/y"] and len(names) == 4


SMALL = dataclasses.replace(PHOTOS, name="photos_24", copy_of="photos", short_side=24)


@pytest.mark.parametrize("kind", ["tree", "shards"])
def test_a_smaller_copy_holds_the_same_samples(kind, request, tmp_path, monkeypatch):
    monkeypatch.setattr(shrinking, "SHARD", 16)
    root = request.getfixturevalue(kind)
    monkeypatch.setattr(shrinking.multiprocessing, "get_context", lambda method: ThisProcess)
    write_index(SMALL, tmp_path / "small", [root])
    small, large = read_index(SMALL, tmp_path / "small"), indexed(root, tmp_path / "large")
    for split in ("train", "test"):
        one, other = getattr(small, split), getattr(large, split)
        assert one.in_shards and np.array_equal(one.labels, other.labels)
        for index in (0, 7, len(one) - 1):
            copy = Image.open(io.BytesIO(one.read(index)))
            original = Image.open(io.BytesIO(other.read(index)))
            scale = 24 / min(original.size)
            assert copy.size == tuple(round(scale * side) for side in original.size) and min(copy.size) == 24
            twin = original.resize(copy.size, Image.Resampling.BICUBIC)
            assert np.abs(np.asarray(copy, int).mean((0, 1)) - np.asarray(twin, int).mean((0, 1))).max() < 2
    with tarfile.open(tmp_path / "small/images/train/00000.tar") as tar:
        names = tar.getnames()
    assert names[:2] == ["00000000.jpg", "00000000.cls"] and len(names) == 32
    assert not list(tmp_path.glob(".photos*"))


class ThisProcess:
    """In place of a pool of processes, in which a test cannot change anything."""

    def Pool(processes):
        return ThisProcess()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def imap(self, function, values):
        return map(function, values)


def test_a_copy_that_was_cut_off_goes_on(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(shrinking, "SHARD", 16)
    monkeypatch.setattr(shrinking.multiprocessing, "get_context", lambda method: ThisProcess)
    made, sound = [], shrinking.smaller

    def counted(split, index, side):
        made.append(index)
        if len(made) == 40:
            raise KeyboardInterrupt
        return sound(split, index, side)

    monkeypatch.setattr(shrinking, "smaller", counted)
    with pytest.raises(KeyboardInterrupt):
        write_index(SMALL, tmp_path / "small", [tree])
    assert not (tmp_path / "small").exists()
    write_index(SMALL, tmp_path / "small", [tree])
    assert made[40:] == [*range(32, 60), *range(15)]
    assert len(read_index(SMALL, tmp_path / "small").train) == 60


def test_a_copy_of_a_damaged_photograph_is_one_error_that_names_it(copy, tmp_path, monkeypatch):
    (copy / "train/n02/n02_003.JPEG").write_bytes(b"\xff\xd8 not a photograph")
    with pytest.raises(DatasetError, match=r"n02/n02_003\.JPEG is no readable image \(UnidentifiedImageError"):
        write_index(SMALL, tmp_path / "small", [copy])
    assert not (tmp_path / "small").exists()
