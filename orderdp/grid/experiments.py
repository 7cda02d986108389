"""What a grid consists of: jobs, their uses by tables and figures, and experiments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orderdp.grid.params import OwnDataset
from orderdp.jobs import Job
from orderdp.jobs.coresets import Coresets
from orderdp.jobs.train import Train
from orderdp.spec import DatasetSpec, SpecError


class Jobs(dict[str, Job]):
    """The jobs of a scale by name. An unknown name is an error that says so."""

    def __init__(self, scale: str, jobs: Iterable[Job]) -> None:
        super().__init__((job.name, job) for job in jobs)
        self.scale = scale

    def __missing__(self, name: str) -> Job:
        raise SpecError(
            f"{name!r} is not in the grid of scale {self.scale!r}. The parameters or the sources changed since it was "
            "planned; `python -m orderdp plan --jobs` lists the names of the present jobs."
        )


@dataclass(frozen=True)
class Row:
    """One use of a run: the coordinates by which a table or figure looks it up."""

    experiment: str
    run: str
    workload: str
    stands_for: tuple[str, ...]
    method: str
    label: str
    prune_ratio: float | None
    explore: float | None
    panel: str
    seed: int
    label_noise: float


@dataclass(frozen=True)
class Experiment:
    """A table or figure at the present scale: made from runs (`rows`), from one job of another kind, or computed from
    `settings` alone."""

    name: str
    title: str
    reproduces: str
    rows: tuple[Row, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    job: str | None = None
    """The job that it names itself, for example a study."""
    coresets: tuple[str, ...] = ()
    """Jobs that choose the coresets of its runs."""
    diagnoses: tuple[str, ...] = ()
    """Jobs that measure its runs, in the order of `runs`, if it wants any."""
    left_out: tuple[str, ...] = ()
    """Its workloads that this scale has nothing for."""
    compares_times: bool = False
    """Whether it compares durations."""
    shown: bool = True
    """Whether a table or a figure is made of it."""

    @cached_property
    def runs(self) -> tuple[str, ...]:
        """Its runs, each once, in the order of the grid."""
        return tuple(dict.fromkeys(row.run for row in self.rows))

    @property
    def jobs(self) -> tuple[str, ...]:
        """Names of all jobs that it is made from: its runs, their measurements, its own job and its coresets."""
        return (*self.runs, *self.diagnoses, *(() if self.job is None else (self.job,)), *self.coresets)


@dataclass(frozen=True)
class Grid:
    """All jobs of one scale, and what they are for."""

    scale: str
    scales: tuple[str, ...]
    note: str
    jobs: Jobs
    """Name -> job, each before those that need it."""
    experiments: Mapping[str, Experiment]
    data_dirs: Mapping[str, tuple[str, ...]]
    """Data set -> folders that are searched for its files first."""
    own: Mapping[str, OwnDataset] = field(default_factory=dict)
    """Data sets of one's own, as params.yaml describes them."""
    differences: tuple[str, ...] = ()
    """What the scale changes of the methods, coresets and experiments, a line each."""

    @cached_property
    def runs(self) -> dict[str, Train]:
        """The training runs by name."""
        return {name: job for name, job in self.jobs.items() if isinstance(job, Train)}

    @cached_property
    def coresets(self) -> dict[str, Coresets]:
        """The jobs that choose coresets by name."""
        return {name: job for name, job in self.jobs.items() if isinstance(job, Coresets)}

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that the jobs read."""
        return tuple(dict.fromkeys(job.dataset for job in self.jobs.values() if job.dataset is not None))

    @cached_property
    def dataset_specs(self) -> dict[str, DatasetSpec]:
        """Data set -> what the runs say of it."""
        return {job.spec.dataset.name: job.spec.dataset for job in self.runs.values()}

    @cached_property
    def users(self) -> dict[str, tuple[str, ...]]:
        """Job -> the experiments that are made from it, or from a job that needs it."""
        found: dict[str, dict[str, None]] = {name: {} for name in self.jobs}
        for experiment in self.experiments.values():
            for name in experiment.jobs:
                found[name][experiment.name] = None
        for name, job in reversed(self.jobs.items()):
            for needed in job.needs:
                found[needed] |= found[name]
        return {name: tuple(experiments) for name, experiments in found.items()}
