"""ResNet-18 and ResNet-50 for small images, from torchvision's blocks."""

from __future__ import annotations

from torch import Tensor, nn


def resnet18(classes: int, channels: int, *, width: int) -> nn.Module:
    """ResNet-18 with a 3x3 stem of stride 1 and no max-pool.

    Args:
        classes: length of the logits.
        channels: of the images.
        width: channels of the first stage; 64 in the paper.
    """
    from torchvision.models.resnet import BasicBlock  # three seconds to import: only where it is used

    return SmallImageResNet(BasicBlock, (2, 2, 2, 2), classes, channels, width)


def resnet50(classes: int, channels: int, *, width: int) -> nn.Module:
    """ResNet-50 with a 3x3 stem of stride 1 and no max-pool.

    Args:
        classes: length of the logits.
        channels: of the images.
        width: channels of the first stage before expansion; 64 in the paper.
    """
    from torchvision.models.resnet import Bottleneck

    return SmallImageResNet(Bottleneck, (3, 4, 6, 3), classes, channels, width)


class SmallImageResNet(nn.Module):
    """The released code's shape of network for CIFAR; PyTorch's default initialisation, as there.

    Paper's code: 100 outputs for CIFAR-10 too; here: as many as classes, because the others are never right.
    """

    def __init__(self, block: type, depths: tuple[int, ...], classes: int, channels: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages: list[nn.Module] = []
        inputs = width
        for index, depth in enumerate(depths):
            planes, stride = width * 2**index, 1 if index == 0 else 2
            for position in range(depth):
                stages.append(_block(block, inputs, planes, stride if position == 0 else 1))
                inputs = planes * block.expansion  # type: ignore[attr-defined]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(inputs, classes)

    def features(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> penultimate features (B, 8 * width * expansion)."""
        return self.stages(self.stem(x)).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> logits (B, classes)."""
        return self.head(self.features(x))


def _block(block: type, inputs: int, planes: int, stride: int) -> nn.Module:
    outputs = planes * block.expansion  # type: ignore[attr-defined]
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return block(inputs, planes, stride, downsample)
