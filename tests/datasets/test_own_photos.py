"""Photographs of one's own that stay in their files: what is indexed, read, and refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from orderdp import grid as grids
from orderdp.__main__ import main
from orderdp.datasets import DatasetError, FolderData
from orderdp.datasets.own import look, prepare_own, read_own
from orderdp.datasets.own import photos as photographs
from orderdp.jobs import costs
from orderdp.training.image_folders import decode
from tests.datasets.test_own import picture, save

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path):
    """Two classes of photographs of many sizes."""
    for label, name in enumerate(("barn", "tower")):
        for number in range(10):
            side = 40 + 7 * number
            save(tmp_path / "raw" / name / f"{number}.png", picture(label, number, side).resize((side, side + 5)))
    return tmp_path / "raw"


def test_photographs_are_indexed_and_read_where_they_lie(root, tmp_path):
    looked = look(root, photos=True)
    told = looked.description
    assert told.photos and told.classes == ("barn", "tower") and (told.n_train, told.n_test) == (16, 4)
    assert "photographs of 40 x 45 to 103 x 108 pixels, which stay in their files" in looked.notes
    looked.write("views", tmp_path / "data/views")
    data = read_own("views", tmp_path / "data/views", told.digest)
    assert isinstance(data, FolderData) and (len(data.train), len(data.test)) == (16, 4)
    assert data.train.labels.tolist() == [0] * 8 + [1] * 8
    content = data.train.read(3)
    assert content == Path(data.train.path(3)).read_bytes()
    assert np.array_equal(decode(content).permute(1, 2, 0), np.asarray(Image.open(data.train.path(3))))
    everything = np.concatenate([np.asarray(Image.open(data.train.path(i))).reshape(-1, 3) for i in range(16)]) / 255
    assert told.mean == pytest.approx(everything.mean(0), abs=0.03)


def test_the_digest_is_of_contents_and_not_of_the_place(root, tmp_path):
    digest = look(root, photos=True).description.digest
    shutil.copytree(root, tmp_path / "elsewhere")
    assert look(tmp_path / "elsewhere", photos=True).description.digest == digest
    save(tmp_path / "elsewhere/barn/3.png", picture(1, 99, 61))
    with pytest.raises(DatasetError, match=r"has changed since 'views' was described"):
        prepare_own("views", tmp_path / "data/views", tmp_path / "elsewhere", digest, photos=True)
    assert not (tmp_path / "data/views").exists()


def test_processes_see_what_one_sees(root, monkeypatch):
    one = look(root, photos=True).description
    monkeypatch.setattr(photographs, "FEW", 1)
    assert look(root, photos=True).description == one


def test_odd_photographs_are_said_or_refused(root, tmp_path):
    save(root / "barn/grey.jpg", picture(0, 50, 80, "L"))
    save(root / "barn/print.jpg", picture(0, 51, 80, "CMYK"))
    turned = picture(0, 52, 80)
    exif = turned.getexif()
    exif[0x0112] = 6
    save(root / "barn/turned.jpg", turned, exif=exif)
    said = "\n".join(look(root, photos=True).notes)
    for words in ("1 images are grey", "1 images have the colours of print", "1 images are turned by their EXIF data"):
        assert words in said
    (root / "tower/broken.jpg").write_bytes(b"\xff\xd8 no image")
    with pytest.raises(DatasetError, match=r"1 files are no readable images: .*broken\.jpg.*--skip-broken"):
        look(root, photos=True)
    assert "left out: " in "\n".join(look(root, photos=True, skip_broken=True).notes)
    with pytest.raises(DatasetError, match="in their files, as they are"):
        look(root, size=32, photos=True, skip_broken=True)
    np.savez(tmp_path / "a.npz", train_images=np.zeros((4, 8, 8), np.uint8), train_labels=[0, 1, 0, 1])
    with pytest.raises(DatasetError, match="is no folder of images, so there are no files to leave them in"):
        look(tmp_path / "a.npz", photos=True)


@pytest.mark.slow
def test_a_run_on_photographs_of_ones_own(root, tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    shutil.copy(ROOT / "params.yaml", tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    assert main(["dataset", "add", "views", str(root), "--photos"]) == 0
    params = yaml.safe_load(Path("params.yaml").read_text())
    augment = {"size": 32, "test_resize": 36}
    overrides = {"epochs": 1, "batch_size": 8, "augment": augment, "precision": "fp32"}
    params["workloads"]["mine"] = {
        "dataset": "views", "model": "imagenet_resnet18", "model_options": {"depth": 1}, "recipe": "imagenet",
        "overrides": overrides,
    }  # fmt: skip
    params["scales"]["quick"]["substitutes"]["cifar10-resnet50-adamw"] = "mine"
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    grid = grids.load("params.yaml", "quick")
    run = next(run for run in grid.runs.values() if run.spec.dataset.name == "views" and "orderdp" in run.name)
    assert costs.streamed(run.spec)
    assert main(["run", run.name, "--scale", "quick", "--device", "cpu", "--workers", "0"]) == 0
    summary = json.loads(Path("runs", run.name, "summary.json").read_text())
    assert summary["n"] == 16 and summary["classes"] == 2
    root.rename(root.with_name("moved"))
    shutil.rmtree(Path("runs", run.name))
    with pytest.raises(DatasetError, match="The photographs of 'views' are gone"):
        from orderdp.jobs.data import prepared

        prepared(run.spec.dataset, Path("data"))
