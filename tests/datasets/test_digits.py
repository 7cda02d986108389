"""The digits: exact values, a fixed split, and the facts that the code states of them."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from orderdp.datasets import DatasetError, load, prepare
from orderdp.datasets.digits import DIGITS, SPLIT_SEED, stratified_test_mask, stretch


@pytest.fixture(scope="module")
def arrays():
    return DIGITS.read(Path())


def test_the_map_to_bytes_is_exact_and_one_to_one():
    # Literal twin: round(255 v / 16), halves up.
    assert stretch(np.arange(17, dtype=np.uint8)).tolist() == [
        0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255
    ]  # fmt: skip


def test_shapes_and_statistics_are_those_stated(arrays):
    assert arrays.train_images.shape == (DIGITS.n_train, *DIGITS.shape)
    assert arrays.test_images.shape == (DIGITS.n_test, *DIGITS.shape)
    pixels = arrays.train_images / 255
    assert DIGITS.mean == (pytest.approx(pixels.mean(), abs=5e-5),)
    assert DIGITS.std == (pytest.approx(pixels.std(), abs=5e-5),)


def test_the_split_is_stratified_disjoint_and_complete(arrays):
    from sklearn.datasets import load_digits

    whole = load_digits()
    counts = np.bincount(whole.target)
    assert np.abs(np.bincount(arrays.test_labels) - counts * DIGITS.n_test / 1797).max() < 1
    together = np.concatenate([arrays.train_images, arrays.test_images])[:, 0]
    # Every original image is there as often as it was: compare as sorted byte strings.
    assert sorted(image.tobytes() for image in together) == sorted(stretch(image).tobytes() for image in whole.images)


def test_the_split_never_changes(arrays):
    # Golden value: with another split, old and new runs could not be compared.
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()
    assert digest == "1135e1338a0c34c4da8f7cdbce6cce4036c3eeb338f9b7c324235d5daf47e1d5"


def test_a_stratified_mask_takes_the_wanted_number_from_each_class():
    labels = np.array([0] * 50 + [1] * 30 + [2] * 20)
    mask = stratified_test_mask(labels, 10, SPLIT_SEED)
    assert np.bincount(labels[mask]).tolist() == [5, 3, 2]
    assert stratified_test_mask(np.array([0, 0, 1, 1, 1]), 3, 0).sum() == 3


def test_round_trip(tmp_path, arrays):
    prepare("digits", tmp_path / "digits")
    data = load("digits", tmp_path / "digits")
    for name, array in arrays._asdict().items():
        np.testing.assert_array_equal(getattr(data, name).numpy(), array)
    assert (data.classes, data.mean, data.std) == (10, DIGITS.mean, DIGITS.std)


def test_other_digits_than_the_pinned_ones_are_refused():
    other = dataclasses.replace(DIGITS, raw={**DIGITS.raw, "target": "sha256:0"})
    with pytest.raises(DatasetError, match=r"labels of scikit-learn's load_digits. Expected sha256:0, got sha256:8ba4"):
        other.read(Path())
