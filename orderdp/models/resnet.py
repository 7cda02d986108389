"""ResNet-18 and ResNet-50 in the form used for CIFAR: torchvision's blocks behind a 3 x 3 stem that does not
shrink the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock, Bottleneck


class ResNet(nn.Module):
    """Stem, four stages, global average pooling, linear head (He et al. 2016, table 1, with a stem for small
    images).

    Paper: only "ResNet-18/50" is said; here, as in its released scripts: 3 x 3 stem with stride 1, no
    max-pooling, PyTorch's default initialisation (torchvision's own networks use another). The head has one
    output per class, where the released scripts keep 100 for CIFAR-10 too.

    Args:
        block: torchvision's `BasicBlock` or `Bottleneck`.
        depths: blocks per stage.
        classes: outputs.
        channels: planes of an image.
        width: planes of the first stage; each later stage doubles them.
    """

    def __init__(
        self, block: type[BasicBlock | Bottleneck], depths: tuple[int, ...], classes: int, channels: int, width: int
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        stages, before = [], width
        for stage, depth in enumerate(depths):
            planes = width * 2**stage
            blocks = []
            for index in range(depth):
                blocks.append(_block(block, before, planes, stride=2 if stage > 0 and index == 0 else 1))
                before = planes * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes)

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features.

        Args:
            x: normalised images, float (B, channels, H, W), any size from 1 x 1 up.

        Returns:
            float (B, 8 width) for ResNet-18, (B, 32 width) for ResNet-50; not negative.
        """
        x = self.relu(self.norm(self.stem(x)))
        return self.stages(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Class scores before softmax, (B, classes)."""
        return self.head(self.features(x))


def _block(block: type[BasicBlock | Bottleneck], before: int, planes: int, stride: int) -> nn.Module:
    after = planes * block.expansion
    shortcut = None
    if stride != 1 or before != after:
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
    return block(before, planes, stride, shortcut)


def resnet18(classes: int, channels: int, *, width: int = 64) -> ResNet:
    """Build ResNet-18 for small images (11.2 million parameters at width 64).

    Args:
        classes: outputs.
        channels: planes of an image.
        width: planes of the first stage.
    """
    from torchvision.models.resnet import BasicBlock  # takes seconds to import, so only where it is needed

    return ResNet(BasicBlock, (2, 2, 2, 2), classes, channels, width)


def resnet50(classes: int, channels: int, *, width: int = 64) -> ResNet:
    """Build ResNet-50 for small images (23.5 million parameters at width 64).

    Args:
        classes: outputs.
        channels: planes of an image.
        width: planes inside the first stage's bottlenecks; its output has four times as many.
    """
    from torchvision.models.resnet import Bottleneck

    return ResNet(Bottleneck, (3, 4, 6, 3), classes, channels, width)
