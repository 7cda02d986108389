"""A small residual network for small images: eight weighted layers, trained in seconds on a CPU core."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu


class Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut (He et al. 2016, the post-activation form of figure 2).

    The shortcut is the identity, or a strided 1 x 1 convolution where the shape changes (option B of that
    paper).
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return relu(y.add_(self.shortcut(x)), inplace=True)


class ResNet8(nn.Module):
    """A 3 x 3 stem, three stages of one block with width, 2 width and 4 width planes, global average pooling,
    a linear head."""

    def __init__(self, classes: int, channels: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.stages = nn.Sequential(Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2))
        self.head = nn.Linear(4 * width, classes)

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features.

        Args:
            x: normalised images, float (B, channels, H, W), any size from 1 x 1 up.

        Returns:
            float (B, 4 width), not negative.
        """
        x = relu(self.norm(self.stem(x)), inplace=True)
        return self.stages(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Class scores before softmax, (B, classes)."""
        return self.head(self.features(x))


def resnet8(classes: int, channels: int, *, width: int = 16) -> ResNet8:
    """Build the small ResNet (78 thousand parameters at width 16), with PyTorch's default initialisation.

    Args:
        classes: outputs.
        channels: planes of an image.
        width: planes of the first stage.
    """
    return ResNet8(classes, channels, width)
