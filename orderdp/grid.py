"""`params.yaml` -> cells: which runs exist at a scale, and which table or figure asks for each.

Light on purpose (yaml and pydantic, no torch): the Snakefile imports it each time it is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from orderdp import sources
from orderdp.spec import Name, PruneRatio, RecipeSpec, RunSpec, Scalar, Seed, SpecError, Strict, explain

REGISTRIES = {"dataset": ("datasets", "DATASETS"), "model": ("models", "MODELS"), "method": ("pruning", "PRUNERS")}
GIVEN_BY_ENGINE = {"n", "seed", "epochs", "indices", "weights", "rank", "world_size"}


class Workload(Strict):
    """A data set, a network and how the network is trained on it."""

    dataset: Name
    """A name in `orderdp.datasets.DATASETS`."""
    model: Name
    """A name in `orderdp.models.MODELS`."""
    model_options: dict[Name, Scalar]
    """Keyword arguments of the model's builder."""
    recipe: str
    """A name under `recipes`."""
    overrides: dict[str, Any]
    """What differs from that recipe."""


class SplitAt(Strict):
    """The options that a method takes at one prune ratio."""

    prune_ratio: PruneRatio
    """The ratio that these options belong to."""
    options: dict[Name, Scalar]
    """For example `explore` of OrderDP."""


class Method(Strict):
    """A row of the tables: a pruner with its options."""

    label: str
    """Name in tables and legends."""
    name: Name
    """A name in `orderdp.pruning.PRUNERS`."""
    options: dict[Name, Scalar]
    """Keyword arguments of the pruner."""
    ratio_sets: Literal["prune_ratio", "match_steps_at"] | None
    """What a table's prune ratio sets: the pruner's own ratio, the recipe's number of steps, or nothing."""
    at: tuple[SplitAt, ...] = ()
    """Options that depend on the prune ratio."""


class GridEntry(Strict):
    """A product of methods, prune ratios and explore ratios."""

    methods: tuple[str, ...]
    """Names under `methods`."""
    prune_ratios: tuple[PruneRatio, ...] | None = None
    """Shares of the data that every epoch leaves out; none for full data."""
    explore: tuple[PruneRatio | Literal[1], ...] | None = None
    """Candidate shares s/n to try instead of the method's own."""
    options: dict[Name, Scalar] = {}
    """Options of the pruner for this entry only."""
    epochs: int | None = None
    """Epochs instead of the workload's."""
    panel: str = ""
    """Which part of a figure these cells are for."""


class ExperimentEntry(Strict):
    """One table or figure: what it shows and the runs that it needs."""

    title: str
    """Heading in the report."""
    reproduces: str
    """Where in the paper."""
    workloads: tuple[str, ...]
    """The paper's workloads; a scale names what stands in for each."""
    seeds: tuple[Seed, ...] | None = None
    """Instead of the scale's seeds."""
    grid: tuple[GridEntry, ...]
    """The runs."""


class Scale(Strict):
    """How far the paper's experiments are scaled down."""

    note: str
    """Shown wherever numbers of this scale stand."""
    workloads: dict[str, str]
    """The paper's workload -> the name under `workloads` that stands in for it."""
    seeds: tuple[Seed, ...]
    """Seeds of every experiment that states none."""
    checkpoints: tuple[float, ...]
    """Positions in training, as fractions, at which kept sets are recorded."""
    keep_models: Literal["none", "last", "all"]
    """Which trained weights stay in `runs/`: none, those at the end, or those at every checkpoint too."""
    methods: dict[str, dict[Name, Scalar]] = {}
    """Options of methods that differ at this scale."""
    experiments: dict[str, dict[str, Any]] = {}
    """Fields of experiments that differ at this scale."""


class Params(Strict):
    """The whole of `params.yaml`."""

    scale: str
    """The scale that runs unless the command line names another."""
    data_places: dict[Name, tuple[str, ...]]
    """Data set -> folders that are searched for its files before any other place."""
    recipes: dict[str, dict[str, Any]]
    """Named, complete training recipes."""
    workloads: dict[str, Workload]
    methods: dict[str, Method]
    experiments: dict[str, ExperimentEntry]
    scales: dict[str, Scale]


@dataclass(frozen=True)
class Cell:
    """One training run: `name` is its folder under `runs/`."""

    name: str
    fingerprint: str
    spec: RunSpec
    sources: Mapping[str, str]
    experiments: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The content of the run's `spec.json`."""
        return {
            "cell": self.name,
            "fingerprint": self.fingerprint,
            "spec": self.spec.plain(),
            "sources": dict(self.sources),
        }


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


