"""What the tests of all pruners share: how each is built, and training without a network."""

from __future__ import annotations

import pytest
import torch

from orderdp.pruning import PRUNERS, Pruner

N = 97
RATIO = 0.5
BATCH = 16
# Options that make short runs go through every branch. A new method needs no entry: it is built by `at_ratio(n, 0.5)`.
OPTIONS: dict[str, dict[str, object]] = {
    "epsilon_greedy": {"period": 2},
    "ucb": {"period": 2},
    "orderdp_batches": {"candidates": 24},
}
# Its batches are drawn one by one with candidates from all n, so that a sample may come again within an epoch.
WITH_REPETITIONS = {"orderdp_batches"}
SAMPLERS = [name for name in PRUNERS if name not in WITH_REPETITIONS]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(name: str, n: int = N, seed: int = 0) -> Pruner:
    """A pruner by its key."""
    if name == "full":
        return PRUNERS[name](n, seed=seed)
    return PRUNERS[name].at_ratio(n, RATIO, **OPTIONS.get(name, {}), seed=seed)


def loss_table(epochs: int, n: int = N) -> torch.Tensor:
    """float32 (epochs, n): made-up losses."""
    return torch.rand(epochs, n, generator=torch.Generator().manual_seed(5)) * 3


LOSSES = loss_table(30)


def step_size(pruner: Pruner) -> int:
    """Batch size of the training: a batch sampler brings its own."""
    return getattr(pruner, "batch_size", BATCH)


def train(pruner: Pruner, epochs: range, losses: torch.Tensor = LOSSES) -> list[list[int]]:
    """Goes through epochs as a training loop does; returns all batches."""
    history = []
    for epoch in epochs:
        for batch in pruner.batches(epoch, step_size(pruner))[0]:
            pruner.observe(batch, losses[epoch, batch])
            history.append(batch.tolist())
    return history


def walked(pruner: Pruner) -> list[int]:
    """One iteration, as indices."""
    return [index for item in pruner for index in (item if isinstance(item, list) else [item])]


def scores(pruner: Pruner) -> torch.Tensor:
    """The remembered scores of OrderDP and InfoBatch."""
    return pruner.state_dict()["memory"]["_scores"]
