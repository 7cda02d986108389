"""Training on photographs: the same batches however they are read, by however many workers."""

from __future__ import annotations

import copy

import pytest
import torch

from orderdp.datasets import DatasetError
from orderdp.datasets.indexing import read_index, write_index
from orderdp.spec import PhotoAugmentSpec
from orderdp.training.distributed import RankBatch
from orderdp.training.engine import Training
from orderdp.training.image_folders import ImageFolderLoader
from orderdp.training.loaders import build_loader
from tests.photos import PHOTOS, write_folders, write_shards
from tests.training.conftest import spec
from tests.training.test_engine import deterministic

CPU = torch.device("cpu")
AUGMENT = {
    "size": 32,
    "min_scale": 0.3,
    "flip": True,
    "rand_augment": {"operations": 1, "magnitude": 9},
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
    return ImageFolderLoader(data, PhotoAugmentSpec(**AUGMENT), 16, seed, CPU, workers)


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
    import io

    import numpy as np
    from PIL import Image

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
    torch.testing.assert_close(images[4], want, rtol=1e-4, atol=1e-5)
    assert labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_ranks_share_the_test_set(photos):
    made = ImageFolderLoader(photos, PhotoAugmentSpec(**AUGMENT), 4, 0, CPU, 0)
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
