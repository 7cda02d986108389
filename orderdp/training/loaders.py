"""Where batches come from: a data set that lies on the device, or photographs that loader workers decode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from orderdp.datasets import FolderData, ImageData
from orderdp.pruning.rng import generator
from orderdp.spec import AugmentSpec, PhotoAugmentSpec, RecipeSpec
from orderdp.training.augment import Draws, Images, draw
from orderdp.training.distributed import Batch, RankBatch

EVALUATION_BATCH = 1000


class Loader(Protocol):
    """What the engine needs of a data set."""

    labels: Tensor
    """int64 (n,), of the training samples, on the device."""
    test_count: int
    """Test samples, over all ranks."""

    def epoch(self, epoch: int, parts: Iterable[RankBatch]) -> Iterator[Batch]:
        """Training batches, one for each part."""
        ...

    def test(self, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's batches of test images and labels."""
        ...


class InMemoryLoader:
    """A data set whose images all lie on the device, as uint8.

    Args:
        data: with images of one size.
        augment: of training images.
        seed: of the run.
        device: where to keep them.
    """

    def __init__(self, data: ImageData, augment: AugmentSpec, seed: int, device: torch.device) -> None:
        self.augment, self.seed, self.device = augment, seed, device
        self.train_images = Images(data.train_images.to(device), data.mean, data.std)
        self.test_images = Images(data.test_images.to(device), data.mean, data.std)
        self.labels = data.train_labels.to(device)
        self.test_labels = data.test_labels.to(device)
        self.test_count = len(data.test_labels)
        self._draws: Draws | None = None

    def begin(self, epoch: int) -> None:
        """Draws an epoch's augmentation. The numbers of every epoch lie at the same place of the device's memory."""
        draws = draw(len(self.labels), self.augment, generator(self.seed, "augment", epoch)).to(self.device)
        if self._draws is None:
            self._draws = draws
        else:
            self._draws.shift.copy_(draws.shift)
            self._draws.flip.copy_(draws.flip)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented images and labels of samples, whose numbers lie on the device, in the epoch that has begun."""
        assert self._draws is not None
        return self.train_images.augmented(indices, self._draws), self.labels[indices]

    def epoch(self, epoch: int, parts: Iterable[RankBatch]) -> Iterator[Batch]:
        """Training batches, each cut out when its turn comes."""
        self.begin(epoch)
        for part in parts:
            indices = part.indices.to(self.device, non_blocking=True)
            yield Batch(part, indices, *self.batch(indices))

    def test(self, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Test batches; ranks take turns."""
        for start in range(rank * EVALUATION_BATCH, self.test_count, world * EVALUATION_BATCH):
            labels = self.test_labels[start : start + EVALUATION_BATCH]
            yield self.test_images.plain(start, start + len(labels)), labels


def build_loader(
    data: ImageData | FolderData, recipe: RecipeSpec, seed: int, device: torch.device, workers: int
) -> Any:
    """The loader that suits a data set.

    Raises:
        ValueError: the recipe's augmentation is for the other kind of data.
    """
    resident = isinstance(data, ImageData)
    if isinstance(recipe.augment, AugmentSpec) != resident:
        fields = AugmentSpec if resident else PhotoAugmentSpec
        raise ValueError(
            f"The 'augment' of the recipe does not suit the data set '{data.name}', whose images "
            + ("lie in memory" if resident else "are photographs in files")
            + f". It takes: {', '.join(fields.model_fields)}."
        )
    if isinstance(data, ImageData):
        assert isinstance(recipe.augment, AugmentSpec)
        return InMemoryLoader(data, recipe.augment, seed, device)
    from orderdp.training.image_folders import ImageFolderLoader

    assert isinstance(recipe.augment, PhotoAugmentSpec)
    return ImageFolderLoader(data, recipe.augment, seed, device, workers)
