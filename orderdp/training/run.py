"""From a cell of the grid to its folder of results: data in, lock, resume, train, write, clean up.

Nothing here decides a result; `engine.py` does.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch

from orderdp.datasets import load
from orderdp.files import write, write_json, write_rows
from orderdp.spec import RunSpec
from orderdp.training.device import allow_tf32, choose_device, memory_named
from orderdp.training.distributed import Ranks, joined, local_device
from orderdp.training.engine import Coreset, Diverged, Training, checkpoint_epochs
from orderdp.training.owner import owned
from orderdp.training.process import set_up
from orderdp.training.snapshot import Snapshot, save

COLUMNS = (
    "epoch", "progress", "lr", "momentum", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "kept", "prune_ratio", "steps",
    "grad_norm_mean", "grad_norm_std", "grad_norm_min", "grad_norm_max", "grad_norm_normalized_mean", "jaccard", "coverage",
    "wrong_labels",
    "selection_s", "training_s", "evaluation_s", "samples_per_s", "peak_memory_mb", "timestamp",
)  # fmt: skip

CHECKPOINT_EVERY_S = 10.0


class Cell(Protocol):
    """What is needed of a cell of the grid (`orderdp.grid.Cell`)."""

    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> RunSpec: ...
    @property
    def starts_from(self) -> str | None: ...
    @property
    def coreset(self) -> tuple[str, str] | None: ...
    def record(self) -> dict[str, Any]: ...


class Interrupted(Exception):
    """SIGTERM or SIGINT arrived: the run was saved at the end of its epoch and can go on from there."""


def train_cell(
    cell: Cell,
    *,
    data: Path,
    runs: Path,
    work: Path,
    keep_models: str = "none",
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    compiled: bool = False,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    on_epoch: Callable[[dict[str, Any], int], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Trains a cell, or finishes one that was cut off, and writes `runs/<cell>/`.

    Args:
        cell: from the grid.
        data: folder of prepared data sets.
        runs: folder of finished runs.
        work: folder of runs in training; emptied of this one at the end.
        keep_models: "none", "last" (model.pt) or "all" (also model-<epoch>.pt at the checkpoints).
        device: "cuda", "mps", "cpu" or None for the best present.
        threads: CPU threads; torch's own choice when None.
        workers: loader processes that decode photographs; None for one per processor, shared among this machine's
            ranks, at most 16.
        compiled: let torch compile the network.
        checkpoint_every_s: least seconds between saved states; 0 saves after every epoch.
        on_epoch: called with the history's new row and the planned number of epochs.
        say: receives lines about what happens beside the training (waiting, resuming).

    Under `torchrun` every rank calls this; the first alone writes files.

    Returns:
        The content of summary.json.

    Raises:
        Interrupted: after SIGTERM or SIGINT; the state is saved.
        RankLost: another rank ended before its time; the last saved state stays.
        ValueError: the device is not there, or the data set's files are not as they should be.
    """
    set_up(threads)
    allow_tf32(cell.spec.recipe.precision)
    chosen = choose_device(local_device(device))
    with joined(chosen) as ranks, contextlib.ExitStack() as stack:
        run = _Run(cell, runs / cell.name, work / cell.name, keep_models, checkpoint_every_s, on_epoch, say, ranks)
        if ranks.first:
            waiting = lambda: say(f"{cell.name}: another process is training this run; waiting for it")  # noqa: E731
            stack.enter_context(owned(run.work, waiting))
        ranks.wait()
        if (finished := run.finished()) is not None:
            return finished
        loaded = load(cell.spec.dataset.name, data / cell.spec.dataset.name)
        coreset = None if cell.coreset is None else read_coreset(runs, *cell.coreset)
        execution = {"workers": loader_processes() if workers is None else workers, "compiled": compiled}
        with memory_named(cell.spec, ranks.world, chosen):
            summary = run.train(loaded, chosen, coreset, **execution)
        ranks.wait()
        if ranks.first:
            shutil.rmtree(run.work, ignore_errors=True)
        return summary


