"""A tiny data set of photographs for tests: three classes of noisy colours, as folders and as shards."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from orderdp.datasets.folders import Folders

CLASSES = ("n01", "n02", "n03")
PHOTOS = Folders(
    name="photos",
    classes=3,
    class_checksum=None,
    n_train=None,
    n_test=None,
    subset=None,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
COUNTS = {"train": 20, "val": 5}
"""Images of each class."""


def jpeg(label: int, number: int) -> bytes:
    """A photograph of 40 x 48 pixels or so whose mean colour tells its class."""
    from PIL import Image

    draw = np.random.default_rng(1000 * label + number)
    pixels = draw.integers(0, 120, (40 + number % 7, 48, 3), dtype=np.uint8)
    pixels[:, :, label] += 100
    text = io.BytesIO()
    Image.fromarray(pixels).save(text, "JPEG", quality=90)
    return text.getvalue()


def numbers(split: str) -> range:
    """Which images a split has of each class."""
    return range(COUNTS["train"]) if split == "train" else range(500, 500 + COUNTS["val"])


def write_folders(root: Path) -> Path:
    """The data set as folders of classes."""
    for split in COUNTS:
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in numbers(split):
                (folder / f"{name}_{number:03}.JPEG").write_bytes(jpeg(label, number))
    return root


def write_shards(root: Path) -> Path:
    """The same as WebDataset's own writer has it, in shards of 16 samples, classes in turn."""
    import webdataset

    for split in COUNTS:
        (root / split).mkdir(parents=True)
        with webdataset.ShardWriter(str(root / split / "part-%03d.tar"), maxcount=16, verbose=0) as writer:
            for number in numbers(split):
                for label, name in enumerate(CLASSES):
                    writer.write({"__key__": f"{name}_{number:03}", "jpg": jpeg(label, number), "cls": label})
    return root
