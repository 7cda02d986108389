"""One run on several processes is the run on one: the same selections exactly, the same curves to rounding."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from orderdp.jobs.train import Train
from orderdp.models import MODELS
from orderdp.training import engine
from orderdp.training.distributed import Ranks, joined, local_device
from tests.training.conftest import SPEC, run_of, spec, train_run
from tests.training.test_engine import METHODS

pytestmark = pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="no gloo here")
ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
SAME = ("epoch", "progress", "lr", "momentum", "kept", "prune_ratio", "steps", "jaccard", "coverage")
CLOSE = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "grad_norm_mean",
    "grad_norm_std",
    "grad_norm_normalized_mean",
)
RANKED = ("orderdp", "infobatch", "ucb")

SCRIPT = """
import sys
from pathlib import Path
from tests.training.test_ranks import on_rank
on_rank(Path(sys.argv[1]), Path(sys.argv[2]), "full", 1, 0.0, {})
"""


def plain(classes: int, channels: int) -> nn.Module:
    """A network without batch statistics, which each rank would take over its own part of a batch."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3), nn.GroupNorm(2, 8), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 6 * 6, classes)
    )


NETWORKS = {**MODELS, "plain": plain}


def run(method: str, epochs: int) -> Train:
    """Batches of 43: OrderDP's 431 samples end in a batch of one, which leaves the other ranks without. A low learning
    rate, because a high one blows up what the ranks round differently."""
    schedule = {**SPEC["recipe"]["schedule"], "max_lr": 0.02}
    chosen = spec(method, METHODS[method], epochs=epochs, batch_size=43, schedule=schedule)
    return run_of(method, chosen.model_validate({**chosen.plain(), "model": {"name": "plain", "options": {}}}))


def on_rank(base: Path, data: Path, method: str, epochs: int, pause: float, variables: dict[str, str]) -> None:
    """What each process does; its last words go to a file."""
    os.environ |= variables
    torch.set_num_threads(1)
    engine.MODELS = NETWORKS
    base.mkdir(parents=True, exist_ok=True)
    said = base / f"said-{os.environ['RANK']}.txt"
    said.unlink(missing_ok=True)

    def say(text: str) -> None:
        with said.open("a") as file:
            file.write(text + "\n")

    try:
        train_run(
            run(method, epochs), data=data, runs=base / "runs", work=base / "work", keep_models="last", threads=1,
            device="cpu",
            checkpoint_every_s=0, on_epoch=lambda row, _: time.sleep(pause), say=say,
        )  # fmt: skip
    except Exception as error:
        say(f"{type(error).__name__}: {error}")
        sys.exit(1)