def loader_processes() -> int:
    """One per processor that this process may use, shared among the ranks of this machine, at most 16."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, max(1, here // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def read_coreset(runs: Path, folder: str, name: str) -> Coreset:
    """A coreset that `python -m orderdp coresets` chose.

    Raises:
        FileNotFoundError: it has not been chosen yet.
    """
    path = runs / folder / "coresets.npz"
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}. Make it: python -m orderdp coresets --coresets {folder}")
    with np.load(path) as arrays:
        weights = arrays.get(f"{name}.weights")
        indices = torch.from_numpy(arrays[name].astype(np.int64))
    return Coreset(indices, None if weights is None else torch.from_numpy(weights))


class _Run:
    """The files of one run."""

    def __init__(
        self,
        cell: Cell,
        out: Path,
        work: Path,
        keep_models: str,
        checkpoint_every_s: float,
        on_epoch: Callable[[dict[str, Any], int], None] | None,
        say: Callable[[str], None],
        ranks: Ranks,
    ) -> None:
        self.cell, self.out, self.work, self.ranks = cell, out, work, ranks
        self.keep_models, self.checkpoint_every_s = keep_models, checkpoint_every_s
        self.on_epoch, self.say = (on_epoch, say) if ranks.first else (None, lambda text: None)
        self.checkpoint = work / "checkpoint.pt"
        self.saved_at = time.monotonic()
        self.started = time.time()
        self.interrupted = False

    def finished(self) -> dict[str, Any] | None:
        """The summary, if another process has just finished this run."""
        path = self.out / "summary.json"
        if not path.exists():
            return None
        import json

        return json.loads(path.read_text())

    def train(self, data: Any, device: torch.device, coreset: Coreset | None, **execution: Any) -> dict[str, Any]:
        training = Training(self.cell.spec, data, device, coreset, **execution)
        self.resume(training)
        self.ranks.agree(training.epoch)
        diverged = None
        restore = self.catch_signals()
        try:
            self.status(training, "running")
            training.fit(self.after_epoch, self.at_checkpoint)
        except Diverged as error:
            diverged = {"epoch": error.epoch, "step": error.step}
            self.say(f"{self.cell.name}: {error}")
        except BaseException:
            self.status(training, "failed")
            raise
        finally:
            restore()
        return self.write(training, data, diverged)

    def resume(self, training: Training) -> None:
        if not self.checkpoint.exists():
            if self.cell.spec.pretraining is not None:
                training.start_from(self.pretrained())
            return
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        training.load_state_dict(state["training"])
        self.started = state["started"]
        self.say(f"{self.cell.name}: resuming after epoch {training.epoch}")

    def pretrained(self) -> dict[str, torch.Tensor]:
        """The final weights of the run that this one starts from."""
        path = self.out.parent / str(self.cell.starts_from) / "model.pt"
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing: this run starts from those weights. Train the cell {self.cell.starts_from} first."
            )
        return torch.load(path, map_location="cpu", weights_only=True)

    def catch_signals(self) -> Callable[[], None]:
        """From here SIGTERM and SIGINT let the epoch end first. Only the main thread may set handlers."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None

        def note(number: int, frame: Any) -> None:
            self.interrupted = True

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        return lambda: [signal.signal(number, handler) for number, handler in before.items()] and None

    def after_epoch(self, training: Training) -> None:
        # A signal may reach one rank alone, or each in another epoch: they stop together.
        self.interrupted = self.ranks.any(self.interrupted)
        if not self.ranks.first:
            self.stop_if_interrupted(training)
            return
        if self.on_epoch is not None:
            self.on_epoch(training.history[-1], self.cell.spec.recipe.epochs)
        if self.keep_models == "all" and training.epoch in checkpoint_epochs(self.cell.spec):
            self.save_model(training, self.out / f"model-{training.epoch}.pt")
        self.status(training, "running")
        due = time.monotonic() - self.saved_at >= self.checkpoint_every_s
        if (due or self.interrupted) and not training.done:
            state = {"training": training.state_dict(), "started": self.started}
            write(self.checkpoint, lambda file: torch.save(state, file))
            self.saved_at = time.monotonic()
        self.stop_if_interrupted(training)

    def at_checkpoint(self, snapshot: Snapshot) -> None:
        if self.ranks.first:
            save(snapshot, self.out)

    def stop_if_interrupted(self, training: Training) -> None:
        if self.interrupted and not training.done:
            raise Interrupted(
                f"{self.cell.name}: stopped by a signal and saved after epoch {training.epoch}. Run it again to go on"
            )

    def status(self, training: Training, state: str) -> None:
        """Lets the tracker follow: the history so far, and who is at work."""
        if not self.ranks.first:
            return
        write_rows(self.work / "history.csv", COLUMNS, training.history)
        write_json(
            self.work / "status.json",
            {
                **self.cell.record(),
                "epoch": training.epoch,
                "epochs": self.cell.spec.recipe.epochs,
                "pid": os.getpid(),
                "started": self.started,
                "updated": time.time(),
                "state": state,
            },
        )

    def write(self, training: Training, data: Any, diverged: dict[str, int] | None) -> dict[str, Any]:
        """The run's outputs, summary last: its presence says that the others are complete."""
        summary = self.summary(training, data, diverged)
        if not self.ranks.first:
            return summary
        write_json(self.out / "spec.json", self.cell.record())
        write_rows(self.out / "history.csv", COLUMNS, training.history)
        write(self.out / "selection.npz", lambda file: _save_selection(file, training))
        # A masked autoencoder is trained for nothing but its weights.
        if self.keep_models != "none" or self.cell.spec.recipe.task == "reconstruct":
            self.save_model(training, self.out / "model.pt")
        write_json(self.out / "summary.json", summary)
        return summary

    def save_model(self, training: Training, path: Path) -> None:
        weights = {name: value.cpu() for name, value in training.model.state_dict().items()}
        write(path, lambda file: torch.save(weights, file))

    def summary(self, training: Training, data: Any, diverged: dict[str, int] | None) -> dict[str, Any]:
        history, spec = training.history, self.cell.spec
        accuracies = [row["test_accuracy"] for row in history if row.get("test_accuracy") is not None]
        samples = sum(row["kept"] for row in history)

        def total(column: str) -> float:
            return sum(row.get(column) or 0.0 for row in history)

        return {
            "cell": self.cell.name,
            "status": "finished" if diverged is None else "diverged",
            "diverged_at": diverged,
            "test_accuracy": accuracies[-1] if accuracies else None,
            "best_test_accuracy": max(accuracies, default=None),
            "test_loss": history[-1].get("test_loss"),
            "train_loss": history[-1]["train_loss"],
            "epochs": len(history),
            "steps": sum(row["steps"] for row in history),
            "samples": samples,
            "prune_ratio": 1 - samples / (spec.recipe.epochs * training.n),
            "wrong_labels": sum(row["wrong_labels"] * row["kept"] for row in history) / samples
            if spec.dataset.label_noise > 0
            else None,
            "selection_s": total("selection_s"),
            "training_s": total("training_s"),
            "evaluation_s": total("evaluation_s"),
            "started": self.started,
            "ended": time.time(),
            "environment": environment(training),
            "n": training.n,
            "classes": data.classes,
            "parameters": sum(p.numel() for p in training.model.parameters()),
        }


def _save_selection(file: IO[bytes], training: Training) -> None:
    kept = {f"kept_{epoch}": indices.numpy() for epoch, indices in sorted(training.kept.items())}
    reached = [epoch for epoch in checkpoint_epochs(training.spec) if epoch in training.kept]
    np.savez_compressed(file, usage=training.usage.numpy(), checkpoint_epochs=np.array(reached, dtype=np.int32), **kept)


def environment(training: Training) -> dict[str, Any]:
    """What the run computed on: reported beside its numbers, never part of its name."""
    device = training.device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else torch.cpu.get_capabilities().get("cpu_name", "")
    )
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": device.type,
        "device_name": name or platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": str(training.dtype).removeprefix("torch."),
        "ranks": training.ranks.world,
        "compiled": training.compiled,
        "data_digest": getattr(training.data, "digest", None),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of the project's checkout, with a mark if files differ from it; None outside of git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
