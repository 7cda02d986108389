"""Settings of all tests."""

from __future__ import annotations

import os

import pytest
import torch

CARDS = os.environ.get("CUDA_VISIBLE_DEVICES")
"""The GPUs that the caller shows. Tests compute on the CPU, for which their numbers are meant. Those that want a card
start processes of their own, see `tests/gpu`."""
os.environ["CUDA_VISIBLE_DEVICES"] = ""

torch.set_num_threads(1)

LONGEST = (
    "test_trial.py", "test_faults.py", "test_workflow.py", "test_cluster.py", "test_architectures.py", "test_levels.py",
    "test_public_cases.py", "test_examples.py", "test_workloads.py", "test_newcomers.py", "test_emulation.py",
)  # fmt: skip
"""Files that take more than a minute and a half, in `make test` or in `make test-slow`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of `LONGEST` first: a long one that begins last would leave the other processes idle."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
