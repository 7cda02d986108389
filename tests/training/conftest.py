"""A prepared digits data set and small specs, shared by the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from orderdp.datasets import prepare
from orderdp.jobs import Execution
from orderdp.jobs.train import Train
from orderdp.jobs.trainer import CHECKPOINT_EVERY_S, train
from orderdp.spec import RunSpec

torch.set_num_threads(1)

SPEC: dict[str, Any] = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet8", "options": {"width": 4}},
    "method": {"name": "orderdp", "options": {"prune_ratio": 0.7, "explore": 0.5}},
    "recipe": {
        "epochs": 4,
        "batch_size": 128,
        "optimizer": {"name": "sgd", "weight_decay": 0.0005, "decay": "all", "clip_norm": None, "nesterov": False},
        "schedule": {
            "name": "onecycle",
            "max_lr": 0.2,
            "pct_start": 0.3,
            "div_factor": 25.0,
            "final_div_factor": 10000.0,
            "base_momentum": 0.85,
            "max_momentum": 0.95,
        },
        "label_smoothing": 0.1,
        "task": "classify",
        "augment": {"crop_padding": 1, "flip": False},
        "mix": None,
        "precision": "fp32",
        "evaluate_every": 1,
        "match_steps_at": None,
    },
    "pretraining": None,
    "record_at": [0.5, 1.0],
    "diagnostics": [],
    "seed": 0,
}


def run_of(name: str, spec: RunSpec, **more: Any) -> Train:
    """The run of a spec under a name that does not depend on the code."""
    return Train(name, "0" * 12, spec, {}, **more)


def train_run(
    run: Train,
    *,
    data: Path,
    runs: Path,
    work: Path,
    keep_models: str = "none",
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    on_epoch: Callable[[dict[str, Any], int], None] | None = None,
    **how: Any,
) -> dict[str, Any]:
    """Trains a run in this process; `how` are further fields of an Execution."""
    execution = Execution(data, runs, work, **how)
    return train(replace(run, keep_models=keep_models), execution, checkpoint_every_s, on_epoch)


def spec(method: str = "orderdp", options: dict[str, Any] | None = None, seed: int = 0, **recipe: Any) -> RunSpec:
    """The small spec with changes."""
    changed = {**SPEC, "seed": seed, "recipe": {**SPEC["recipe"], **recipe}}
    if options is not None:
        changed["method"] = {"name": method, "options": options}
    return RunSpec.model_validate(changed)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets with prepared digits in it."""
    folder = tmp_path_factory.mktemp("data")
    prepare("digits", folder / "digits")
    return folder
