"""What the examples share: scikit-learn's handwritten digits, a small network, and a measure of success."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import TensorDataset


def digits() -> tuple[TensorDataset, TensorDataset]:
    """1,438 images to train on and 359 to test on: float32 (64,) in [0, 1], with their digit."""
    images, labels = load_digits(return_X_y=True)
    images, labels = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    test = torch.arange(len(labels)) % 5 == 4
    return TensorDataset(images[~test], labels[~test]), TensorDataset(images[test], labels[test])


def network() -> nn.Module:
    """Initial weights are the same at every call."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def report(model: nn.Module, test: TensorDataset, share: float | None = None) -> None:
    """Prints the accuracy and, where there are epochs, the share of the samples that one trained on."""
    images, labels = test.tensors
    model.eval()
    with torch.inference_mode():
        accuracy = correct(model(images), labels)
    print(
        f"accuracy {accuracy:.1f} %"
        + ("" if share is None else f", trained on {100 * share:.2f} % of the samples an epoch")
    )


def correct(logits: Tensor, labels: Tensor) -> float:
    """Share of right answers, in %."""
    return 100 * float((logits.argmax(1) == labels).float().mean())