def start(base: Path, data: Path, world: int, method: str, epochs: int = 3, pause: float = 0.0) -> list[Any]:
    """The processes of a run, with the variables that torchrun sets; forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    port = str(20000 + time.monotonic_ns() % 20000)
    common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = []
    for rank in range(world):
        variables = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(
            context.Process(target=on_rank, args=(base, data, method, epochs, pause, variables), daemon=True)
        )
        processes[-1].start()
    return processes


def finish(base: Path, processes: list[Any]) -> list[tuple[int | None, str]]:
    """Exit code and last words of each."""
    found = []
    for rank, process in enumerate(processes):
        process.join(120)
        said = base / f"said-{rank}.txt"
        found.append((process.exitcode, said.read_text() if said.exists() else ""))
    return found


def history(base: Path, method: str) -> list[dict[str, str]]:
    with (base / "runs" / method / "history.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same(one: Path, other: Path, method: str) -> None:
    for ours, theirs in zip(history(one, method), history(other, method), strict=True):
        for column in SAME:
            assert ours[column] == theirs[column], column
        for column in CLOSE:
            assert float(ours[column]) == pytest.approx(float(theirs[column]), rel=1e-4, abs=1e-6), column
    a, b = (np.load(base / "runs" / method / "selection.npz") for base in (one, other))
    for name in a.files:
        assert np.array_equal(a[name], b[name]), name
    a, b = (np.load(base / "runs" / method / "samples.npz") for base in (one, other))
    for name in ("visits", "wrong", "forgotten", "last_answer"):
        assert np.mean(a[name] != b[name]) < 0.01, name
    assert np.allclose(a["mean_loss"], b["mean_loss"], rtol=1e-3, equal_nan=True)
    weights = [torch.load(base / "runs" / method / "model.pt", weights_only=True) for base in (one, other)]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-3, atol=1e-5)


def train_alone(base: Path, data: Path, method: str, epochs: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(engine, "MODELS", NETWORKS)
    folders = {"data": data, "runs": base / "runs", "work": base / "work"}
    train_run(run(method, epochs), **folders, keep_models="last", threads=1, device="cpu")
    return base


@pytest.mark.parametrize("method", RANKED)
def test_two_ranks_train_as_one(data, tmp_path, method, monkeypatch):
    processes = start(tmp_path / "two", data, 2, method)
    alone = train_alone(tmp_path / "one", data, method, 3, monkeypatch)
    assert [code for code, _ in finish(tmp_path / "two", processes)] == [0, 0]
    assert_same(alone, tmp_path / "two", method)
    assert json.loads((tmp_path / "two/runs" / method / "summary.json").read_text())["environment"]["ranks"] == 2
    assert not list((tmp_path / "two/work").iterdir())


def test_a_run_goes_on_after_a_stop_and_a_lost_rank_on_another_number_of_ranks(data, tmp_path, monkeypatch):
    epochs, broken = 24, tmp_path / "broken"
    stopped = start(broken, data, 2, "orderdp", epochs, pause=0.1)
    whole = train_alone(tmp_path / "whole", data, "orderdp", epochs, monkeypatch)
    wait_for(broken, 2)
    os.kill(stopped[1].pid, signal.SIGTERM)  # one rank is told; all stop after the same epoch
    (first, text), (second, other) = finish(broken, stopped)
    assert first and second and "Interrupted" in text and "Interrupted" in other and "saved after epoch" in text
    reached = json.loads((broken / "work/orderdp/status.json").read_text())["epoch"]
    torn = start(broken, data, 3, "orderdp", epochs, pause=0.1)
    wait_for(broken, reached + 2)
    os.kill(torn[2].pid, signal.SIGKILL)
    texts = [text for _, text in finish(broken, torn)]
    assert "orderdp: resuming after epoch" in texts[0]
    for rank in (0, 1):
        assert (
            f"RankLost: Rank {rank} of 3 lost another rank" in texts[rank]
            and "start the same command again" in texts[rank]
        )
    assert not (broken / "runs/orderdp/summary.json").exists()
    train_alone(broken, data, "orderdp", epochs, monkeypatch)
    assert_same(whole, broken, "orderdp")


def wait_for(base: Path, epoch: int) -> None:
    path = base / "work/orderdp/status.json"
    for _ in range(600):
        if path.exists() and json.loads(path.read_text())["epoch"] >= epoch:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not get going")


def test_torchrun_starts_it(data, tmp_path, monkeypatch):
    script = tmp_path / "child.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "two"), str(data)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert_same(train_alone(tmp_path / "one", data, "full", 1, monkeypatch), tmp_path / "two", "full")


def test_parts_cover_a_batch_and_weigh_its_mean(monkeypatch):
    losses = torch.rand(20)
    batches = [torch.arange(10), torch.arange(10, 17), torch.tensor([17])]
    for world in (1, 2, 3):
        means = torch.zeros(3)
        for rank in range(world):
            ranks, seen = Ranks(), []
            ranks.rank, ranks.world = rank, world
            parts = list(ranks.rank_batches(batches, seen))
            assert all(a is b for a, b in zip(seen, batches, strict=True))
            assert all(len(part.indices) for part in parts)
            means += torch.stack([losses[part.indices].mean() * part.scale for part in parts]) / world
        torch.testing.assert_close(means, torch.stack([losses[batch].mean() for batch in batches]))


def test_no_rank_trains_on_one_sample_of_a_batch_that_has_two(monkeypatch):
    for world in (1, 2, 3, 8):
        for size in range(2, 40):
            for rank in range(world):
                monkeypatch.setattr(
                    "orderdp.training.distributed.rank_and_world_size", lambda rank=rank, world=world: (rank, world)
                )
                (part,) = Ranks().rank_batches([torch.arange(size)], [])
                assert len(part.indices) >= 2


def test_a_rank_without_gpu_is_named(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "4")
    assert local_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"Rank 4 of this machine has no GPU: 2 here\. .*--nproc-per-node=2"):
        local_device(None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert local_device(None) == local_device("cuda") == "cuda:1"


def test_without_torchrun_one_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(CPU) as ranks:
        assert (ranks.rank, ranks.world, ranks.first) == (0, 1, True)
    with pytest.raises(RuntimeError, match=r"^something else$"), joined(CPU):
        raise RuntimeError("something else")
