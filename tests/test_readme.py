"""What the README shows is executed, and what it names exists."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from orderdp import Indexed, OrderDP

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def problem() -> dict:
    """The names that the blocks take for granted."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 4, generator=generator)
    model = torch.nn.Linear(4, 2)
    return {
        "DataLoader": DataLoader,
        "F": F,
        "data": TensorDataset(x, (x[:, 0] > 0).long()),
        "model": model,
        "epochs": 40,
        "optimizer": torch.optim.SGD(model.parameters(), lr=1.0),
    }


def accuracy(names: dict) -> float:
    x, y = names["data"].tensors
    return float((names["model"](x).argmax(1) == y).float().mean())


def test_every_block_is_executed_here():
    assert len(BLOCKS) == 3


def test_the_loop_trains():
    names = problem()
    exec(BLOCKS[0], names)
    pruner = names["pruner"]
    assert accuracy(names) > 0.95
    assert pruner.realised_prune_ratio == 1 - round(0.6 * 150) / 300
    assert int(pruner.usage.sum()) == 40 * 90


def test_the_integrations_are_built(tmp_path):
    import lightning.pytorch
    from accelerate import Accelerator
    from transformers import TrainingArguments

    names = problem()
    pruner = OrderDP(300)
    quiet = partial(lightning.pytorch.Trainer, accelerator="cpu", logger=False, enable_checkpointing=False)
    names |= {
        "pruner": pruner,
        "loader": DataLoader(Indexed(names["data"]), sampler=pruner, batch_size=50),
        "lightning": SimpleNamespace(Trainer=quiet),
        "arguments": TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[]),
        "accelerator": Accelerator(cpu=True),
    }
    exec(BLOCKS[1], names)
    assert names["trainer"].pruner is pruner
    assert sum(len(index) for index, _ in names["loader"]) == 90


def test_the_stream_trains():
    names = problem()
    names["stream"] = names["data"]
    exec(BLOCKS[2].replace("pool=4096", "pool=150"), names)
    assert accuracy(names) > 0.9
    assert names["pool"].arrived == 300


def cells(line: str) -> list[str]:
    return [cell.strip(" *") for cell in line.strip("| \n").split("|")]


def test_the_table_is_that_of_the_report():
    table = README.partition("| 50 % pruned, ")[2].partition("\n\n")[0]
    shown = [cells(line) for line in table.splitlines()[2:]]
    report = (ROOT / "reports/small/tables/table2.md").read_text(encoding="utf-8")
    half = report.partition("*Prune ratio 50 %*")[2].partition("*Prune ratio 70 %*")[0]
    rows = [cells(line) for line in half.splitlines() if "±" in line]
    assert shown == [[*row[:4], row[5]] for row in rows] and len(shown) == 11


def test_the_test_command_is_the_one_that_ci_calls():
    command = re.search(r"^(make test)\b", README, re.M)
    assert command
    assert command.group(1) in (ROOT / ".ci/run").read_text()


def test_paths_named_in_the_readme_exist():
    for path in re.findall(
        r"`((?:orderdp|workflow|profiles|reports|benchmarks)/[a-z_/]+|[A-Z]\w+\.md|params\.yaml|dvc\.yaml)`", README
    ):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
