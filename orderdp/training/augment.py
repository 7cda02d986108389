"""Augmentation of a batch on the device, from draws made once per epoch for every sample of the data set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orderdp.spec import AugmentSpec


@dataclass(frozen=True)
class Draws:
    """An epoch's random numbers, one row per sample of the whole data set, kept or not.

    A sample is thus augmented alike in every run of the same seed, whatever else is kept: runs differ by the method
    alone.
    """

    shift: Tensor
    """int64 (n, 2): rows and columns by which the crop window is moved, in [-padding, padding]."""
    flip: Tensor
    """bool (n,): whether the image is mirrored."""

    def to(self, device: torch.device) -> Draws:
        """The draws on a device."""
        return Draws(self.shift.to(device, non_blocking=True), self.flip.to(device, non_blocking=True))


def draw(n: int, spec: AugmentSpec, generator: torch.Generator) -> Draws:
    """Draws an epoch's augmentation for n samples on the CPU."""
    pad = spec.crop_padding
    shift = torch.randint(-pad, pad + 1, (n, 2), generator=generator)
    flip = torch.rand(n, generator=generator) < 0.5 if spec.flip else torch.zeros(n, dtype=torch.bool)
    return Draws(shift, flip)


class Images:
    """A data set's images on the device, cut out, mirrored and normalised batch by batch.

    Args:
        images: uint8 (n, C, H, W) on the device, or float32.
        mean: per channel, of pixels scaled to [0, 1], or of the numbers as they are.
        std: per channel, likewise.
    """

    def __init__(self, images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.images = images.contiguous()
        device = images.device
        whole = 1.0 if images.is_floating_point() else 255.0
        self.scale = (1 / (whole * torch.tensor(std, dtype=torch.float32))).view(1, -1, 1, 1).to(device)
        self.offset = (-torch.tensor(mean) / torch.tensor(std)).view(1, -1, 1, 1).to(device)
        _, channels, height, width = images.shape
        self.rows = torch.arange(height, device=device)
        self.columns = torch.arange(width, device=device)
        self.channels = torch.arange(channels, device=device)[:, None]

    def plain(self, start: int, stop: int) -> Tensor:
        """Images start..stop, normalised: float32 (stop - start, C, H, W), channels last."""
        return self._normalise(self.images[start:stop])

    def at(self, indices: Tensor) -> Tensor:
        """The images of these samples, normalised, without augmentation: float32 (B, C, H, W), channels last."""
        return self._normalise(self.images[indices])

    def augmented(self, indices: Tensor, draws: Draws) -> Tensor:
        """A training batch: float32 (B, C, H, W), channels last.

        The crop of a reflect-padded image is two gathers with mirrored row and column numbers, first whole rows, then
        columns within them: nothing is padded, no second copy of the data set is needed, and most of the work is
        copying rows.
        """
        shift, flip = draws.shift[indices], draws.flip[indices]
        rows = _reflect(self.rows + shift[:, :1], len(self.rows))
        columns = _reflect(self.columns + shift[:, 1:], len(self.columns))
        columns = torch.where(flip[:, None], columns.flip(1), columns)
        _, channels, height, width = self.images.shape
        lines = (indices[:, None, None] * channels + self.channels) * height + rows[:, None, :]
        batch = self.images.view(-1, width).index_select(0, lines.flatten()).view(len(indices), channels, height, width)
        return self._normalise(batch.gather(3, columns[:, None, None, :].expand_as(batch)))

    def _normalise(self, batch: Tensor) -> Tensor:
        scaled = torch.addcmul(self.offset, batch, self.scale)
        return scaled.contiguous(memory_format=torch.channels_last)


def _reflect(position: Tensor, size: int) -> Tensor:
    """Position in a line of `size` pixels mirrored at its first and last pixel, for positions less than `size`
    outside."""
    position = position.abs()
    return torch.where(position >= size, 2 * (size - 1) - position, position)
