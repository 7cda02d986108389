"""What `params.yaml` may hold. Field docstrings feed its JSON schema."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from orderdp.spec import (
    Balance,
    Count,
    DeepFoolSpec,
    Diagnostic,
    LabelNoise,
    Name,
    PruneRatio,
    Scalar,
    Score,
    Seed,
    Strict,
)


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
    pretraining: str | None = None
    """A name under `workloads`: every run starts from the final weights of a run of that one, which takes the method
    and its ratio; this one then trains on all data."""
    gpus: Count = 1
    """GPUs that one run takes; more than one: torchrun starts a process on each. How to run, so not part of a run's
    name."""


class SplitAt(Strict):
    """The options that a method takes at one prune ratio."""

    prune_ratio: PruneRatio
    """The ratio that these options belong to."""
    options: dict[Name, Scalar]
    """For example `explore` of OrderDP."""


class CoresetEntry(Strict):
    """How a row's samples are chosen before training."""

    name: Name
    """A name in `orderdp.coresets.CORESETS`."""
    options: dict[Name, Scalar]
    """Keyword arguments of the method."""
    models: Count
    """How many of the proxy's networks it looks at."""
    epoch: Count | None
    """The early epoch that it looks at; none for methods that look at the trained proxy."""
    balance: Balance | None
    """Instead of the protocol's."""


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
    score: Score | None = None
    """What the pruner ranks by instead of the loss."""
    at: tuple[SplitAt, ...] = ()
    """Options that depend on the prune ratio."""
    coreset: CoresetEntry | None = None
    """Of the pruner `static`: how its samples are chosen."""

    @model_validator(mode="after")
    def _static_has_samples(self) -> Method:
        if (self.name == "static") != (self.coreset is not None):
            raise ValueError("needs 'coreset' if, and only if, its 'name' is static")
        if self.coreset is not None and self.ratio_sets != "prune_ratio":
            raise ValueError("with a 'coreset', 'ratio_sets' must be prune_ratio")
        return self


class ProxyEntry(Strict):
    """The networks that are trained before a static selection; they are those of the workload."""

    overrides: dict[str, Any]
    """What differs from the workload's recipe."""
    models: Count
    """Networks trained on the whole training set."""
    early_epochs: tuple[Count, ...]
    """Epochs after which their outputs are noted."""
    validation: float
    """Share of the training set that one more network does not see."""
    deepfool: DeepFoolSpec
    seed: Seed
    """Of the first network."""


class Protocol(Strict):
    """How coresets are chosen: alike for every method."""

    balance: Balance
    """Whether every class keeps its share of the budget."""
    proxy: ProxyEntry


class GridEntry(Strict):
    """A product of methods, prune ratios and explore ratios."""

    methods: tuple[str, ...]
    """Names under `methods`."""
    workloads: tuple[str, ...] | None = None
    """The experiment's workloads that this entry is for; all when none."""
    prune_ratios: tuple[PruneRatio, ...] | None = None
    """Shares of the data that every epoch leaves out; none for full data."""
    explore: tuple[PruneRatio | Literal[1], ...] | None = None
    """Candidate shares s/n to try instead of the method's own."""
    label_noise: tuple[LabelNoise, ...] = (0.0,)
    """Shares of the training labels that are wrong on purpose."""
    options: dict[Name, Scalar] = {}
    """Options of the pruner for this entry only."""
    epochs: Count | None = None
    """Epochs instead of the workload's."""
    panel: str = ""
    """Which part of a figure these cells are for."""


class ExperimentEntry(Strict):
    """One table or figure, and what it needs: runs (`grid`), a job of another kind, or nothing but settings of a
    computation."""

    title: str
    """Heading in the report."""
    reproduces: str
    """Where in the paper."""
    workloads: tuple[str, ...] = ()
    """The paper's workloads; a scale names what stands in for each."""
    seeds: tuple[Seed, ...] | None = None
    """Instead of the scale's seeds."""
    grid: tuple[GridEntry, ...] = ()
    """The runs."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """What is measured of its runs. A run that several experiments use keeps its weights for what any asks for."""
    settings: dict[str, Any] = {}
    """Of a table or figure that is computed without runs."""
    job: dict[str, Any] | None = None
    """A job of another kind that it is made from: the `kind`, a name in `orderdp.jobs.KINDS`, beside the job's spec."""

    @model_validator(mode="after")
    def _one_kind(self) -> ExperimentEntry:
        given = [key for key in ("grid", "settings", "job") if getattr(self, key)]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of 'grid', 'settings' and 'job'. Got {', '.join(given) or 'none'}")
        return self


class Scale(Strict):
    """How far the paper's experiments are scaled down."""

    note: str
    """Shown wherever numbers of this scale stand."""
    workloads: dict[str, str | None]
    """The paper's workload -> the name under `workloads` that stands in for it; none: it is left out at this scale."""
    seeds: tuple[Seed, ...]
    """Seeds of every experiment that states none."""
    checkpoints: tuple[float, ...]
    """Positions in training, as fractions, at which kept sets are recorded."""
    keep_models: Literal["none", "last", "all"]
    """Which trained weights stay in `runs/`: none, those at the end, or those at every checkpoint too."""
    methods: dict[str, dict[Name, Scalar]] = {}
    """Options of methods that differ at this scale."""
    coresets: dict[str, Any] = {}
    """Of the protocol of coresets, what differs at this scale."""
    early_epochs: dict[str, Count] = {}
    """Methods whose coreset looks at another early epoch at this scale."""
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
    coresets: Protocol
    methods: dict[str, Method]
    experiments: dict[str, ExperimentEntry]
    scales: dict[str, Scale]
