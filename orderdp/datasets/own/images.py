"""Brings images of all kinds to arrays of one kind."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orderdp.datasets.base import DatasetError
from orderdp.datasets.own.finding import Raw
from orderdp.datasets.own.words import left_out

MOST_BYTES = 4 * 2**30
"""Of all images in memory."""


class NeedsSize(DatasetError):
    """The images differ in size, or are too large for memory, so that they must be brought to a size."""


class Decoder:
    """Brings images of all kinds to uint8 (H, W, C), and notes what it met."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.broken: list[str] = []
        self.met: Counter[str] = Counter()
        self.sides: Counter[tuple[int, int]] = Counter()
        self.coloured = False

    def all_of(self, samples: Sequence[Raw]) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64], list[str]]:
        """The images that can be read, their labels, and the names of their files."""
        images, labels, names = [], [], []
        for index in range(len(samples)):
            raw = samples[index]
            image = self._pixels(raw)
            if image is not None:
                images.append(image)
                labels.append(raw.label)
                names.append(raw.where)
        return images, np.array(labels, np.int64), names

    def stacked(self, images: list[NDArray[np.uint8]], path: Path) -> NDArray[np.uint8]:
        """uint8 (n, C, H, W), of one size and one number of channels."""
        if len(self.sides) > 1:
            (small, *_), (large, *_) = sorted(self.sides), sorted(self.sides, reverse=True)
            raise NeedsSize(
                f"{path}: the images differ in size, from {small[1]} x {small[0]} to {large[1]} x {large[0]} pixels."
                " Bring them to one (--size 32, for example), or leave them in their files (--photos)."
            )
        if not images:
            raise DatasetError(f"{path} has a part without any image.")
        shape = (len(images), 3 if self.coloured else 1, *images[0].shape[:2])
        if (size := math.prod(shape)) > MOST_BYTES:
            raise NeedsSize(
                f"{path}: its images take {size / 2**30:.1f} GiB, and at most {MOST_BYTES / 2**30:g} are kept"
                " in memory. Make them smaller (--size 64, for example), or leave them in their files (--photos)."
            )
        whole = np.empty(shape, np.uint8)
        for index, image in enumerate(images):
            whole[index] = image.transpose(2, 0, 1)  # one channel is repeated where three are needed
        return whole

    def notes(self) -> list[str]:
        return [*(f"{count} images {what}" for what, count in sorted(self.met.items())), *left_out(self.broken)]

    def _pixels(self, raw: Raw) -> NDArray[np.uint8] | None:
        from PIL import Image, ImageOps

        try:
            encoded = isinstance(raw.content, bytes)
            opened: Image.Image = (
                Image.open(io.BytesIO(raw.content)) if encoded else Image.fromarray(raw.content.squeeze())  # type: ignore[arg-type, union-attr]
            )
            opened.load()
            image = ImageOps.exif_transpose(opened)
        except Exception:  # PIL raises many kinds
            self.broken.append(raw.where)
            return None
        if opened.getexif().get(0x0112, 1) != 1:
            self.met["were turned as their EXIF data say"] += 1
        if image.mode.startswith(("I", "F")):
            self.met["have 16 bits a channel or more, brought to 8"] += 1
            deep = np.asarray(image, np.float64)
            image = Image.fromarray((deep / (257 if deep.max() > 255 else 1)).clip(0, 255).astype(np.uint8))
        if image.mode == "CMYK":
            self.met["have the colours of print (CMYK), brought to RGB"] += 1
        elif image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            self.met["are transparent in places, which is left out of account"] += 1
        grey = image.mode in ("L", "LA", "1")
        image = image.convert("L" if grey else "RGB")
        self.coloured = self.coloured or not grey
        self.met["are grey" if grey else "are coloured"] += 1
        if self.size is not None:
            image = ImageOps.fit(image, (self.size, self.size), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        self.sides[pixels.shape[:2]] += 1  # type: ignore[index]
        return pixels[:, :, None] if grey else pixels
