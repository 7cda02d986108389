"""scikit-learn's bundled handwritten digits: 1,797 images of 8 x 8 pixels; no download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI), its test part as
`sklearn.datasets.load_digits` has it. It comes without a split, so a fixed one is made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orderdp.datasets.base import Arrays, ImageDataset, verified

SPLIT_SEED = 20240917
LEVELS = 16


@dataclass(frozen=True, kw_only=True)
class Digits(ImageDataset):
    """The digits in a stratified split of 1,197 training and 600 test images, each in the source's order.

    A third is for testing, more than usual, because a test set of 360 cannot show differences below half a point.
    """

    def read(self, folder: Path) -> Arrays:
        """Read them from scikit-learn; `folder` is ignored."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        counts, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
        verified(counts.tobytes(), self.raw["images"], "the images of scikit-learn's load_digits")
        verified(labels.tobytes(), self.raw["target"], "the labels of scikit-learn's load_digits")
        images, labels = stretch(counts)[:, None], labels.astype(np.int64)
        test = stratified_test_mask(labels, self.n_test, SPLIT_SEED)
        return Arrays(images[~test], labels[~test], images[test], labels[test])


def stretch(counts: np.ndarray) -> np.ndarray:
    """Map the source's values 0..16 (set pixels of a 4 x 4 cell) to 0..255.

    The value v becomes round(255 v / 16), halves up, so that 8 becomes 128.

    Args:
        counts: uint8, values 0..16.

    Returns:
        uint8 of the same shape; the map is one to one.
    """
    return ((counts.astype(np.int64) * 255 + LEVELS // 2) // LEVELS).astype(np.uint8)


def stratified_test_mask(labels: np.ndarray, n_test: int, seed: int) -> np.ndarray:
    """Choose test samples at random, each class in proportion (largest remainders decide the rest).

    Args:
        labels: int64 (n,).
        n_test: samples to choose.
        seed: of the PCG64 bit stream.

    Returns:
        bool (n,), n_test of them True.
    """
    # Raw bits and a stable sort: NumPy guarantees the bit stream of PCG64 for ever, but not what
    # Generator.permutation makes of it.
    keys = np.random.PCG64(seed).random_raw(len(labels))
    sizes = np.bincount(labels) * n_test
    quota, remainder = sizes // len(labels), sizes % len(labels)
    quota[np.argsort(-remainder, kind="stable")[: n_test - quota.sum()]] += 1
    mask = np.zeros(len(labels), dtype=bool)
    for label, count in enumerate(quota):
        members = np.flatnonzero(labels == label)
        mask[members[np.argsort(keys[members], kind="stable")[:count]]] = True
    return mask


DIGITS = Digits(
    name="digits",
    classes=10,
    shape=(1, 8, 8),
    n_train=1197,
    n_test=600,
    # Computed from the training images; tests/datasets/test_digits.py recomputes them.
    mean=(0.3057,),
    std=(0.3758,),
    raw={
        "images": "sha256:8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
        "target": "sha256:8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
    },
    bundled_with="scikit-learn",
)
