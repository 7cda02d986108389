"""Tables of one's own: what becomes a number, what is left aside, and what is refused in one line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from orderdp.datasets import DatasetError
from orderdp.datasets.own import look, read_names, read_own
from orderdp.training.augment import Images


def frame(rows=60, seed=0):
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 3, rows)
    return pd.DataFrame(
        {
            "height": 150 + 10.0 * label + draw.normal(size=rows),
            "legs": draw.integers(2, 5, rows),
            "tame": draw.random(rows) < 0.5,
            "colour": draw.choice(["grey", "brown", "white"], rows),
            "name": [f"animal {index}" for index in range(rows)],
            "planet": "earth",
            "born": pd.date_range("2020-01-01", periods=rows).to_numpy(),
            "kind": np.array(["cat", "dog", "owl"])[label],
        }
    )


def said(looked):
    return "\n".join(looked.notes)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_become_numbers_or_are_left_aside(tmp_path, suffix):
    table = frame()
    getattr(table, f"to_{suffix}")(tmp_path / f"train.{suffix}", index=False)
    getattr(frame(30, 1), f"to_{suffix}")(tmp_path / f"test.{suffix}", index=False)
    looked = look(tmp_path, label="kind")
    told, arrays = looked.description, looked.arrays
    assert told.classes == ("cat", "dog", "owl") and told.shape == (6, 1, 1) and told.label == "kind"
    assert (told.n_train, told.n_test, told.holdout) == (60, 30, None)
    rows = arrays["train_images"][:, :, 0, 0]
    assert rows.dtype == np.float32
    assert np.array_equal(rows[:, 0], table["height"].astype("float32"))
    assert np.array_equal(rows[:, 2], table["tame"])
    assert np.array_equal(rows[:, 3:], pd.get_dummies(table["colour"])[["brown", "grey", "white"]])
    assert [told.classes[label] for label in arrays["train_labels"]] == table["kind"].tolist()
    assert told.mean == pytest.approx(rows.mean(0), rel=1e-5) and told.std == pytest.approx(rows.std(0), rel=1e-5)
    words = said(looked)
    assert "'colour' is text of 3 kinds" in words and "the same in every row: planet" in words
    # In CSV a date is a text.
    assert ("of more than 30 kinds: name, born" if suffix == "csv" else "of another kind: born") in words
    looked.write("zoo", tmp_path / "data/zoo")
    data = read_own("zoo", tmp_path / "data/zoo", told.digest)
    assert read_names(tmp_path / "data/zoo")[0][3] == "row 3"
    seen = Images(data.train_images, data.mean, data.std).plain(0, 60)[:, :, 0, 0]
    assert torch.allclose(seen.mean(0), torch.zeros(6), atol=1e-4) and torch.allclose(seen.std(0), torch.ones(6), 0.02)


def test_one_file_holds_out_rows_and_medians_are_those_of_the_training_part(tmp_path):
    table = frame()
    table.loc[[3, 5], "height"] = np.nan
    table.loc[7, "height"] = np.inf
    table.to_csv(tmp_path / "zoo.csv", index=False)
    looked = look(tmp_path / "zoo.csv", label="kind", holdout=0.25)
    rows = np.concatenate([looked.arrays[f"{part}_images"][:, 0, 0, 0] for part in ("train", "test")])
    train = looked.arrays["train_images"][:, 0, 0, 0]
    real = np.isin(train, table["height"].astype("float32"))
    assert len(rows) == 60 and np.isfinite(rows).all()
    assert set(train[~real]) <= {np.float32(np.median(train[real]))}
    assert "3 numbers are missing in 'height'" in said(looked)
    again = look(tmp_path / "zoo.csv", label="kind", holdout=0.25)
    assert again.description == looked.description


def test_rows_of_an_archive(tmp_path):
    draw = np.random.default_rng(0)
    arrays = {"train_features": draw.normal(size=(20, 4)), "train_labels": np.arange(20) % 2}
    np.savez(tmp_path / "rows.npz", **arrays)
    looked = look(tmp_path / "rows.npz")
    assert looked.description.shape == (4, 1, 1) and looked.description.classes == ("0", "1")
    assert looked.description.n_train == 16 and "NumPy arrays of rows: 2 classes" in said(looked)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t, {}, "has no column 'label'. It has: height, legs.*Name it: --label COLUMN"),
        (lambda t: t, {"label": "height"}, "'height' holds fractions, such as 1"),
        (lambda t: t, {"label": "planet"}, "has only the class 'earth'"),
        (lambda t: t, {"label": "kind", "size": 8}, "is a table, whose rows have no size"),
        (lambda t: t[["planet", "kind"]], {"label": "kind"}, "has no column of numbers or short texts to learn from"),
        (lambda t: t.assign(kind=t["kind"].where(t.index > 1)), {"label": "kind"}, "2 rows have no 'kind'.*--skip-bro"),
    ],
)
def test_what_is_refused(tmp_path, change, options, message):
    change(frame()).to_csv(tmp_path / "zoo.csv", index=False)
    with pytest.raises(DatasetError, match=message) as error:
        look(tmp_path / "zoo.csv", **options)
    assert "\n" not in str(error.value)


def test_rows_without_a_label_are_left_out_on_request(tmp_path):
    table = frame()
    table["kind"] = table["kind"].where(table.index > 1)
    table.to_csv(tmp_path / "zoo.csv", index=False)
    looked = look(tmp_path / "zoo.csv", label="kind", skip_broken=True)
    assert looked.description.n_train + looked.description.n_test == 58 and "2 rows have no 'kind'" in said(looked)


def test_a_part_keeps_classes_in_proportion(tmp_path):
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    np.savez(tmp_path / "rows.npz", train_features=draw.normal(size=(100, 4)), train_labels=labels)
    whole, part = look(tmp_path / "rows.npz"), look(tmp_path / "rows.npz", part=40)
    assert np.bincount(part.arrays["train_labels"]).tolist() == [24, 12, 4]
    assert part.names == [name for name in whole.names if name in part.names]
    assert np.array_equal(part.arrays["test_labels"], whole.arrays["test_labels"])
    assert part.description.digest != whole.description.digest
