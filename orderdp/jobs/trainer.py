"""The folder of a training run: lock, resume, train, write, clean up.

Nothing here decides a result; `orderdp.training.engine` does. It is a module apart from `orderdp.jobs.train`, which is
light, because this one needs torch.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import platform
import shutil
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from orderdp.datasets.processors import processors
from orderdp.files import write, write_arrays, write_json, write_rows
from orderdp.jobs.base import Execution, Interrupted
from orderdp.jobs.data import prepared
from orderdp.jobs.finished import finish, is_finished, read_file, read_summary
from orderdp.jobs.progress import Progress
from orderdp.pruning.subset import Subset
from orderdp.training.captured import cuda_graph
from orderdp.training.device import memory_named, set_up
from orderdp.training.distributed import Ranks, joined, local_device
from orderdp.training.engine import Diverged, Training, record_epochs
from orderdp.training.snapshot import Snapshot, save

if TYPE_CHECKING:
    from orderdp.jobs.train import Train

COLUMNS = (
    "epoch", "progress", "lr", "momentum", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "kept",
    "prune_ratio", "steps", "grad_norm_mean", "grad_norm_std", "grad_norm_min", "grad_norm_max",
    "grad_norm_normalized_mean", "jaccard", "coverage", "wrong_labels", "selection_s", "training_s", "evaluation_s",
    "samples_per_s", "peak_memory_mb", "timestamp",
)  # fmt: skip

CHECKPOINT_EVERY_S = 10.0
SHARE_OF_SAVING = 0.02
"""Of the time, at most: a large network's state on a slow file system takes as long as some of its epochs."""


def train(
    job: Train,
    execution: Execution,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    on_epoch: Callable[[dict[str, Any], int], None] | None = None,
) -> dict[str, Any]:
    """Trains a run, or finishes one that was cut off, and writes its folder.

    Args:
        job: the run.
        execution: where and how.
        checkpoint_every_s: least seconds between saved states, and more where saving would take a larger part of the
            time than SHARE_OF_SAVING; 0 saves after every epoch.
        on_epoch: called with the history's new row and the planned number of epochs; shows progress when None.

    Under `torchrun` every rank calls this; the first alone writes files.

    Returns:
        The content of summary.json.

    Raises:
        Interrupted: after SIGTERM or SIGINT; the state is saved.
        RankLost: another rank ended before its time; the last saved state stays.
        ValueError: the device is not there, or the data set's files are not as they should be.
    """
    device = set_up(local_device(execution.device), job.spec.recipe.precision, execution.threads)
    with joined(device) as ranks, contextlib.ExitStack() as stack:
        run = _Run(job, execution, checkpoint_every_s, on_epoch or Progress(job.name), ranks)
        if ranks.first:
            stack.enter_context(_sole_trainer(run.work, lambda: run.say(f"{job.name}: waiting for its other trainer")))
        ranks.wait()
        if is_finished(execution.runs, job.name):  # another process has just finished it
            if ranks.first:
                shutil.rmtree(run.work, ignore_errors=True)
            return read_summary(execution.runs, job.name) or {}
        data = prepared(job.spec.dataset, execution.data)
        coreset = None if job.coreset is None else read_coreset(execution.runs, *job.coreset)
        workers = loader_processes() if execution.workers is None else execution.workers
        with memory_named(job.spec, ranks.world, device):
            training = Training(
                job.spec,
                data,
                device,
                coreset,
                workers=workers,
                compiled=execution.compiled,
                micro_batch=execution.micro_batch,
                capture=cuda_graph if device.type == "cuda" and execution.captured else None,
            )
            summary = run.train(training, data)
        ranks.wait()
        if ranks.first:
            shutil.rmtree(run.work, ignore_errors=True)
        return summary


