"""What a grid consists of: runs, their uses by tables and figures, and experiments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from orderdp.spec import CoresetSpec, ProxySpec, RunSpec, SpecError, Strict, StudySpec


@dataclass(frozen=True)
class Folder:
    """Results of one job: `name` is their folder under `runs/`, and ends in the fingerprint of all that decides
    them."""

    kind: ClassVar[str]
    name: str
    fingerprint: str

    def record(self) -> dict[str, Any]:
        """The content of the folder's `spec.json`."""
        return {self.kind: self.name, "fingerprint": self.fingerprint} | self.decided_by()

    def decided_by(self) -> dict[str, Any]:
        """What the fingerprint stands for, as plain values."""
        raise NotImplementedError


@dataclass(frozen=True)
class Specified(Folder):
    """Results that a spec decides, and the sources that carry it out."""

    spec: Strict
    sources: Mapping[str, str]

    def decided_by(self) -> dict[str, Any]:
        return {"spec": self.spec.plain(), "sources": dict(self.sources)}


@dataclass(frozen=True)
class Cell(Specified):
    """One training run."""

    kind: ClassVar[str] = "cell"
    spec: RunSpec
    experiments: tuple[str, ...]
    gpus: int = 1
    starts_from: str | None = None
    """The run whose final weights it starts from."""
    coreset: tuple[str, str] | None = None
    """Where a static run's samples stand: folder under `runs/`, and their name in its `coresets.npz`."""


class Cells(dict[str, Cell]):
    """The runs of a scale by name; an unknown name is an error that says so."""

    def __init__(self, scale: str, cells: Iterable[Cell]) -> None:
        super().__init__((cell.name, cell) for cell in cells)
        self.scale = scale

    def __missing__(self, name: str) -> Cell:
        raise SpecError(
            f"{name!r} is not in the grid of scale {self.scale!r}. The parameters or the sources changed since it was planned; "
            "`python -m orderdp plan` and `snakemake -n` show the present cells."
        )


@dataclass(frozen=True)
class Row:
    """One use of a cell: the coordinates by which a table or figure looks it up."""

    experiment: str
    cell: str
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
class Diagnosis(Folder):
    """The measurements of a run at its checkpoints, made from the weights that it kept."""

    kind: ClassVar[str] = "diagnosis"
    cell: Cell
    sources: Mapping[str, str]

    def decided_by(self) -> dict[str, Any]:
        return {"cell": self.cell.name, "sources": dict(self.sources)}


@dataclass(frozen=True)
class Study(Specified):
    """Theorems checked by experiment."""

    kind: ClassVar[str] = "study"
    spec: StudySpec


@dataclass(frozen=True)
class Proxy(Specified):
    """Networks trained before a static selection, and their evidence."""

    kind: ClassVar[str] = "proxy"
    spec: ProxySpec


@dataclass(frozen=True)
class Coreset:
    """One coreset to choose: `method` is the row of the tables that it is for."""

    method: str
    spec: CoresetSpec
    seed: int
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Coresets(Folder):
    """All coresets that a proxy's evidence is wanted for, by their names in `coresets.npz`."""

    kind: ClassVar[str] = "coresets"
    proxy: Proxy
    wanted: Mapping[str, Coreset]

    def decided_by(self) -> dict[str, Any]:
        wanted, sources = {}, dict(self.proxy.sources)
        for name, one in self.wanted.items():
            wanted[name] = {"method": one.method, "seed": one.seed} | {
                k: v for k, v in one.spec.plain().items() if k != "proxy"
            }
            sources |= one.sources
        return {"proxy": self.proxy.name, "wanted": wanted, "sources": dict(sorted(sources.items()))}


@dataclass(frozen=True)
class Experiment:
    """A table or figure at the present scale: made from runs (`rows`), from a study, or computed from `settings`
    alone."""

    name: str
    title: str
    reproduces: str
    rows: tuple[Row, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    study: Study | None = None
    coresets: tuple[str, ...] = ()
    """Folders of the coresets that its static runs train on."""
    diagnoses: tuple[str, ...] = ()
    """Folders of the measurements of its runs, if it asks for any."""
    left_out: tuple[str, ...] = ()
    """Its workloads that this scale has nothing for."""
    shown: bool = True
    """Whether a table or a figure is made of it."""

    @property
    def cells(self) -> tuple[str, ...]:
        """Its cells, each once, in the order of the grid."""
        return tuple(dict.fromkeys(row.cell for row in self.rows))

    @property
    def folders(self) -> tuple[str, ...]:
        """Names under `runs/` of everything that it is made from: its cells, their diagnoses, its study and its
        coresets."""
        return (*self.cells, *self.diagnoses, *(() if self.study is None else (self.study.name,)), *self.coresets)


@dataclass(frozen=True)
class Grid:
    """All runs of one scale."""

    scale: str
    scales: tuple[str, ...]
    note: str
    keep_models: str
    cells: Mapping[str, Cell]
    experiments: Mapping[str, Experiment]
    datasets: tuple[str, ...]
    data_places: Mapping[str, tuple[str, ...]]
    proxies: Mapping[str, Proxy] = field(default_factory=dict)
    coresets: Mapping[str, Coresets] = field(default_factory=dict)
    diagnoses: Mapping[str, Diagnosis] = field(default_factory=dict)
    replaced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Section of the scale, for example `scales.quick.experiments` -> the keys outside of it that are not used, because
    it states other values."""

    @property
    def folders(self) -> tuple[str, ...]:
        """Every name under `runs/` that belongs to this scale."""
        return (*self.cells, *self.diagnoses, *(study.name for study in self.studies), *self.proxies, *self.coresets)

    @property
    def studies(self) -> tuple[Study, ...]:
        """All studies, in the order of the experiments."""
        return tuple(experiment.study for experiment in self.experiments.values() if experiment.study is not None)
