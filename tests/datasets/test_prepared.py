"""The prepared form: whole or not at all, the same bytes every time, and no damage goes unseen. Also the
search for raw files."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from orderdp.datasets import DATASETS, DatasetError, ImageDataset, get, load, prepare, prepared, search


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "data" / "digits"
    prepare("digits", folder)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_five_files_and_no_rests(digits):
    assert sorted(contents(digits)) == [
        "manifest.json", "test_images.npy", "test_labels.npy", "train_images.npy", "train_labels.npy"
    ]  # fmt: skip
    assert [path.name for path in digits.parent.iterdir()] == ["digits"]
    manifest = json.loads((digits / "manifest.json").read_text())
    assert (manifest["name"], manifest["classes"], manifest["source"]) == ("digits", 10, "scikit-learn")
    assert manifest["files"]["train_images.npy"]["shape"] == [1197, 1, 8, 8]


def test_preparing_again_gives_the_same_bytes(digits):
    before = contents(digits)
    (digits / "train_labels.npy").write_bytes(b"damaged")
    prepare("digits", digits)
    assert contents(digits) == before


def test_an_empty_folder_may_be_there_already(tmp_path):
    # As workflow systems make the folders of a job's outputs before they start it.
    (tmp_path / "digits").mkdir()
    prepare("digits", tmp_path / "digits")
    load("digits", tmp_path / "digits")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError, match=r"holds what is no prepared data set .thesis.tex."):
        prepare("digits", tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("moment", ["save", "checksum", "manifest"])
def test_an_interruption_leaves_nothing(tmp_path, monkeypatch, moment):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    module, name = {"save": (np, "save"), "checksum": (prepared, "_sha256"), "manifest": (prepared.json, "dumps")}[
        moment
    ]
    monkeypatch.setattr(module, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare("digits", tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_the_older_folder(digits, monkeypatch):
    before = contents(digits)
    monkeypatch.setattr(prepared, "_sha256", lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare("digits", digits)
    assert contents(digits) == before


@pytest.mark.parametrize("file", ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_array_is_refused_by_name(digits, file, damage):
    path = digits / file
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-1] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DatasetError) as error:
        load("digits", digits)
    expected = json.loads((digits / "manifest.json").read_text())["files"][file]["sha256"]
    assert str(error.value).startswith(f"{path} is damaged: expected sha256 {expected}, got ")
    assert f"Delete {digits} and run `python -m orderdp prepare --dataset digits`." in str(error.value)


def test_a_folder_that_is_not_prepared_says_how_to_prepare_it(tmp_path):
    with pytest.raises(
        DatasetError, match=r"'cifar10' is not prepared: .* Run `python -m orderdp prepare --dataset cifar10`"
    ):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"files": {}}', "\x00\xff"])
def test_a_damaged_manifest_is_refused(digits, text):
    (digits / "manifest.json").write_text(text, encoding="latin1")
    with pytest.raises(DatasetError, match=r"manifest.json is damaged"):
        load("digits", digits)


@pytest.mark.parametrize("key", ["format", "name", "classes", "raw"])
def test_data_made_from_other_raw_files_or_by_other_code_is_refused(digits, key):
    manifest = json.loads((digits / "manifest.json").read_text())
    manifest[key] = "other"
    (digits / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=rf"describes other data: '{key}' expected .*, got other"):
        load("digits", digits)


def test_another_data_sets_folder_is_refused(digits):
    with pytest.raises(DatasetError, match=r"'name' expected cifar10, got digits|'raw' expected"):
        load("cifar10", digits)


def test_labels_out_of_range_are_refused(tmp_path, monkeypatch):
    digits = DATASETS["digits"]
    arrays = digits.read(tmp_path)
    arrays.test_labels[0] = 10
    monkeypatch.setattr(prepared, "find", lambda *_: (arrays, "test"))
    with pytest.raises(DatasetError, match=r"test_labels of 'digits' must be in 0..9. Got 0..10"):
        prepare("digits", tmp_path / "digits")
    monkeypatch.setattr(prepared, "find", lambda *_: (arrays._replace(train_labels=arrays.train_labels[1:]), "test"))
    with pytest.raises(DatasetError, match=r"train_labels of 'digits' must have shape \(1197,\). Got \(1196,\)"):
        prepare("digits", tmp_path / "digits")


def test_what_no_place_has_is_reported_with_every_place_tried(tmp_path, monkeypatch):
    def unreachable(dataset, folder):
        (folder / "half").write_text("a download that broke off")
        raise OSError("network unreachable")

    monkeypatch.setattr(search, "download", unreachable)
    with pytest.raises(DatasetError) as error:
        prepare("cifar10", tmp_path / "out", places=[tmp_path / "nowhere", tmp_path])
    message = str(error.value)
    assert f"{tmp_path / 'nowhere'} (given folder): no such folder" in message
    assert f"{tmp_path} (given folder): it lacks the files" in message
    assert "torchvision's download: OSError: network unreachable" in message
    assert "cifar-10-python.tar.gz" in message and "data_dirs: cifar10" in message
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_read_like_any_folder_and_removed(tmp_path, monkeypatch):
    digits = DATASETS["digits"]
    seen = []

    class Downloadable:
        bundled_with, system_folders, name, wanted = None, (), "digits", "digits.txt"

        def read(self, folder):
            return digits.read(folder) if (folder / "digits.txt").is_file() else None

        def __getattr__(self, name):
            return getattr(digits, name)

    def download(dataset, folder):
        seen.append(folder)
        (folder / "digits.txt").write_text("")

    monkeypatch.setattr(search, "download", download)
    prepared.write_prepared(Downloadable(), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["source"] == "torchvision download"
    assert seen and not seen[0].exists()
    monkeypatch.setattr(search, "download", lambda *_: None)
    with pytest.raises(DatasetError, match="it did not bring the files"):
        prepared.write_prepared(Downloadable(), tmp_path / "other")


def test_given_folders_come_first_and_a_wrong_file_in_them_is_no_reason_to_look_elsewhere(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"truncated")
    with pytest.raises(DatasetError, match=r"Wrong checksum of .*cifar-10-python.tar.gz"):
        prepare("cifar10", tmp_path / "out", places=[tmp_path])


def test_an_unknown_name_lists_the_known_ones():
    for call in (lambda: get("mnist"), lambda: prepare("mnist", "x"), lambda: load("mnist", "x")):
        with pytest.raises(
            ValueError, match=r"Unknown data set 'mnist'. Known: digits, fashion_mnist, cifar10, cifar100."
        ):
            call()


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if isinstance(entry, ImageDataset)])
def test_every_entry_states_its_facts(name):
    entry = DATASETS[name]
    assert entry.name == name
    assert len(entry.mean) == len(entry.std) == entry.shape[0]
    assert all(0 < value < 1 for value in entry.mean + entry.std)
    assert entry.n_train > entry.n_test >= entry.classes
    lengths = {"md5": 32, "sha256": 64}
    assert all(len(each.partition(":")[2]) == lengths[each.partition(":")[0]] for each in entry.raw.values())
    assert entry.bundled_with or (entry.torchvision_name and entry.wanted)


def test_the_import_is_light():
    heavy = ["sklearn", "torchvision", "scipy", "pandas"]
    code = f"import sys, orderdp.datasets; assert not set({heavy}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
