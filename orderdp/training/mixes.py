"""What is done to whole batches on the device: random erasing, MixUp, CutMix, and the targets that follow from them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from orderdp.pruning.rng import generator, numpy_generator
from orderdp.spec import MixSpec

ERASED_AREA = (0.02, 1 / 3)
ERASED_ASPECT = (0.3, 1 / 0.3)


class Targets(NamedTuple):
    """What a batch should be classified as: `share` of the first label and the rest of the second."""

    labels: Tensor
    """int64 (B,)."""
    partners: Tensor | None
    """int64 (B,), or None where nothing was mixed in."""
    share: float
    """Of `labels`, in [0, 1]."""

    def of(self, piece: slice) -> Targets:
        """Those of a piece of the batch."""
        return Targets(self.labels[piece], None if self.partners is None else self.partners[piece], self.share)


class Mixer:
    """The mixing of one run.

    Which images are erased, and where, is drawn once an epoch for every sample, so that it does not depend on what else
    is kept, nor on the number of ranks. The share of MixUp and the box of CutMix are drawn once a step and hold for all
    ranks. An image is mixed with the one at the mirrored place of its batch on its rank, as timm does it: with several
    ranks the pairs are other ones than with one.

    Args:
        spec: what to do; None for nothing.
        seed: of the run.
    """

    def __init__(self, spec: MixSpec | None, seed: int) -> None:
        self.spec, self.seed = spec, seed
        self.epoch = 0
        self._erasing: Tensor | None = None

    def begin(self, epoch: int, n: int, device: torch.device) -> None:
        """Draws an epoch's random numbers for n samples."""
        self.epoch = epoch
        if self.spec is not None and self.spec.erase > 0:
            self._erasing = torch.rand(n, 5, generator=generator(self.seed, "erase", epoch)).to(device)

    def __call__(self, images: Tensor, labels: Tensor, indices: Tensor, step: int) -> tuple[Tensor, Targets]:
        """Mixes a batch.

        Args:
            images: normalised, float (B, C, H, W); may be changed in place.
            labels: int64 (B,).
            indices: int64 (B,) of its samples, on the images' device.
            step: of the epoch, from 0.

        Returns:
            images of the same shape and what they now show.
        """
        if self.spec is None:
            return images, Targets(labels, None, 1.0)
        if self._erasing is not None:
            images = erase(images, self._erasing[indices], self.spec.erase)
        draw = numpy_generator(self.seed, "mix", self.epoch, step)
        mixed, kind = draw.random(2)
        mixup, cutmix = self.spec.mixup, self.spec.cutmix
        if mixed >= self.spec.probability or max(mixup, cutmix) == 0:
            return images, Targets(labels, None, 1.0)
        cut = cutmix > 0 and (mixup == 0 or kind < self.spec.cutmix_share)
        alpha = cutmix if cut else mixup
        share = float(draw.beta(alpha, alpha))
        partners = labels.flip(0)
        if not cut:
            return images * share + images.flip(0) * (1 - share), Targets(labels, partners, share)
        height, width = images.shape[2:]
        top, bottom, left, right = box(height, width, share, *draw.random(2))
        images = images.clone(memory_format=torch.preserve_format)
        images[:, :, top:bottom, left:right] = images.flip(0)[:, :, top:bottom, left:right]
        return images, Targets(labels, partners, 1 - (bottom - top) * (right - left) / (height * width))


def box(height: int, width: int, share: float, y: float, x: float) -> tuple[int, int, int, int]:
    """The rectangle that CutMix takes from the other image: its area is 1 - share of the whole before it is cut at the
    border.

    Args:
        height: of the image, in pixels.
        width: likewise.
        share: of the image that stays, in [0, 1].
        y: the rectangle's centre, as a fraction of the height, in [0, 1).
        x: likewise of the width.

    Returns:
        (top, bottom, left, right), the second and fourth exclusive.
    """
    side = math.sqrt(1 - share)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    row, column = int(y * height), int(x * width)
    return (
        max(0, row - half_height),
        min(height, row + half_height),
        max(0, column - half_width),
        min(width, column + half_width),
    )


def erase(images: Tensor, draws: Tensor, probability: float) -> Tensor:
    """Fills a random rectangle of some images with 0, which is the mean colour of normalised images.

    Args:
        images: float (B, C, H, W).
        draws: uniform in [0, 1), (B, 5): whether, area, aspect ratio, row, column.
        probability: share of the images.
    """
    height, width = images.shape[2:]
    whether, area, aspect, row, column = draws.unbind(1)
    area = (
        torch.lerp(torch.full_like(area, ERASED_AREA[0]), torch.full_like(area, ERASED_AREA[1]), area) * height * width
    )
    aspect = ERASED_ASPECT[0] * (ERASED_ASPECT[1] / ERASED_ASPECT[0]) ** aspect
    tall, wide = (area * aspect).sqrt().clamp(max=height), (area / aspect).sqrt().clamp(max=width)
    top, left = row * (height - tall), column * (width - wide)
    rows, columns = torch.arange(height, device=images.device) + 0.5, torch.arange(width, device=images.device) + 0.5
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    hit = (whether < probability)[:, None, None] & in_rows[:, :, None] & in_columns[:, None, :]
    return images.masked_fill(hit[:, None], 0.0)
