"""A network for rows of numbers."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from orderdp.models.classifier import Classifier


class Rows(nn.Module):
    """Fully connected layers, each with batch norm and ReLU.

    Args:
        features: numbers of a row.
        width: of every layer.
        depth: layers.
    """

    def __init__(self, features: int, width: int, depth: int) -> None:
        super().__init__()
        widths = [features, *[width] * depth]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(inplace=True))
                for before, after in pairwise(widths)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


def mlp(classes: int, channels: int, *, width: int = 128, depth: int = 2) -> Classifier:
    """Build a multilayer perceptron, for rows of a table as float (B, features, 1, 1).

    Args:
        classes: outputs.
        channels: features of a row.
        width: of every layer.
        depth: layers before the head.
    """
    return Classifier(Rows(channels, width, depth), nn.Linear(width, classes))
