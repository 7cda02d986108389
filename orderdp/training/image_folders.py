"""Photographs, decoded and augmented by loader workers, normalised on the device.

A sample is augmented alike in every run of the same seed, whatever else is kept and however many workers and ranks
there are: its random numbers are a function of (seed, epoch, sample). Images travel as uint8, a quarter of the bytes,
from pinned memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from orderdp.datasets import DatasetError, FolderData
from orderdp.datasets.folders import Split
from orderdp.pruning.streams import stream_seed
from orderdp.spec import PhotoAugmentSpec
from orderdp.training.distributed import RankBatch

Keys = tuple[int, list[int]]
"""What the main process asks of a worker: an epoch, and the samples of a batch."""
PREFETCH = 4


class ImageFolderLoader:
    """The feed of a data set of files.

    Args:
        data: with its index.
        augment: of training and evaluation.
        batch_size: of training; evaluation uses it too.
        seed: of the run.
        device: where batches go.
        workers: processes that decode; 0 decodes in this one.
    """

    def __init__(
        self,
        data: FolderData,
        augment: PhotoAugmentSpec,
        batch_size: int,
        seed: int,
        device: torch.device,
        workers: int,
    ) -> None:
        self.device, self.batch_size = device, batch_size
        self.labels = data.train_labels.to(device)
        self.test_labels = data.test_labels.to(device)
        self.test_count = len(data.test_labels)
        mean, std = torch.tensor(data.mean), torch.tensor(data.std)
        self.scale, self.offset = (value.view(1, -1, 1, 1).to(device) for value in (1 / (255 * std), -mean / std))
        self._plan, self._test_plan = _Plan(), _Plan()
        self._loader = self._workers(_Decoded(data.train, augment, seed, train=True), self._plan, workers, stay=True)
        self._test_loader = self._workers(
            _Decoded(data.test, augment, seed, train=False), self._test_plan, workers, stay=False
        )

    def epoch(self, epoch: int, parts: Iterable[RankBatch]) -> Iterator[tuple[RankBatch, Tensor, Tensor, Tensor]]:
        """Training batches in the order of `parts`; workers run ahead by a few."""
        waiting: list[RankBatch] = []
        self._plan.keys = _keys(epoch, parts, waiting)
        for decoded in self._loader:
            part = waiting.pop(0)
            images = self._normalised(decoded)
            indices = part.indices.to(self.device, non_blocking=True)
            yield part, indices, images, self.labels[indices]

    def test(self, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Test batches; ranks take turns."""
        starts = range(rank * self.batch_size, self.test_count, world * self.batch_size)
        parts = [torch.arange(start, min(start + self.batch_size, self.test_count)) for start in starts]
        self._test_plan.keys = iter([(0, part.tolist()) for part in parts])
        for part, decoded in zip(parts, self._test_loader, strict=True):
            yield self._normalised(decoded), self.test_labels[part.to(self.device)]

    def _normalised(self, decoded: Tensor | DatasetError) -> Tensor:
        if isinstance(decoded, DatasetError):
            raise DatasetError(str(decoded))
        images = torch.addcmul(self.offset, decoded.to(self.device, non_blocking=True), self.scale)
        return images.contiguous(memory_format=torch.channels_last)

    def _workers(self, photos: _Decoded, plan: _Plan, workers: int, stay: bool) -> DataLoader[Any]:
        return DataLoader(
            photos,
            sampler=plan,
            batch_size=None,  # a key is a whole batch
            num_workers=workers,
            generator=torch.Generator(),  # it draws a seed that nobody uses, and not from the global state
            pin_memory=self.device.type == "cuda",
            persistent_workers=stay and workers > 0,
            prefetch_factor=PREFETCH if workers else None,
        )


class _Plan(Sampler[Keys]):
    """The batches of an epoch to come; filled before each iteration, so that workers can stay alive between epochs."""

    def __init__(self) -> None:
        self.keys: Iterator[Keys] = iter(())

    def __iter__(self) -> Iterator[Keys]:
        return self.keys  # the loader asks more than once before it begins


def _keys(epoch: int, parts: Iterable[RankBatch], waiting: list[RankBatch]) -> Iterator[Keys]:
    for part in parts:
        waiting.append(part)
        yield epoch, part.indices.tolist()


class _Decoded(Dataset[Any]):
    """Batches of decoded, transformed images: uint8 (B, 3, size, size)."""

    def __init__(self, split: Split, augment: PhotoAugmentSpec, seed: int, train: bool) -> None:
        self.split, self.augment, self.seed, self.train = split, augment, seed, train
        self._transform: Any = None

    def __getitem__(self, key: Keys) -> Tensor | DatasetError:
        """The images of a batch; an image that cannot be read comes back as the error, for the main process to raise
        without a worker's traceback around it."""
        epoch, indices = key
        if self._transform is None:  # built in the worker: importing torchvision takes seconds
            self._transform = build_transform(self.augment, self.train)
        # A worker of one process, or this process itself: its random state is given back as it was.
        state = torch.get_rng_state()
        try:
            return torch.stack([self._image(epoch, index) for index in indices])
        except DatasetError as error:
            return error
        finally:
            torch.set_rng_state(state)

    def _image(self, epoch: int, index: int) -> Tensor:
        from PIL import Image

        content = self.split.read(index)
        try:
            image = Image.open(io.BytesIO(content)).convert("RGB")
        except Exception as error:  # PIL raises many kinds for damaged files
            raise DatasetError(
                f"{self.split.path(index)} is no readable image ({type(error).__name__}: {error}). "
                "Replace the file, or remove it and prepare the data set again."
            ) from error
        if self.train:
            torch.default_generator.manual_seed(stream_seed(self.seed, "augment", epoch, index))
        return self._transform(image)


def build_transform(augment: PhotoAugmentSpec, train: bool) -> Any:
    """torchvision's transforms (version 2) from a PIL image to uint8 (3, size, size).

    RandAugment is torchvision's: the operation of one magnitude, where timm's varies it around its mean.
    """
    from torchvision.transforms import v2

    if not train:
        return v2.Compose(
            [v2.Resize(augment.test_resize, antialias=True), v2.CenterCrop(augment.size), v2.PILToTensor()]
        )
    steps: list[Any] = [v2.RandomResizedCrop(augment.size, scale=(augment.min_scale, 1.0), antialias=True)]
    if augment.flip:
        steps.append(v2.RandomHorizontalFlip())
    if augment.rand_augment is not None:
        steps.append(v2.RandAugment(augment.rand_augment.operations, augment.rand_augment.magnitude))
    return v2.Compose([*steps, v2.PILToTensor()])
