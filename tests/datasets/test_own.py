"""Data sets of one's own: what is found, what is converted, and what is refused in one line."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from orderdp.datasets import DatasetError
from orderdp.datasets.own import look, prepare_own, read_names, read_own

SIDE = 12


def picture(label, number, side=SIDE, mode="RGB"):
    """Noise whose colour tells its class."""
    draw = np.random.default_rng(1000 * label + number)
    pixels = draw.integers(0, 120, (side, side, 3), dtype=np.uint8)
    pixels[:, :, label % 3] += 100
    return Image.fromarray(pixels).convert(mode)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def folders(root, classes=("cat", "dog", "owl"), parts=("train", "test"), count=6):
    for place, part in enumerate(parts):
        for label, name in enumerate(classes):
            for number in range(count):
                save(root / part / name / f"{number}.png", picture(label, 100 * place + number))
    return root


@pytest.fixture
def root(tmp_path):
    return folders(tmp_path / "raw")


def said(looked):
    return "\n".join(looked.notes)


def test_folders_with_a_test_part(root):
    looked = look(root)
    told = looked.description
    assert (told.classes, told.shape, told.n_train, told.n_test) == (("cat", "dog", "owl"), (3, SIDE, SIDE), 18, 18)
    assert (told.holdout, told.size, told.path) == (None, None, str(root))
    assert looked.arrays["train_labels"].tolist() == [0] * 6 + [1] * 6 + [2] * 6
    want = np.asarray(picture(1, 2)).transpose(2, 0, 1)
    assert np.array_equal(looked.arrays["train_images"][8], want)
    mean = looked.arrays["train_images"].mean((0, 2, 3)) / 255
    assert told.mean == pytest.approx(mean, abs=1e-4)
    assert told.std == pytest.approx(looked.arrays["train_images"].std((0, 2, 3)) / 255, abs=1e-4)
    assert "folders of images, train and test: 3 classes" in said(looked)
    assert "train: 18 images, 6 to 6 of a class" in said(looked)


def test_one_folder_holds_out_a_share_of_each_class_alike_each_time(tmp_path):
    root = folders(tmp_path / "raw", parts=("",), count=10)
    one, other, less = look(root), look(root), look(root, holdout=0.1)
    assert one.description.digest == other.description.digest != less.description.digest
    assert np.bincount(one.arrays["test_labels"]).tolist() == [2, 2, 2]
    assert np.bincount(less.arrays["train_labels"]).tolist() == [9, 9, 9]
    everything = np.concatenate([one.arrays["train_images"], one.arrays["test_images"]])
    assert len(np.unique(everything.reshape(30, -1), axis=0)) == 30
    assert "20 % of each class are held out" in said(one)


def test_a_share_is_not_held_out_beside_a_test_part(root):
    with pytest.raises(DatasetError, match="has a test part, so nothing is to be held out"):
        look(root, holdout=0.2)


def test_parquet_files_of_hugging_face(tmp_path):
    def table(part, count):
        images, labels = [], []
        for number in range(count):
            text = io.BytesIO()
            picture(number % 2, number).save(text, "PNG")
            images.append({"bytes": text.getvalue(), "path": None})
            labels.append(number % 2)
        features = {"info": {"features": {"label": {"names": ["no", "ja"], "_type": "ClassLabel"}}}}
        made = pa.table({"image": images, "label": labels})
        made = made.replace_schema_metadata({"huggingface": json.dumps(features)})
        pq.write_table(made, tmp_path / f"{part}-00000-of-00001.parquet")

    table("train", 10)
    table("validation", 4)
    told = look(tmp_path).description
    assert (told.classes, told.n_train, told.n_test) == (("no", "ja"), 10, 4)
    alone = look(tmp_path / "train-00000-of-00001.parquet").description
    assert (alone.n_train, alone.n_test, alone.holdout) == (8, 2, 0.2)
    pq.write_table(pa.table({"picture": [1], "label": [0]}), tmp_path / "train-2.parquet")
    with pytest.raises(DatasetError, match=r"has no column 'image'\. It has: picture, label"):
        look(tmp_path)


@pytest.mark.parametrize("layout", ["n h w", "n h w c", "n c h w"])
def test_numpy_archives(tmp_path, layout):
    images = np.random.default_rng(0).integers(0, 256, (20, 7, 8, 3), dtype=np.uint8)
    given = {"n h w": images[..., 0], "n h w c": images, "n c h w": images.transpose(0, 3, 1, 2)}[layout]
    labels = np.arange(20) % 4
    np.savez(tmp_path / "a.npz", train_images=given, train_labels=labels, test_images=given[:8], test_labels=labels[:8])
    looked = look(tmp_path / "a.npz")
    assert looked.description.classes == ("0", "1", "2", "3")
    want = images.transpose(0, 3, 1, 2)[:, :1] if layout == "n h w" else images.transpose(0, 3, 1, 2)
    assert np.array_equal(looked.arrays["train_images"], want)
    assert "8 test images are in the training part, too" in said(looked)
    np.savez(tmp_path / "b.npz", train_images=given.astype(np.float32), train_labels=labels)
    with pytest.raises(DatasetError, match="'train_images' must be uint8"):
        look(tmp_path / "b.npz")


def test_sizes_are_brought_to_one(root):
    save(root / "train/cat/wide.png", picture(0, 50, side=40).crop((0, 0, 40, 20)))
    with pytest.raises(DatasetError, match=r"differ in size, from 12 x 12 to 40 x 20 pixels\. Bring them to one"):
        look(root)
    looked = look(root, size=8)
    assert looked.description.shape == (3, 8, 8) and looked.description.size == 8


# Ten kinds of odd and damaged data sets


def test_broken_files_are_named_and_left_out_on_request(root):
    (root / "train/dog/2.png").write_bytes(b"\x89PNG not an image")
    (root / "test/owl/1.png").write_bytes((root / "test/owl/1.png").read_bytes()[:60])
    with pytest.raises(DatasetError) as caught:
        look(root)
    text = str(caught.value)
    assert "2 files are no readable images" in text and "train/dog/2.png" in text and "test/owl/1.png" in text
    assert "\n" not in text and "--skip-broken" in text
    looked = look(root, skip_broken=True)
    assert (looked.description.n_train, looked.description.n_test) == (17, 17)
    assert "2 files are no readable images, and are left out" in said(looked)


def test_one_class_only_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="has only the class 'cat'"):
        look(folders(tmp_path / "raw", classes=("cat",)))


def test_a_class_that_the_test_part_lacks_is_said_and_one_that_training_lacks_is_refused(root):
    for file in (root / "test/owl").iterdir():
        file.unlink()
    (root / "test/owl").rmdir()
    assert "classes without a test sample, on which nothing is measured: 'owl'" in said(look(root))
    save(root / "test/yak/1.png", picture(1, 1))
    with pytest.raises(DatasetError, match=r"test/yak is a class that .*train does not have"):
        look(root)


def test_grey_and_colour_are_brought_to_colour(root):
    save(root / "train/cat/grey.png", picture(0, 60, mode="L"))
    looked = look(root)
    assert looked.description.shape[0] == 3 and "1 images are grey" in said(looked)
    grey = looked.arrays["train_images"][6]
    assert np.array_equal(grey[0], grey[1]) and np.array_equal(grey[0], np.asarray(picture(0, 60, mode="L")))
    for file in root.rglob("*.png"):
        Image.open(file).convert("L").save(file)
    assert look(root).description.shape == (1, SIDE, SIDE)


def test_sixteen_bits_are_brought_to_eight(root):
    deep = np.linspace(0, 65535, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
    for file in root.rglob("*.png"):
        Image.fromarray(deep).save(file)
    looked = look(root)
    assert "have 16 bits a channel or more, brought to 8" in said(looked)
    assert np.abs(looked.arrays["train_images"][0, 0].astype(int) - deep / 257).max() <= 1


def test_the_colours_of_print_and_transparency(root):
    save(root / "train/cat/print.jpg", picture(0, 70).convert("CMYK"))
    save(root / "train/cat/clear.png", picture(0, 71).convert("RGBA"))
    looked = look(root)
    assert "1 images have the colours of print (CMYK), brought to RGB" in said(looked)
    assert "1 images are transparent in places" in said(looked)


def test_photographs_are_turned_as_they_were_taken(root):
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    original = picture(0, 80)
    save(root / "train/cat/zz.png", original, exif=turned)
    looked = look(root)
    assert "1 images were turned as their EXIF data say" in said(looked)
    assert np.array_equal(looked.arrays["train_images"][6], np.rot90(np.asarray(original), -1).transpose(2, 0, 1))


def test_names_in_any_script_and_links(tmp_path):
    root = folders(tmp_path / "raw", classes=("Käfer", "猫", "010"))
    os.symlink(root / "train/猫/0.png", root / "train/Käfer/link.png")
    assert look(root).description.n_train == 19
    os.symlink(root / "nothing.png", root / "train/Käfer/broken.png")
    with pytest.raises(DatasetError, match=r"1 files are no readable images: .*Käfer/broken\.png"):
        look(root)


def test_other_files_are_left_aside_and_empty_classes_refused(root):
    (root / "train/cat/.DS_Store").write_bytes(b"")
    (root / "train/cat/notes.txt").write_text("not an image")
    (root / "train/cat/deeper").mkdir()
    save(root / "train/cat/deeper/7.png", picture(0, 90))
    looked = look(root)
    assert looked.description.n_train == 19 and "files that are no images, left aside: 1 (.txt)" in said(looked)
    (root / "train/yak").mkdir()
    with pytest.raises(DatasetError, match="train/yak holds no image"):
        look(root)


def test_what_is_no_data_set_is_refused_in_a_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.npz").write_bytes(b"PK not an archive")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    (tmp_path / "a.zip").write_bytes(b"PK")
    np.savez(tmp_path / "b.npz", images=np.zeros(3))
    constant = np.zeros((8, 4, 4), np.uint8)
    np.savez(tmp_path / "c.npz", train_images=constant, train_labels=np.arange(8) % 2)
    for name, message in {
        "nothing": "is not there. Name the folder",
        "empty": "has no folder per class",
        "a.npz": "is no archive of NumPy arrays",
        "a.parquet": "is no Parquet file",
        "a.zip": "is no folder, no .parquet or .csv file and no .npz archive",
        "b.npz": "has no array 'train_images'",
        "c.npz": "All training images of .* are the same",
    }.items():
        with pytest.raises(DatasetError, match=message) as caught:
            look(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_the_prepared_form_is_checked(root, tmp_path):
    looked = look(root)
    looked.write("pets", tmp_path / "data/pets")
    data = read_own("pets", tmp_path / "data/pets", looked.description.digest)
    names, classes = read_names(tmp_path / "data/pets")
    assert names[7] == "train/dog/1.png" and classes == ["cat", "dog", "owl"]
    assert torch.equal(data.train_images, torch.from_numpy(looked.arrays["train_images"]))
    assert (data.classes, data.mean) == (3, looked.description.mean)
    with pytest.raises(DatasetError, match=r"is not prepared: .* is missing\. Run `python -m orderdp prepare"):
        read_own("pets", tmp_path / "data/other", looked.description.digest)
    labels = np.load(tmp_path / "data/pets/train_labels.npy")
    labels[0] = 2
    np.save(tmp_path / "data/pets/train_labels.npy", labels)
    with pytest.raises(DatasetError, match=r"holds other data than params\.yaml describes"):
        read_own("pets", tmp_path / "data/pets", looked.description.digest)
    save(root / "train/cat/new.png", picture(0, 95))
    with pytest.raises(DatasetError, match="has changed since 'pets' was described"):
        prepare_own("pets", tmp_path / "data/pets", root, looked.description.digest)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="holds what is no prepared data set"):
        looked.write("pets", tmp_path / "mine")
