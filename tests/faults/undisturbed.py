"""A project with every kind of job, that nothing has disturbed, and what of its results must come out the same again:
all but times, and what a run computed on."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import shutil
import sqlite3
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from orderdp import grid as grids
from orderdp.jobs import Job
from tests.faults.children import Child, job
from tests.faults.count import Count
from tests.workflow.conftest import ROOT, Project, copy_project

TIMES = {"samples_per_s", "peak_memory_mb", "timestamp", "started", "ended", "environment", "files", "seal"}


def of_the_clock(key: str) -> bool:
    """Whether a column or a key holds a time, or what depends on it."""
    return key in TIMES or key.endswith("_s") or key.startswith(("seconds", "time_"))


class Undisturbed:
    """The project, and its results as they must come out."""

    def __init__(self, project: Project) -> None:
        self.project, self.folder = project, project.folder
        self.saved = self.folder.with_name("saved")
        if not self.saved.exists():
            shutil.copytree(self.folder, self.saved, symlinks=True)

    @cached_property
    def results(self) -> dict[str, str]:
        """What the project's results must be, from the copy that nothing touches."""
        return results(self.saved)

    def restore(self) -> None:
        """Makes the project as it was at first."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.saved, self.folder, symlinks=True)

    @cached_property
    def grid(self) -> grids.Grid:
        """Its jobs, tables and figures."""
        return grids.load(self.folder / "params.yaml")

    def one_of_each_kind(self) -> list[Job]:
        """A job of each kind; of trainings two."""
        found = {job.kind: job for job in self.grid.jobs.values()}
        return [*found.values(), next(job for job in self.grid.jobs.values() if job.kind == "train")]

    def compare(self, count: Count, where: str, folder: Path | None = None) -> None:
        """Notes what differs in a project, this one or another."""
        now = results(folder or self.folder)
        for name in sorted(self.results.keys() | now.keys()):
            if self.results.get(name) != now.get(name):
                what = "is missing" if name not in now else "is too much" if name not in self.results else "differs"
                count.expect(False, where, f"{name} {what}")

    def again(self, count: Count, where: str, name: str) -> None:
        """Runs a job to its end, and looks whether all is as it was and nothing is left over."""
        status, output = Child(self.folder, job, self.grid.jobs[name].record()).end()
        count.read(f"{where}, again", output)
        count.expect(status == 0, where, f"the same job again ended with {status}: {output[-500:]}")
        self.compare(count, where)
        left = self.folder / ".work" / name
        count.expect(not left.exists(), where, f"{left} is left over")

    def remove_store(self) -> None:
        """Removes MLflow's database."""
        for path in self.folder.glob("mlflow.db*"):
            path.unlink()

    def tracked(self, count: Count, where: str, others: int = 0) -> None:
        """Looks whether MLflow has each training and the report, finished and once, beside runs of others."""
        with contextlib.closing(sqlite3.connect(self.folder / "mlflow.db")) as store:
            query = "select count(*) from runs where lifecycle_stage = 'active' and status = 'FINISHED'"
            ((found,),) = store.execute(query)
        count.expect(found == len(self.grid.runs) + 1 + others, where, f"MLflow has {found} finished runs")


def make(folder: Path) -> Undisturbed:
    """Runs a project from end to end, jobs of all kinds; or takes one that this made before."""
    if (folder / "project").exists():
        undisturbed = Undisturbed(Project(folder / "project"))
        undisturbed.restore()
        return undisturbed
    project = copy_project(folder / "project")
    params = project.params()
    theory = yaml.safe_load((ROOT / "params.yaml").read_text())["experiments"]["theory"]
    theory["job"] |= {"draws": 100, "warm_steps": 10, "steps": [10, 20], "seeds": [0, 1, 2]}
    params["workloads"]["digits-resnet8"]["overrides"]["epochs"] = 4
    params["experiments"] |= {
        "table1": {
            "title": "Static pruning methods", "reproduces": "Table 1", "workloads": ["cifar10-resnet18"],
            "grid": [{"methods": ["full"]}, {"methods": ["craig", "orderdp"], "prune_ratios": [0.5]}],
        },
        "table11": {
            "title": "Direction of the gradient", "reproduces": "Table 11",
            "workloads": ["cifar100-resnet18-diagnostics"],
            "diagnostics": ["gradients"], "grid": [{"methods": ["orderdp"], "prune_ratios": [0.7]}],
        },
        "theory": theory,
    }  # fmt: skip
    protocol = {"overrides": {"epochs": 2}, "models": 1, "early_epochs": [1]}
    params["scales"]["quick"] |= {"coresets": {"proxy": protocol}, "early_epochs": {}, "record_at": [0.5, 1.0]}
    project.write_params(params)
    project.snakemake(ORDERDP_NO_TRACKING="0")
    return Undisturbed(project)


def results(folder: Path) -> dict[str, str]:
    """File of a run or table -> checksum of what no clock decides."""
    found = {}
    for pattern in ("runs/*/*", "reports/*/tables/table2.csv", "reports/*/tables/table10.csv"):
        for path in sorted(folder.glob(pattern)):
            parts = b"".join(part if isinstance(part, bytes) else str(part).encode() for part in content(path))
            found[str(path.relative_to(folder))] = hashlib.sha256(parts).hexdigest()
    return found


def content(path: Path) -> Iterator[Any]:
    """The parts of a file that no clock decides."""
    if path.suffix == ".csv":
        for row in csv.DictReader(io.StringIO(path.read_text())):
            yield {key: value for key, value in row.items() if not of_the_clock(key)}
    elif path.suffix == ".json":
        yield without_times(json.loads(path.read_text()))
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            for name in sorted(arrays):
                yield from (name, arrays[name].dtype, arrays[name].shape, arrays[name].tobytes())
    elif path.suffix == ".pt":
        yield from flattened(torch.load(path, weights_only=True))
    else:
        yield path.read_bytes()


def flattened(value: Any) -> Iterator[Any]:
    """The parts of what torch has saved."""
    if isinstance(value, torch.Tensor):
        yield from (value.dtype, tuple(value.shape), value.numpy().tobytes())
    elif isinstance(value, dict):
        for name in sorted(value, key=str):
            yield name
            yield from flattened(value[name])
    else:
        yield value


def without_times(value: Any) -> Any:
    """A value of JSON without the keys that a clock decides."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if not of_the_clock(key)}
    return [without_times(item) for item in value] if isinstance(value, list) else value
