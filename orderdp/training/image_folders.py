"""Photographs, decoded and augmented by loader workers, normalised on the device.

A sample is augmented alike in every run of the same seed, whatever else is kept and however many workers and ranks
there are: its random numbers are a function of (seed, epoch, sample). Images travel as uint8, a quarter of the bytes,
from pinned memory. A worker is given a few samples at a time, so that a batch is the work of all workers and the first
one does not wait for a single worker to decode the whole of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from orderdp.datasets import DatasetError, FolderData
from orderdp.datasets.folders import Split
from orderdp.pruning.rng import stream_seed
from orderdp.spec import PhotoAugmentSpec
from orderdp.training.distributed import Batch, RankBatch

Keys = tuple[int, list[int]]
"""What the main process asks of a worker: an epoch, and some samples."""
AT_A_TIME = 16
"""Samples that a worker decodes before it hands them over."""
PREFETCH = 8
"""So many times AT_A_TIME a worker runs ahead."""
EVALUATION_BATCH = 256


class ImageFolderLoader:
    """The feed of a data set of files.

    Args:
        data: with its index.
        augment: of training and evaluation.
        seed: of the run.
        device: where batches go.
        workers: processes that decode; 0 decodes in this one.
    """

    def __init__(
        self, data: FolderData, augment: PhotoAugmentSpec, seed: int, device: torch.device, workers: int
    ) -> None:
        self.device = device
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

    def epoch(self, epoch: int, parts: Iterable[RankBatch]) -> Iterator[Batch]:
        """Training batches in the order of `parts`; workers run ahead by a few."""
        waiting: list[RankBatch] = []
        self._plan.keys = _keys(epoch, parts, waiting)
        decoded = iter(self._loader)
        while (images := self._gathered(decoded, waiting)) is not None:
            part = waiting.pop(0)
            indices = part.indices.to(self.device, non_blocking=True)
            yield Batch(part, indices, images, self.labels[indices])

    def test(self, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Test batches; ranks take turns."""
        starts = range(rank * EVALUATION_BATCH, self.test_count, world * EVALUATION_BATCH)
        parts = [torch.arange(start, min(start + EVALUATION_BATCH, self.test_count)) for start in starts]
        waiting: list[RankBatch] = []
        self._test_plan.keys = _keys(0, (RankBatch(part, 1.0) for part in parts), waiting)
        decoded = iter(self._test_loader)
        while (images := self._gathered(decoded, waiting)) is not None:
            yield images, self.test_labels[waiting.pop(0).indices.to(self.device)]

    def _gathered(self, decoded: Iterator[Tensor | DatasetError], waiting: list[RankBatch]) -> Tensor | None:
        """The images of the first waiting batch, from as many portions of a worker as it takes; None after the last
        batch."""
        portions: list[Tensor] = []
        count = 0
        while not portions or count < len(waiting[0].indices):
            portion = next(decoded, None)
            if portion is None:
                return None
            if isinstance(portion, DatasetError):
                raise DatasetError(str(portion))
            portions.append(portion.to(self.device, non_blocking=True))
            count += len(portion)
        images = torch.addcmul(self.offset, torch.cat(portions), self.scale)
        return images.contiguous(memory_format=torch.channels_last)

    def _workers(self, photos: _Decoded, plan: _Plan, workers: int, stay: bool) -> DataLoader[Any]:
        return DataLoader(
            photos,
            sampler=plan,
            batch_size=None,  # a key is several samples
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
        for portion in part.indices.split(AT_A_TIME):
            yield epoch, portion.tolist()


class _Decoded(Dataset[Any]):
    """Decoded, transformed images: uint8 (count, 3, size, size)."""

    def __init__(self, split: Split, augment: PhotoAugmentSpec, seed: int, train: bool) -> None:
        self.split, self.augment, self.seed, self.train = split, augment, seed, train
        self._transform: Any = None

    def __getitem__(self, key: Keys) -> Tensor | DatasetError:
        """The images of some samples; an image that cannot be read comes back as the error, for the main process to
        raise without a worker's traceback around it."""
        epoch, indices = key
        if self._transform is None:  # built in the worker: importing torchvision takes seconds
            self._transform = build_transform(self.augment, self.train)
        # A worker of one process, or this process itself: its random state is given back as it was.
        state = torch.get_rng_state()
        try:
            images = [self._image(epoch, index) for index in indices]
            return default_collate(images)  # type: ignore[no-any-return]  # in a worker: into shared memory
        except DatasetError as error:
            return error
        finally:
            torch.set_rng_state(state)

    def _image(self, epoch: int, index: int) -> Tensor:
        try:
            image = decode(self.split.read(index))
        except DatasetError:
            raise
        except Exception as error:  # PIL raises many kinds for damaged files
            raise DatasetError(
                f"{self.split.path(index)} is no readable image ({type(error).__name__}: {error}). "
                "Replace the file, or remove it and prepare the data set again."
            ) from error
        if self.train:
            torch.default_generator.manual_seed(stream_seed(self.seed, "augment", epoch, index))
        return self._transform(image)


def decode(content: bytes) -> Tensor:
    """The pixels of an encoded image: uint8 (3, H, W).

    JPEG by libjpeg-turbo itself, which gives the same pixels as PIL without copying them twice. PIL reads what that
    does not: other formats, the colours of print, and files that it warns of.

    Raises:
        Exception: of PIL, for what is no image.
    """
    import numpy as np
    import simplejpeg
    from PIL import Image

    try:
        pixels = simplejpeg.decode_jpeg(content)
    except ValueError:
        pixels = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def build_transform(augment: PhotoAugmentSpec, train: bool) -> Any:
    """torchvision's transforms (version 2) from uint8 (3, H, W) to uint8 (3, size, size)."""
    from torchvision.transforms import v2

    resize = {"interpolation": v2.InterpolationMode(augment.interpolation), "antialias": True}
    if not train:
        return v2.Compose([v2.Resize(augment.test_resize, **resize), v2.CenterCrop(augment.size)])
    steps: list[Any] = [v2.RandomResizedCrop(augment.size, scale=(augment.min_scale, 1.0), **resize)]
    if augment.flip:
        steps.append(v2.RandomHorizontalFlip())
    if (operations := augment.rand_augment) is not None:
        # On PIL images, whose operations are faster than those on tensors.
        steps += [
            v2.ToPILImage(),
            v2.RandAugment(operations.operations, operations.magnitude, operations.levels),
            v2.PILToTensor(),
        ]
    return v2.Compose(steps)
