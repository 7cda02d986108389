"""MixUp, CutMix, erasing: the images, their targets, and the losses that follow."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from orderdp.spec import MixSpec
from orderdp.training.mixes import Mixer, Targets, box, erase
from orderdp.training.objectives import Classification

CPU = torch.device("cpu")


def mixer(seed=0, n=100, epoch=0, **changes):
    nothing = {"mixup": 0.0, "cutmix": 0.0, "probability": 1.0, "cutmix_share": 0.5, "erase": 0.0}
    made = Mixer(MixSpec(**{**nothing, **changes}), seed)
    made.begin(epoch, n, CPU)
    return made


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, 16, 12, generator=draw), torch.arange(6), torch.tensor([5, 90, 3, 17, 44, 8])


def test_mixup(batch):
    images, labels, indices = batch
    mixed, targets = mixer(mixup=0.8)(images.clone(), labels, indices, 0)
    assert 0 < targets.share < 1
    assert targets.partners.tolist() == [5, 4, 3, 2, 1, 0]
    for row in range(6):
        torch.testing.assert_close(mixed[row], targets.share * images[row] + (1 - targets.share) * images[5 - row])


def test_cutmix_share_is_the_area_that_stays(batch):
    images, labels, indices = batch
    for step in range(20):
        mixed, targets = mixer(cutmix=1.0)(images.clone(), labels, indices, step)
        foreign = (mixed != images).any(1)
        assert torch.equal(foreign, foreign[:1].expand_as(foreign))  # one box for all
        assert float(foreign[0].float().mean()) == pytest.approx(1 - targets.share)
        for row in range(6):
            assert torch.equal(mixed[row][:, foreign[row]], images[5 - row][:, foreign[row]])


def test_box_is_cut_at_the_border():
    assert box(10, 20, 0.75, 0.5, 0.5) == (3, 7, 5, 15)
    assert box(10, 20, 0.75, 0.0, 0.999) == (0, 2, 14, 20)
    assert box(10, 20, 1.0, 0.5, 0.5) == (5, 5, 10, 10)
    assert box(10, 20, 0.0, 0.5, 0.5) == (0, 10, 0, 20)


def test_how_often(batch):
    images, labels, indices = batch
    kinds = []
    for step in range(300):
        mixed, targets = mixer(mixup=1.0, cutmix=1.0, probability=0.8, cutmix_share=0.25)(images, labels, indices, step)
        untouched = (mixed == images).all(1).any()
        kinds.append("none" if targets.partners is None else "cut" if untouched or targets.share in (0, 1) else "mix")
    assert 0.72 < 1 - kinds.count("none") / 300 < 0.88
    assert 0.17 < kinds.count("cut") / (300 - kinds.count("none")) < 0.35


def test_mixing_depends_on_seed_epoch_and_step_alone(batch):
    images, labels, indices = batch

    def shares(seed, epoch, step):
        return mixer(seed, epoch=epoch, mixup=1.0)(images, labels, indices, step)[1].share

    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert shares(0, 0, 0) == shares(0, 0, 0)
    assert len({shares(0, 0, 0), shares(1, 0, 0), shares(0, 1, 0), shares(0, 0, 1)}) == 4
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_to_mix(batch):
    images, labels, indices = batch
    for made in (Mixer(None, 0), mixer(mixup=1.0, probability=0.0), mixer()):
        same, targets = made(images, labels, indices, 0)
        assert same is images and targets == Targets(labels, None, 1.0)


def test_erased_rectangles_against_a_loop(batch):
    images, _, _ = batch
    draws = torch.rand(6, 5, generator=torch.Generator().manual_seed(3))
    erased = erase(images, draws, 0.6)
    for image, got, (whether, area, aspect, row, column) in zip(images, erased, draws.tolist(), strict=True):
        want = image.clone()
        if whether < 0.6:
            pixels = (0.02 + area * (1 / 3 - 0.02)) * 16 * 12
            ratio = 0.3 * (1 / 0.09) ** aspect
            tall, wide = min(16, (pixels * ratio) ** 0.5), min(12, (pixels / ratio) ** 0.5)
            top, left = row * (16 - tall), column * (12 - wide)
            for y in range(16):
                for x in range(12):
                    if top <= y + 0.5 < top + tall and left <= x + 0.5 < left + wide:
                        want[:, y, x] = 0
        assert torch.equal(got, want)
    assert torch.equal(erase(images, draws, 0.0), images)


def test_a_sample_is_erased_alike_whatever_else_is_kept(batch):
    images, labels, indices = batch
    made = mixer(erase=1.0)
    whole, _ = made(images, labels, indices, 0)
    part, _ = made(images[2:4], labels[2:4], indices[2:4], 7)
    assert torch.equal(part, whole[2:4])
    assert not torch.equal(whole, mixer(erase=1.0, epoch=1)(images, labels, indices, 0)[0])


def test_a_mixed_loss_is_the_cross_entropy_against_the_mixed_target():
    """Twin: torch's cross-entropy with probabilities as target."""
    torch.manual_seed(0)
    network, images = nn.Linear(4, 5), torch.randn(6, 4)
    labels, partners, share = torch.arange(6) % 5, torch.arange(6).flip(0) % 5, 0.7
    losses, answers, _ = Classification(0.1).losses(network, images, Targets(labels, partners, share))
    soft = share * F.one_hot(labels, 5) + (1 - share) * F.one_hot(partners, 5)
    torch.testing.assert_close(losses, F.cross_entropy(network(images), soft, reduction="none", label_smoothing=0.1))
    assert torch.equal(answers, network(images).argmax(1))
