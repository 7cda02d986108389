"""The networks against parameter counts worked out by hand, and the interface that all of them share."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import torch

from orderdp.models import MODELS, build


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SMALL_IMAGES = ("resnet8", "resnet18", "resnet50")
"""Those that take images of any size; the others are in test_photo_models.py."""


def parameters(name: str, classes: int = 10, channels: int = 3, **options: int) -> int:
    with torch.device("meta"):  # shapes without memory
        return sum(p.numel() for p in build(name, classes, channels, **options).parameters())


def conv(kernel: int, before: int, after: int) -> int:
    """A convolution without bias and the batch normalisation behind it."""
    return kernel * kernel * before * after + 2 * after


def twin_resnet8(classes: int, channels: int, w: int) -> int:
    stage1 = 2 * conv(3, w, w)
    stage2 = conv(3, w, 2 * w) + conv(3, 2 * w, 2 * w) + conv(1, w, 2 * w)
    stage3 = conv(3, 2 * w, 4 * w) + conv(3, 4 * w, 4 * w) + conv(1, 2 * w, 4 * w)
    return conv(3, channels, w) + stage1 + stage2 + stage3 + (4 * w + 1) * classes


def twin_resnet18(classes: int, channels: int, w: int) -> int:
    total = conv(3, channels, w) + 4 * conv(3, w, w)
    for before in (w, 2 * w, 4 * w):
        after = 2 * before
        total += conv(3, before, after) + 3 * conv(3, after, after) + conv(1, before, after)
    return total + (8 * w + 1) * classes


def twin_resnet50(classes: int, channels: int, w: int) -> int:
    total, before = conv(3, channels, w), w
    for planes, depth in ((w, 3), (2 * w, 4), (4 * w, 6), (8 * w, 3)):
        total += conv(1, before, 4 * planes)  # the shortcut of the stage's first block
        for _ in range(depth):
            total += conv(1, before, planes) + conv(3, planes, planes) + conv(1, planes, 4 * planes)
            before = 4 * planes
    return total + (before + 1) * classes


@pytest.mark.parametrize(("classes", "channels", "width"), [(10, 3, 64), (100, 3, 64), (10, 1, 16)])
@pytest.mark.parametrize(
    ("name", "twin"), [("resnet8", twin_resnet8), ("resnet18", twin_resnet18), ("resnet50", twin_resnet50)]
)
def test_parameter_counts_equal_the_sum_over_layers(name, twin, classes, channels, width):
    assert parameters(name, classes, channels, width=width) == twin(classes, channels, width)


def test_published_parameter_counts():
    # Counts of the widely used CIFAR ResNets with 10 classes.
    assert parameters("resnet18") == 11_173_962
    assert parameters("resnet50") == 23_520_842
    assert parameters("resnet8", channels=1) == 77_754


@pytest.mark.parametrize("name", SMALL_IMAGES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)], ids=str)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_every_model_trains_on_every_image_shape(name, shape, memory_format):
    model = build(name, 7, shape[0], width=8).to(memory_format=memory_format)
    images = torch.rand(3, *shape).to(memory_format=memory_format)
    features = model.features(images)
    assert features.shape == (3, model.head.in_features)
    model(images).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    assert model(images).shape == (3, 7)
    torch.testing.assert_close(model(images), model.head(model.features(images)))


@pytest.mark.parametrize("name", SMALL_IMAGES)
def test_memory_format_does_not_change_the_result(name):
    torch.manual_seed(0)
    model = build(name, 10, 3, width=4).eval()
    images = torch.rand(2, 3, 32, 32)
    expected = model(images)
    model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        model(images.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", SMALL_IMAGES)
def test_initial_weights_follow_the_seed_and_are_pytorchs_default(name):
    def weights(seed):
        torch.manual_seed(seed)
        return build(name, 10, 3, width=4).state_dict()

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["stem.weight"], other["stem.weight"])
    # PyTorch's default draws uniformly within 1 / sqrt(fan in): 27 for a 3 x 3 stem on 3 planes.
    assert first["stem.weight"].abs().max() <= 27**-0.5


@pytest.mark.parametrize("name", SMALL_IMAGES)
def test_models_can_be_pickled_and_their_state_loaded(name):
    model = build(name, 10, 1, width=4).eval()
    images = torch.rand(2, 1, 8, 8)
    copy = pickle.loads(pickle.dumps(model))
    torch.testing.assert_close(copy(images), model(images), rtol=0, atol=0)
    other = build(name, 10, 1, width=4).eval()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(images), model(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vgg"}, f"Unknown model 'vgg'. Known: {', '.join(MODELS)}."),
        ({"name": "resnet8", "depth": 3}, "Unknown option 'depth' of model 'resnet8'. Known: width."),
        ({"name": "resnet18", "width": 0}, "The 'width' of model 'resnet18' must be an integer of at least 1. Got 0."),
        (
            {"name": "resnet8", "width": 1.5},
            "The 'width' of model 'resnet8' must be an integer of at least 1. Got 1.5.",
        ),
        (
            {"name": "resnet8", "classes": -1},
            "The 'classes' of model 'resnet8' must be an integer of at least 1. Got -1.",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError) as error:
        build(**{"classes": 10, "channels": 1} | arguments)
    assert str(error.value) == message


def test_resnet8_needs_no_torchvision():
    code = (
        "import sys; from orderdp.models import build; build('resnet8', 10, 1);assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