@contextlib.contextmanager
def _sole_trainer(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds a run's working folder for this process, and waits while another one holds it. The lock is the kernel's, so
    that a trainer which is killed leaves none behind."""
    lock, told = FileLock(folder / "lock"), False
    while not lock.is_locked:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not told:
                waiting()
            told = True
            time.sleep(0.2)
        except FileNotFoundError:  # the other one has just finished, and removed the folder
            pass
    try:
        yield
    finally:
        lock.release()


def loader_processes() -> int:
    """One per processor that this process may use, shared among the ranks of this machine, at most 16."""
    return min(16, max(1, processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def read_coreset(runs: Path, folder: str, name: str) -> Subset:
    """A coreset that a job chose.

    Raises:
        FileNotFoundError: it has not been chosen yet.
        DamagedRun: the file is not the one that was written.
    """
    with np.load(io.BytesIO(read_file(runs, folder, "coresets.npz")), allow_pickle=False) as arrays:
        weights = arrays.get(f"{name}.weights")
        indices = torch.from_numpy(arrays[name].astype(np.int64))
    return Subset(indices, None if weights is None else torch.from_numpy(weights))


class _Run:
    """The files of one run."""

    def __init__(
        self,
        job: Train,
        execution: Execution,
        checkpoint_every_s: float,
        on_epoch: Callable[[dict[str, Any], int], None],
        ranks: Ranks,
    ) -> None:
        self.job, self.ranks = job, ranks
        self.least_wait_s = self.wait_s = checkpoint_every_s
        self.out, self.work = execution.runs / job.name, execution.work / job.name
        self.sharing = execution.sharing
        self.say = execution.say if ranks.first else lambda text: None
        self.on_epoch = on_epoch
        self.checkpoint = self.work / "checkpoint.pt"
        self.saved_at = time.monotonic()
        self.started = time.time()
        self.interrupted = False

    def train(self, training: Training, data: Any) -> dict[str, Any]:
        self.resume(training)
        self.ranks.agree(training.epoch)
        diverged = None
        restore = self.catch_signals()
        try:
            self.status(training, "running")
            training.fit(self.after_epoch, self.at_record)
        except Diverged as error:
            diverged = {"epoch": error.epoch, "step": error.step}
            self.say(f"{self.job.name}: {error}")
        except BaseException:
            self.status(training, "failed")
            raise
        finally:
            restore()
        return self.write(training, data, diverged)

    def resume(self, training: Training) -> None:
        state = _read(self.checkpoint)
        if state is None:
            if self.checkpoint.exists():
                self.say(f"{self.job.name}: {self.checkpoint} is damaged. The run begins again")
            if self.job.spec.pretraining is not None:
                training.start_from(self.pretrained())
            return
        training.load_state_dict(state["training"])
        self.started = state["started"]
        self.say(f"{self.job.name}: resuming after epoch {training.epoch}")

    def pretrained(self) -> dict[str, torch.Tensor]:
        """The final weights of the run that this one starts from."""
        content = read_file(self.out.parent, str(self.job.starts_from), "model.pt")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)

    def catch_signals(self) -> Callable[[], None]:
        """From here SIGTERM and SIGINT let the epoch end first. Only the main thread may set handlers."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None

        def note(number: int, frame: Any) -> None:
            self.interrupted = True

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        return restore

    def after_epoch(self, training: Training) -> None:
        # A signal may reach one rank alone, or each in another epoch: they stop together.
        self.interrupted = self.ranks.any(self.interrupted)
        if not self.ranks.first:
            self.stop_if_interrupted(training)
            return
        self.on_epoch(training.history[-1], self.job.spec.recipe.epochs)
        if self.job.keep_models == "all" and training.epoch in record_epochs(self.job.spec):
            self.save_model(training, self.out / f"model-{training.epoch}.pt")
        self.status(training, "running")
        due = time.monotonic() - self.saved_at >= self.wait_s
        if (due or self.interrupted) and not training.done:
            state = {"training": training.state_dict(), "started": self.started}
            began = time.monotonic()
            write(self.checkpoint, lambda file: torch.save(state, file))
            self.saved_at = time.monotonic()
            if self.wait_s > 0:
                self.wait_s = max(self.least_wait_s, (self.saved_at - began) / SHARE_OF_SAVING)
        self.stop_if_interrupted(training)

    def at_record(self, snapshot: Snapshot) -> None:
        if self.ranks.first:
            save(snapshot, self.out)

    def stop_if_interrupted(self, training: Training) -> None:
        if self.interrupted and not training.done:
            raise Interrupted(
                f"{self.job.name}: stopped by a signal and saved after epoch {training.epoch}. Run it again to go on"
            )

    def status(self, training: Training, state: str) -> None:
        """Lets the tracker follow: the history so far, and who is at work."""
        if not self.ranks.first:
            return
        write_rows(self.work / "history.csv", COLUMNS, training.history)
        write_json(
            self.work / "status.json",
            {
                **self.job.record(),
                "epoch": training.epoch,
                "epochs": self.job.spec.recipe.epochs,
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
        write_json(self.out / "spec.json", self.job.record())
        write_rows(self.out / "history.csv", COLUMNS, training.history)
        reached = [epoch for epoch in record_epochs(training.spec) if epoch in training.kept]
        recorded = {"usage": training.usage.numpy(), "recorded_epochs": np.array(reached, dtype=np.int32)}
        write_arrays(self.out / "selection.npz", recorded)
        kept = {f"kept_{epoch}": indices.numpy() for epoch, indices in sorted(training.kept.items())}
        write_arrays(self.out / "samples.npz", training.samples.arrays() | kept)
        # A masked autoencoder is trained for nothing but its weights.
        if self.job.keep_models != "none" or self.job.spec.recipe.task == "reconstruct":
            self.save_model(training, self.out / "model.pt")
        return finish(self.out, summary)

    def save_model(self, training: Training, path: Path) -> None:
        weights = {name: value.cpu() for name, value in training.model.state_dict().items()}
        write(path, lambda file: torch.save(weights, file))

    def summary(self, training: Training, data: Any, diverged: dict[str, int] | None) -> dict[str, Any]:
        history: list[dict[str, Any]] = [dict(row) for row in training.history]
        spec = self.job.spec
        accuracies = [row["test_accuracy"] for row in history if row.get("test_accuracy") is not None]
        samples = sum(row["kept"] for row in history)
        wrong = sum((row["wrong_labels"] or 0) * row["kept"] for row in history) / samples

        def total(column: str) -> float:
            return sum(row.get(column) or 0.0 for row in history)

        return {
            "job": self.job.name,
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
            "wrong_labels": wrong if spec.dataset.label_noise > 0 else None,
            "selection_s": total("selection_s"),
            "training_s": total("training_s"),
            "evaluation_s": total("evaluation_s"),
            "started": self.started,
            "ended": time.time(),
            "environment": environment(training) | {"sharing": self.sharing},
            "n": training.n,
            "classes": data.classes,
            "parameters": sum(p.numel() for p in training.model.parameters()),
        }


def _read(checkpoint: Path) -> dict[str, Any] | None:
    """A saved state; None if there is none, or none that is whole and was written by a run."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            if archive.testzip() is not None:
                return None
        state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return state if {"training", "started"} <= state.keys() else None
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError, pickle.UnpicklingError, AttributeError):
        return None


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
        "micro_batch": training.micro_batch,
        "step": training.step_form,
        "data_checksum": getattr(training.data, "checksum", None),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of the project's checkout, with a mark if files differ from it; None outside of git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
