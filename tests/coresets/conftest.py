"""ProxyOutputs without a network: a linear last layer on made-up features, and everything else that follows from it or
is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from orderdp.coresets import ProxyOutputs
from orderdp.coresets.base import ARRAYS

SIZES = (41, 23, 16)
# Options that a method does not run without. A new one with defaults needs no entry.
OPTIONS: dict[str, dict[str, object]] = {}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_outputs(
    sizes: Sequence[int] = SIZES, *, d: int = 6, models: int = 3, epochs: int = 7, seed: int = 0
) -> ProxyOutputs:
    """Every field filled, classes of the given sizes, samples of all classes mixed."""
    g = torch.Generator().manual_seed(seed)
    k = len(sizes)
    labels = torch.repeat_interleave(torch.arange(k), torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=g)]
    n, centers, held_out = len(labels), torch.randn(k, d, generator=g), torch.arange(2 * k) % k

    def features(of: Tensor) -> Tensor:
        return (centers[of] + torch.randn(len(of), d, generator=g)).relu()

    h, validation = features(labels), features(held_out)
    early = torch.stack([features(labels) for _ in range(models)])
    heads = torch.randn(models, k, d, generator=g) + centers
    losses = torch.rand(epochs, n, generator=g) * 3
    return ProxyOutputs(
        labels=labels,
        classes=k,
        logits=torch.stack([h @ head.T for head in heads]),
        features=h,
        correct=losses < 1.5,
        losses=losses,
        early_logits=torch.stack([x @ head.T * 0.3 for x, head in zip(early, heads, strict=True)]),
        early_norms=early.norm(dim=2),
        validation_logits=validation @ heads[-1].T,
        validation_features=validation,
        validation_labels=held_out,
        perturbation=torch.rand(n, generator=g),
    )


def replaced(outputs: ProxyOutputs, **fields: object) -> ProxyOutputs:
    """The same outputs but for some fields."""
    return dataclasses.replace(outputs, **fields)


def renumbered(outputs: ProxyOutputs, order: Tensor) -> ProxyOutputs:
    """The outputs with sample order[i] in place i."""
    fields = {}
    for name, held in ARRAYS.items():
        if "n" in held.shape:
            fields[name] = getattr(outputs, name).index_select(held.shape.index("n"), order)
    return replaced(outputs, **fields)


def loss_of(logits: Tensor, label: int) -> Tensor:
    """Cross-entropy of one sample."""
    return F.cross_entropy(logits.unsqueeze(0), torch.tensor([label]))


@pytest.fixture(scope="session")
def outputs() -> ProxyOutputs:
    """80 samples in three classes of different size, every field filled."""
    return make_outputs()
