"""The customary loop that engine and pruners are held against: images transformed one by one in a `DataLoader`,
`.item()` at every step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from orderdp.datasets import ImageData
from orderdp.models import MODELS
from orderdp.spec import RunSpec


class Pictures(Dataset[tuple[Tensor, int]]):
    """One PIL image per sample through torchvision's transforms, as torchvision's own data sets do it.

    Args:
        data: images and labels.
        spec: whose augmentation to make.
    """

    def __init__(self, data: ImageData, spec: RunSpec) -> None:
        from torchvision import transforms

        augment: Any = spec.recipe.augment
        height, width = data.train_images.shape[2:]
        steps: list[Any] = [
            transforms.RandomCrop((height, width), padding=augment.crop_padding, padding_mode="reflect")
        ]
        if augment.flip:
            steps.append(transforms.RandomHorizontalFlip())
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(data.mean, data.std)])
        self.pixels = data.train_images.permute(0, 2, 3, 1).squeeze(3).numpy()
        self.labels = data.train_labels.tolist()

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image and label."""
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.labels)


class Loop:
    """Network, optimizer and schedule as one finds them in a tutorial: float32, one image after the other in memory
    (NCHW).

    Args:
        spec: recipe and network.
        data: its classes and planes.
        device: where to compute.
    """

    def __init__(self, spec: RunSpec, data: ImageData, device: str = "cpu") -> None:
        self.recipe: Any = spec.recipe
        self.device = device
        torch.manual_seed(0)
        self.model: nn.Module = MODELS[spec.model.name](data.classes, data.train_images.shape[1], **spec.model.options)
        self.model.to(device)
        schedule = self.recipe.schedule
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=schedule.max_lr / schedule.div_factor,
            momentum=schedule.max_momentum,
            weight_decay=self.recipe.optimizer.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, schedule.max_lr, total_steps=1_000_000)
        self.loss = nn.CrossEntropyLoss(label_smoothing=self.recipe.label_smoothing)

    def epoch(self, loader: Any) -> tuple[float, float]:
        """One pass; mean loss and accuracy, read at every step."""
        self.model.train()
        total, correct, count = 0.0, 0, 0
        for given_images, given_labels in loader:
            images, labels = (each.to(self.device, non_blocking=True) for each in (given_images, given_labels))
            self.optimizer.zero_grad()
            logits = self.model(images)
            loss = self.loss(logits, labels)
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            total += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            count += len(labels)
        return total / count, 100 * correct / count

    def pruned_epoch(self, loader: Any, pruner: Any) -> tuple[float, float]:
        """The same pass over an `Indexed` data set: what a user of a pruner changes."""
        self.model.train()
        total, correct, count = 0.0, 0, 0
        for index, (images, labels) in loader:
            self.optimizer.zero_grad()
            logits = self.model(images)
            loss = pruner.update(
                index, F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.recipe.label_smoothing)
            )
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            total += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            count += len(labels)
        return total / count, 100 * correct / count
