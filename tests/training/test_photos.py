"""Training on photographs: the same batches however they are read, by however many workers."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image

from orderdp.datasets import DatasetError
from orderdp.datasets.indexing import read_index, write_index
from orderdp.spec import PhotoAugmentSpec
from orderdp.training import image_folders
from orderdp.training.distributed import RankBatch
from orderdp.training.engine import Training
from orderdp.training.image_folders import ImageFolderLoader, build_transform, decode
from orderdp.training.loaders import build_loader
from tests.photos import PHOTOS, write_folders, write_shards
from tests.training.conftest import spec
from tests.training.test_engine import deterministic

CPU = torch.device("cpu")
AUGMENT = {
    "size": 32,
    "min_scale": 0.3,
    "flip": True,
    "interpolation": "bilinear",
    "rand_augment": {"operations": 1, "magnitude": 9, "levels": 11},
    "test_resize": 36,
}


def opened(root, out):
    write_index(PHOTOS, out, [root])
    return read_index(PHOTOS, out)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    base = tmp_path_factory.mktemp("photos")
    return opened(write_folders(base / "raw"), base / "prepared")


def photo_spec(method="orderdp", options=None, **recipe):
    chosen = spec(method, options, **{"batch_size": 16, "epochs": 2, "augment": AUGMENT, **recipe})
    model = {"name": "vit", "options": {"image": 32, "patch": 8, "width": 16, "depth": 1, "drop_path": 0.0}}
    return chosen.model_validate({**chosen.plain(), "model": model})


def feed(data, workers=0, seed=0):
    return ImageFolderLoader(data, PhotoAugmentSpec(**AUGMENT), seed, CPU, workers)


def epoch_of(feed, epoch, batches):
    found = {}
    for part, indices, images, labels in feed.epoch(epoch, [RankBatch(batch, 1.0) for batch in batches]):
        assert torch.equal(part.indices, indices)
        assert images.is_contiguous(memory_format=torch.channels_last)
        found |= {int(i): (image, int(label)) for i, image, label in zip(indices, images, labels, strict=True)}
    return found


def test_a_sample_is_augmented_alike_in_any_company_and_worker(photos):
    torch.manual_seed(7)
    state = torch.get_rng_state()
    alone = epoch_of(feed(photos), 3, torch.arange(60).split(16))
    assert torch.equal(torch.get_rng_state(), state)
    few = epoch_of(feed(photos, workers=2), 3, [torch.tensor([50, 3, 17]), torch.tensor([29])])
    assert sorted(few) == [3, 17, 29, 50]
    for index, (image, label) in few.items():
        assert torch.equal(image, alone[index][0]) and label == alone[index][1] == index // 20
    again, other = (
        epoch_of(feed(photos), 4, [torch.tensor([3])]),
        epoch_of(feed(photos, seed=1), 3, [torch.tensor([3])]),
    )
    assert not torch.equal(again[3][0], alone[3][0]) and not torch.equal(other[3][0], alone[3][0])


def test_the_pixels_of_evaluation_against_pil(photos):
    """Twin: resize the shorter side, cut the centre, scale, normalise."""
    (images, labels), *_ = feed(photos).test(0, 1)
    image = Image.open(io.BytesIO(photos.test.read(4)))
    width, height = image.size
    scale = 36 / min(width, height)
    image = image.resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)
    left, top = round((image.size[0] - 32) / 2), round((image.size[1] - 32) / 2)
    pixels = np.asarray(image)[top : top + 32, left : left + 32].transpose(2, 0, 1) / 255
    want = (torch.from_numpy(pixels).float() - torch.tensor(PHOTOS.mean).view(-1, 1, 1)) / torch.tensor(
        PHOTOS.std
    ).view(-1, 1, 1)
    # torch and PIL resize alike, but round some numbers to the other neighbour.
    torch.testing.assert_close(images[4], want, rtol=0, atol=1.01 / 255 / min(PHOTOS.std))
    assert labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_ranks_share_the_test_set(photos, monkeypatch):
    monkeypatch.setattr(image_folders, "EVALUATION_BATCH", 4)
    made = ImageFolderLoader(photos, PhotoAugmentSpec(**AUGMENT), 0, CPU, 0)
    parts = [[labels.tolist() for _, labels in made.test(rank, 3)] for rank in range(3)]
    assert [len(part) for part in parts] == [2, 1, 1]
    assert sorted(label for part in parts for batch in part for label in batch) == photos.test_labels.tolist()


def test_folders_and_shards_train_alike(tmp_path, photos):
    """Shards hold the samples in another order, so that only what does not depend on it is compared."""
    shards = opened(write_shards(tmp_path / "raw"), tmp_path / "prepared")
    assert sorted(shards.train_labels.tolist()) == sorted(photos.train_labels.tolist())
    training = Training(photo_spec(epochs=1), shards, CPU)
    training.fit(lambda training: None)
    assert training.history[0]["kept"] == 18


def test_a_batch_is_the_work_of_several_workers(photos, monkeypatch):
    """The first batch asks for portions, not for all of it; the images are those of whole batches."""
    batches = [torch.arange(40), torch.arange(40, 43)]
    whole = epoch_of(feed(photos), 0, batches)
    asked = []
    original = image_folders._Decoded.__getitem__
    monkeypatch.setattr(image_folders, "AT_A_TIME", 16)
    monkeypatch.setattr(
        image_folders._Decoded, "__getitem__", lambda self, key: (asked.append(len(key[1])), original(self, key))[1]
    )
    again = epoch_of(feed(photos), 0, batches)
    assert asked == [16, 16, 8, 3]
    assert all(torch.equal(again[index][0], image) for index, (image, _) in whole.items())


def test_pixels_are_those_of_pil(photos):
    """JPEG in grey, in colour and in the colours of print, PNG with a palette; a JPEG file that is cut off is none."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    forms = [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("P", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG")]
    for mode, form in forms:
        text = io.BytesIO()
        (picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)).save(text, form)
        want = np.array(Image.open(io.BytesIO(text.getvalue())).convert("RGB")).transpose(2, 0, 1)
        got = decode(text.getvalue()).numpy()
        assert got.shape == want.shape == (3, 24, 31), (mode, form)
        # PIL converts the colours of print by another rounding.
        assert np.abs(got.astype(int) - want).max() <= (mode == "CMYK"), (mode, form)
    with pytest.raises(Exception, match="truncated"):
        decode(photos.train.read(0)[:-300])