@dataclass(frozen=True)
class Experiment:
    """A table or figure at the present scale."""

    name: str
    title: str
    reproduces: str
    rows: tuple[Row, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """Its cells, each once, in the order of the grid."""
        return tuple(dict.fromkeys(row.cell for row in self.rows))


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


def load(path: str | Path = "params.yaml", scale: str | None = None) -> Grid:
    """Reads and checks the parameters, and lays out the runs of a scale.

    Args:
        path: the parameter file.
        scale: name of a scale; the file's own `scale` when None.

    Raises:
        SpecError: listing every problem found, each with its key, its value and what is allowed.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{path} does not exist. Run from the project's root, or name the file") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise SpecError(f"{path} must hold a mapping at its top level")
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise SpecError(_report(path, explain(error))) from None
    return _Layout(path, params, scale or params.scale).grid()


def _report(path: Path, problems: Sequence[str]) -> str:
    count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
    return f"{count} in {path}:\n" + "\n".join(f"  {line}" for line in problems)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings are merged; anything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


class _Layout:
    """Expands one scale, gathering problems on the way instead of stopping at the first."""

    def __init__(self, path: Path, params: Params, scale: str) -> None:
        self.path, self.params = path, params
        self.problems: dict[str, None] = {}
        if scale not in params.scales:
            raise SpecError(_report(path, [f"scale: unknown scale {scale!r}. Known: {', '.join(params.scales)}"]))
        self.scale_name, self.scale = scale, params.scales[scale]
        self.specs: dict[str, Cell] = {}
        self.users: dict[str, list[str]] = {}

    def problem(self, key: str, message: str) -> None:
        self.problems[f"{key}: {message}"] = None

    def known(self, key: str, name: str, names: Mapping[str, Any]) -> bool:
        if name not in names:
            self.problem(key, f"unknown name {name!r}. Known: {', '.join(names)}")
        return name in names

    def grid(self) -> Grid:
        self.check_names()
        experiments = {name: self.experiment(name, entry) for name, entry in self.params.experiments.items()}
        if self.problems:
            raise SpecError(_report(self.path, list(self.problems)))
        cells = {
            name: Cell(name, cell.fingerprint, cell.spec, cell.sources, tuple(dict.fromkeys(self.users[name])))
            for name, cell in self.specs.items()
        }
        datasets = tuple(dict.fromkeys(cell.spec.dataset.name for cell in cells.values()))
        return Grid(
            scale=self.scale_name,
            scales=tuple(self.params.scales),
            note=self.scale.note,
            keep_models=self.scale.keep_models,
            cells=cells,
            experiments=experiments,
            datasets=datasets,
            data_places=self.params.data_places,
        )

    def check_names(self) -> None:
        """Names in every section, also those that this scale does not use: a misspelling is wrong at any scale."""
        registered = {kind: sources.registry(*where) for kind, where in REGISTRIES.items()}
        for key, workload in self.params.workloads.items():
            self.known(f"workloads.{key}.dataset", workload.dataset, registered["dataset"])
            if self.known(f"workloads.{key}.model", workload.model, registered["model"]):
                self.check_options(f"workloads.{key}.model_options", registered["model"][workload.model], workload.model_options)
            self.known(f"workloads.{key}.recipe", workload.recipe, self.params.recipes)
        for key, method in self.params.methods.items():
            if self.known(f"methods.{key}.name", method.name, registered["method"]):
                given = {**method.options, **{k: None for split in method.at for k in split.options}}
                ratio = {"prune_ratio": None} if method.ratio_sets == "prune_ratio" else {}
                self.check_options(f"methods.{key}.options", registered["method"][method.name], {**given, **ratio})
        for scale, entry in self.params.scales.items():
            for paper, ours in entry.workloads.items():
                self.known(f"scales.{scale}.workloads.{paper}", ours, self.params.workloads)
            for name, options in entry.methods.items():
                if self.known(f"scales.{scale}.methods", name, self.params.methods):
                    pruner = self.params.methods[name].name
                    if pruner in registered["method"]:
                        self.check_options(f"scales.{scale}.methods.{name}", registered["method"][pruner], options, partial=True)
            for name in entry.experiments:
                self.known(f"scales.{scale}.experiments", name, self.params.experiments)
        for name in self.params.data_places:
            self.known("data_places", name, registered["dataset"])

    def check_options(self, key: str, entry: tuple[str, str], given: Mapping[str, Any], partial: bool = False) -> None:
        accepted = {name: default for name, default in sources.options(*entry).items() if name not in GIVEN_BY_ENGINE}
        for name in given:
            if name not in accepted:
                self.problem(f"{key}.{name}", f"unknown option of {entry[1]}. Known: {', '.join(accepted) or 'none'}")
        # No default of the code may decide a result unseen, so that every option stands in the file (a ratio may come in two forms).
        either = {"prune_ratio", "explore", "exploit"}
        for name in () if partial else accepted:
            if name not in given and name not in either:
                self.problem(f"{key}.{name}", f"missing: {entry[1]} takes this option, and params.yaml states every value")

    def experiment(self, name: str, entry: ExperimentEntry) -> Experiment:
        changes = self.scale.experiments.get(name, {})
        try:
            entry = ExperimentEntry.model_validate(_merge(entry.model_dump(exclude_unset=True), changes))
        except ValidationError as error:
            for line in explain(error, f"scales.{self.scale_name}.experiments.{name}"):
                self.problems[line] = None
            return Experiment(name, entry.title, entry.reproduces, ())
        rows = tuple(self.rows(name, entry))
        if not rows and not self.problems:
            self.problem(f"experiments.{name}.grid", "empty: no method, workload or seed is left at this scale")
        return Experiment(name, entry.title, entry.reproduces, rows)

    def stand_ins(self, name: str, entry: ExperimentEntry) -> dict[str, tuple[str, ...]]:
        """Our workload -> the paper's workloads that it stands for."""
        found: dict[str, tuple[str, ...]] = {}
        for paper in entry.workloads:
            if self.known(f"experiments.{name}.workloads", paper, self.scale.workloads):
                ours = self.scale.workloads[paper]
                found[ours] = (*found.get(ours, ()), paper)
        return found

    def rows(self, name: str, entry: ExperimentEntry) -> Iterator[Row]:
        seeds = self.scale.seeds if entry.seeds is None else entry.seeds
        for ours, paper in self.stand_ins(name, entry).items():
            if ours not in self.params.workloads:
                continue
            for index, part in enumerate(entry.grid):
                key = f"experiments.{name}.grid.{index}"
                for method in part.methods:
                    if not self.known(f"{key}.methods", method, self.params.methods):
                        continue
                    for ratio, explore in self.points(key, part, method):
                        for seed in seeds:
                            cell, explored = self.cell(key, ours, method, part, ratio, explore, seed)
                            if cell is None:
                                continue
                            self.users.setdefault(cell, []).append(name)
                            label = self.params.methods[method].label
                            yield Row(name, cell, ours, paper, method, label, ratio, explored, part.panel, seed)

    def points(self, key: str, part: GridEntry, method: str) -> Iterator[tuple[float | None, float | None]]:
        takes_ratio = self.params.methods[method].ratio_sets is not None
        if takes_ratio and not part.prune_ratios:
            self.problem(f"{key}.prune_ratios", f"empty: the method {method!r} needs at least one, in (0, 1)")
        for ratio in (part.prune_ratios or ()) if takes_ratio else (None,):
            for explore in part.explore or (None,):
                yield ratio, explore

    def cell(
        self, key: str, ours: str, method: str, part: GridEntry, ratio: float | None, explore: float | None, seed: int
    ) -> tuple[str | None, float | None]:
        """Registers the run of one grid point; returns its name and its explore ratio."""
        entry, workload = self.params.methods[method], self.params.workloads[ours]
        options = {**entry.options, **self.scale.methods.get(method, {})}
        for split in entry.at:
            if ratio is not None and abs(split.prune_ratio - ratio) < 1e-9:
                options |= split.options
        if entry.ratio_sets == "prune_ratio":
            options["prune_ratio"] = ratio
        options |= part.options | ({} if explore is None else {"explore": explore})
        for split in entry.at:
            for needed in split.options:
                if needed not in options:
                    self.problem(f"methods.{method}.at", f"no {needed!r} for prune ratio {ratio:g}: add an entry for it")
                    return None, None
        recipe = _merge(self.params.recipes.get(workload.recipe, {}), workload.overrides)
        recipe["match_steps_at"] = ratio if entry.ratio_sets == "match_steps_at" else None
        if part.epochs is not None:
            recipe["epochs"] = part.epochs
        try:
            RecipeSpec.model_validate(recipe)
            spec = RunSpec.model_validate(
                {
                    "dataset": {"name": workload.dataset},
                    "model": {"name": workload.model, "options": workload.model_options},
                    "method": {"name": entry.name, "options": options},
                    "recipe": recipe,
                    "checkpoints": self.scale.checkpoints,
                    "seed": seed,
                }
            )
        except ValidationError as error:
            where = {"RecipeSpec": f"workloads.{ours}", "RunSpec": key}[error.title]
            for line in explain(error, where):
                self.problems[line] = None
            return None, None
        name = self.register(spec)
        return name, options.get("explore")  # type: ignore[return-value]

    def register(self, spec: RunSpec) -> str | None:
        names = {"dataset": spec.dataset.name, "model": spec.model.name, "method": spec.method.name}
        if any(names[kind] not in sources.registry(*where) for kind, where in REGISTRIES.items()):
            return None
        found = sources.digests(*((*REGISTRIES[kind], name) for kind, name in names.items()))
        fingerprint = spec.fingerprint(found)
        name = f"{spec.stem()}-{fingerprint}"
        self.specs.setdefault(name, Cell(name, fingerprint, spec, found, ()))
        return name
