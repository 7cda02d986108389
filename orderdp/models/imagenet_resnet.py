"""ResNet-18 and ResNet-50 for photographs: torchvision's own networks (7 x 7 stem, max-pooling, its initialisation)."""

from __future__ import annotations

from torch import nn

from orderdp.models.classifier import Classifier


def imagenet_resnet18(classes: int, channels: int, *, depth: int = 2) -> Classifier:
    """Build torchvision's ResNet-18 (11.7 million parameters with 1,000 classes).

    Args:
        classes: outputs.
        channels: planes of an image.
        depth: most blocks per stage, for small variants; 2 gives the whole network.
    """
    from torchvision.models.resnet import BasicBlock, ResNet  # takes seconds to import, so only where it is needed

    return _classifier(ResNet(BasicBlock, [min(blocks, depth) for blocks in (2, 2, 2, 2)], classes), channels)


def imagenet_resnet50(classes: int, channels: int, *, depth: int = 6, width: int = 64) -> Classifier:
    """Build torchvision's ResNet-50 (25.6 million parameters with 1,000 classes).

    Args:
        classes: outputs.
        channels: planes of an image.
        depth: most blocks per stage, for small variants; 6 gives the whole network.
        width: planes inside the first stage's bottlenecks; their outputs keep their width.
    """
    from torchvision.models.resnet import Bottleneck, ResNet

    blocks = [min(blocks, depth) for blocks in (3, 4, 6, 3)]
    return _classifier(ResNet(Bottleneck, blocks, classes, width_per_group=width), channels)


def _classifier(network: nn.Module, channels: int) -> Classifier:
    if channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    head, network.fc = network.fc, nn.Identity()
    return Classifier(network, head)  # type: ignore[arg-type]
