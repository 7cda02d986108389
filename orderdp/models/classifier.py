"""A network of torchvision or timm in the form that all our networks have: `features` and a linear `head`."""

from __future__ import annotations

from torch import Tensor, nn


class Classifier(nn.Module):
    """A body that gives pooled features, and a linear head.

    Args:
        body: float (B, channels, H, W) -> (B, d).
        head: d -> classes.
    """

    def __init__(self, body: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features, float (B, d)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores before softmax, (B, classes)."""
        return self.head(self.features(x))

    def no_weight_decay(self) -> set[str]:
        """Parameters that should not decay although they are matrices: position embeddings and the like."""
        exempt: set[str] = getattr(self.body, "no_weight_decay", set)()
        return {f"body.{name}" for name in exempt}
