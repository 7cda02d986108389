"""Label noise: how many, which, how, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom

from orderdp.datasets import ImageData
from orderdp.datasets.noise import noisy_labels, with_label_noise

CLASSES = 5


def data(n: int = 103, name: str = "made_up") -> ImageData:
    labels = torch.arange(n) % CLASSES
    images = torch.zeros(n, 1, 2, 2, dtype=torch.uint8)
    return ImageData(name, images, labels, images, labels.clone(), CLASSES, (0.0,), (1.0,))


@pytest.mark.parametrize("rate", [0, 0.1, 0.2, 0.5, 0.99])
def test_exactly_the_share_is_wrong_and_the_test_labels_stay(rate):
    clean = data()
    noisy, wrong = with_label_noise(clean, rate)
    assert int(wrong.sum()) == round(rate * 103)
    assert torch.equal(noisy.train_labels != clean.train_labels, wrong)
    assert (
        noisy.train_labels.dtype == torch.int64 and noisy.train_labels.min() >= 0 and noisy.train_labels.max() < CLASSES
    )
    assert torch.equal(noisy.test_labels, clean.test_labels) and noisy.train_images is clean.train_images
    assert torch.equal(clean.train_labels, torch.arange(103) % CLASSES), "the original was changed"


def test_the_draw_depends_on_the_name_alone_and_is_nested():
    labels = np.zeros(1000, dtype=np.int64)
    some, wrong_some = noisy_labels(labels, CLASSES, 0.1, "digits")
    more, wrong_more = noisy_labels(labels, CLASSES, 0.2, "digits")
    assert np.array_equal(some, noisy_labels(labels, CLASSES, 0.1, "digits")[0])
    assert not (wrong_some & ~wrong_more).any() and np.array_equal(some[wrong_some], more[wrong_some])
    assert not np.array_equal(wrong_some, noisy_labels(labels, CLASSES, 0.1, "fashion_mnist")[1])


def test_the_draw_never_changes():
    # Golden: with another draw, old and new runs could not be compared.
    labels, _ = noisy_labels(np.arange(20) % 10, 10, 0.3, "digits")
    assert labels.tolist() == [0, 1, 6, 3, 4, 9, 6, 7, 8, 9, 8, 1, 2, 3, 4, 3, 3, 7, 8, 2]


def test_wrong_samples_and_their_labels_are_uniform():
    n, rate = 40_000, 0.25
    clean = np.arange(n) % CLASSES
    labels, wrong = noisy_labels(clean, CLASSES, rate, "made_up")
    counts = [int(wrong[clean == label].sum()) for label in range(CLASSES)]
    shifts = np.bincount((labels - clean)[wrong] % CLASSES, minlength=CLASSES)
    assert shifts[0] == 0

    def probable(count: int, trials: int, share: float) -> bool:
        return min(binom.cdf(count, trials, share), binom.sf(count - 1, trials, share)) > 1e-7

    assert all(probable(count, n // CLASSES, rate) for count in counts)
    assert all(probable(int(count), int(wrong.sum()), 1 / (CLASSES - 1)) for count in shifts[1:])


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_is_named(rate):
    with pytest.raises(ValueError, match=r"'label_noise' of the data set 'made_up' must be in \[0, 1\)"):
        with_label_noise(data(), rate)
