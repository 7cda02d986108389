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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, and the workflow's above all: a long one that begins last would leave the other
    processes idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.parent.name != "workflow", item.path not in slow))
