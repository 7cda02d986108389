"""One epoch of every architecture with every optimizer in every precision of tables 3 to 7, on tiny photographs;
pre-training and fine-tuning."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from orderdp.datasets.indexing import read_index, write_index
from orderdp.jobs import trainer
from orderdp.models import MODELS
from orderdp.training.engine import Training
from tests.photos import PHOTOS, write_folders
from tests.training.conftest import run_of, spec, train_run
from tests.training.test_optimizers import BASE, SPECS
from tests.training.test_photos import AUGMENT

CPU = torch.device("cpu")
TRANSFORMER = {"image": 32, "patch": 8, "width": 24, "depth": 1}
SMALL = {
    "resnet18": {"width": 4},
    "resnet50": {"width": 4},
    "imagenet_resnet18": {"depth": 1},
    "imagenet_resnet50": {"depth": 1, "width": 8},
    "timm_resnet50": {"depth": 1, "width": 8, "drop_path": 0.05},
    "swin_tiny": {"image": 32, "patch": 2, "window": 4, "width": 12, "depth": 1, "drop_path": 0.2},
    "vit": {**TRANSFORMER, "drop_path": 0.1},
    "mae_vit": {**TRANSFORMER, "decoder_width": 16, "decoder_depth": 1},
    "torchvision_network": {"architecture": "shufflenet_v2_x0_5"},
    "timm_network": {"architecture": "resnet10t"},
}
MIX = {"mixup": 0.8, "cutmix": 1.0, "probability": 1.0, "cutmix_share": 0.5, "erase": 0.25}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    base = tmp_path_factory.mktemp("photos")
    write_index(PHOTOS, base / "photos", [write_folders(base / "raw")])
    return read_index(PHOTOS, base / "photos")


def architecture_spec(name, optimizer="sgd", precision="fp32", **recipe):
    task = "reconstruct" if name == "mae_vit" else "classify"
    changes = {
        "batch_size": 18,
        "epochs": 1,
        "task": task,
        "augment": {**AUGMENT, "rand_augment": None},
        "mix": MIX if task == "classify" else None,
        "precision": precision,
        "optimizer": {**BASE, **SPECS[optimizer], "decay": "matrices", "clip_norm": 1.0},
        "schedule": {**spec().recipe.schedule.model_dump(), "max_lr": 0.001},
    }
    chosen = spec("orderdp", {"prune_ratio": 0.4, "explore": 0.75}, **{**changes, **recipe})
    return chosen.model_validate({**chosen.plain(), "model": {"name": name, "options": SMALL[name]}})


def test_every_model_of_the_tables_is_here():
    assert set(SMALL) == set(MODELS) - {"resnet8", "mlp"}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("optimizer", SPECS)
@pytest.mark.parametrize("name", SMALL)
def test_an_epoch(photos, name, optimizer, precision):
    training = Training(architecture_spec(name, optimizer, precision), photos, CPU)
    before = [p.detach().clone() for p in training.model.parameters() if p.requires_grad]
    training.fit(lambda training: None)
    (row,) = training.history
    assert (row["kept"], row["steps"]) == (36, 2)
    assert all(math.isfinite(row[column]) for column in ("train_loss", "test_loss"))
    # float16 may skip both steps until its scale fits.
    assert precision == "fp16" or math.isfinite(row["grad_norm_max"])
    assert (row["test_accuracy"] is None) == (name == "mae_vit")
    after = [p.detach() for p in training.model.parameters() if p.requires_grad]
    assert all(p.isfinite().all() for p in after)
    assert (
        precision == "fp16" or sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) > len(after) // 2
    )
    losses = training.pruner.extra_state()["_scores"]
    training.pruner.synchronize()
    assert losses.isfinite().sum() == 36


def both(epochs=2):
    before = architecture_spec("mae_vit", epochs=epochs)
    after = architecture_spec("vit").model_copy(update={"pretraining": before})
    return run_of("before", before), run_of("after", after, starts_from="before")


def test_fine_tuning_starts_from_the_pretrained_encoder(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "prepared", lambda dataset, folder: photos)
    folders = {"data": tmp_path, "runs": tmp_path / "runs", "work": tmp_path / "work", "threads": 1, "device": "cpu"}
    before, after = both()
    with pytest.raises(
        FileNotFoundError, match=r"runs/before/model\.pt is missing\. Make it: python -m orderdp run before"
    ):
        train_run(after, **folders)
    summary = train_run(before, **folders)
    assert summary["test_accuracy"] is None and summary["environment"]["data_checksum"] == photos.checksum
    weights = torch.load(
        tmp_path / "runs/before/model.pt", weights_only=True
    )  # kept although the scale keeps no models
    seen = {}
    original = Training.start_from
    monkeypatch.setattr(
        Training,
        "start_from",
        lambda self, weights: (original(self, weights), seen.update(copy.deepcopy(self.model.state_dict()))),
    )
    assert train_run(after, **folders)["status"] == "finished"
    for name in ("patch_embed.proj.weight", "pos_embed", "blocks.0.attn.qkv.weight"):
        assert torch.equal(seen[f"body.{name}"], weights[f"encoder.{name}"])


def test_reconstruction_can_be_learnt(photos):
    """Colours of a patch's neighbours say something of it: the loss falls below that of predicting each patch's mean,
    which is 1."""
    chosen = architecture_spec(
        "mae_vit", "adamw", epochs=12, schedule={**spec().recipe.schedule.model_dump(), "max_lr": 0.01}
    )
    training = Training(chosen, photos, CPU)
    training.fit(lambda training: None)
    assert training.history[-1]["test_loss"] < training.history[0]["test_loss"]