def test_magnitudes_are_on_the_scale_of_the_levels():
    """With 11 levels, magnitude 9 turns by 27 degrees, as in timm; of torchvision's 31, by 9."""
    for levels, degrees in ((11, 27.0), (31, 9.0)):
        augment = PhotoAugmentSpec(**{**AUGMENT, "rand_augment": {"operations": 2, "magnitude": 9, "levels": levels}})
        (operation,) = [each for each in build_transform(augment, True).transforms if hasattr(each, "magnitude")]
        magnitudes, _ = operation._AUGMENTATION_SPACE["Rotate"]
        assert float(magnitudes(operation.num_magnitude_bins, 32, 32)[operation.magnitude]) == pytest.approx(degrees)
    with pytest.raises(ValueError, match=r"'magnitude' must be below 'levels' = 5\. Got 9"):
        PhotoAugmentSpec(**{**AUGMENT, "rand_augment": {"operations": 2, "magnitude": 9, "levels": 5}})


def test_it_learns_and_resumes_to_the_bit(photos):
    states = []
    chosen = photo_spec("full", {}, epochs=12, label_smoothing=0.0)
    whole = Training(chosen, photos, CPU)
    whole.fit(lambda training: states.append(copy.deepcopy(training.state_dict())))
    assert whole.history[-1]["test_accuracy"] > 60  # chance is 33
    resumed = Training(chosen, photos, CPU, workers=2)
    resumed.load_state_dict(states[9])
    resumed.fit(lambda training: None)
    assert deterministic(resumed.history) == deterministic(whole.history)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_one_error_that_names_it(tmp_path, workers):
    root = write_folders(tmp_path / "raw")
    file = root / "train/n02/n02_003.JPEG"
    file.write_bytes(b"\xff\xd8 not a photograph")
    training = Training(photo_spec("full", {}), opened(root, tmp_path / "prepared"), CPU, workers=workers)
    with pytest.raises(DatasetError) as caught:
        training.fit(lambda training: None)
    assert str(caught.value).startswith(
        f"{tmp_path}/prepared/images/train/n02/n02_003.JPEG is no readable image (UnidentifiedImageError"
    )
    assert "Traceback" not in str(caught.value)


def test_a_recipe_for_the_other_kind_of_data_is_refused(photos):
    with pytest.raises(
        ValueError, match=r"'augment' .* 'photos', whose images are photographs in files\. It takes: size, min_scale"
    ):
        build_loader(photos, spec().recipe, 0, CPU, 0)
    with pytest.raises(ValueError, match=r"The diagnostics 'gradients' need a classifier on images in memory"):
        Training(photo_spec().model_copy(update={"diagnostics": ("gradients",)}), photos, CPU)
