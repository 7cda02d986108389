"""What the README shows is executed, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_loop_trains():
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 4, generator=generator)
    data = TensorDataset(x, (x[:, 0] > 0).long())
    model = torch.nn.Linear(4, 2)
    names = {
        "DataLoader": DataLoader,
        "F": F,
        "data": data,
        "model": model,
        "epochs": 40,
        "optimizer": torch.optim.SGD(model.parameters(), lr=1.0),
    }
    exec(block, names)
    pruner = names["pruner"]
    assert (model(x).argmax(1) == data.tensors[1]).float().mean() > 0.95
    assert pruner.prune_ratio == 1 - round(0.6 * 150) / 300
    assert int(pruner.usage.sum()) == 40 * 90


def test_the_test_command_is_the_one_that_ci_calls():
    command = re.search(r"^(make test)\b", README, re.M)
    assert command
    assert command.group(1) in (ROOT / ".ci/run").read_text()


def test_paths_named_in_the_readme_exist():
    for path in re.findall(r"`((?:orderdp|workflow|profiles|reports|benchmarks)/[a-z_/]+|[A-Z]\w+\.md|params\.yaml|dvc\.yaml)`", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
