"""What `params.yaml` may hold. Field docstrings feed its JSON schema."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from orderdp import code_fingerprint as code
from orderdp.spec import (
    Balance,
    Count,
    DeepFoolSpec,
    Diagnostic,
    LabelNoise,
    Name,
    OwnDataSpec,
    PruneRatio,
    Scalar,
    ScoreName,
    Seed,
    Strict,
)

Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]
"""A name that a user gives. It becomes part of names of files and of rules."""
WorkloadKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
T = TypeVar("T")


def _unlike(values: tuple[T, ...] | None) -> tuple[T, ...] | None:
    twice = [] if values is None else [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise ValueError(f"{twice[0]!r} is there twice")
    return values


Distinct = AfterValidator(_unlike)


class OwnDataset(Strict):
    """A data set of one's own. `python -m orderdp dataset add` looks through the files and writes this."""

    path: str
    """Where the files are: a folder of classes, Parquet or CSV files, or an .npz archive. Not part of a run's name."""
    size: Count | None
    """Side, in pixels, to which images are brought; none where they have one size."""
    holdout: Annotated[float, Field(gt=0, le=0.5)] | None
    """Share of each class that is held out as test part; none where the files have one."""
    skip_broken: bool
    """Whether files that cannot be read, and rows without a label, are left out."""
    label: str | None = None
    """Column of a table's labels; "label" when none."""
    part: Count | None = None
    """About how many training samples are kept, each class in proportion; all when none."""
    photos: bool = False
    """Whether the images stay in their files, of any size, and are decoded while a run trains."""
    shape: tuple[Count, Count, Count]
    """(channels, height, width), or (features, 1, 1) of a table; of photographs a usual one."""
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    """Names, in the order of the labels."""
    n_train: Count
    """Training samples."""
    n_test: Count
    """Test samples."""
    mean: tuple[float, ...]
    """Per channel, of pixels scaled to [0, 1], or per feature."""
    std: tuple[float, ...]
    """Likewise."""
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    """Of all samples and labels."""

    def spec(self) -> OwnDataSpec:
        """What a run needs to know of it."""
        return OwnDataSpec(
            shape=self.shape,
            classes=len(self.classes),
            n_train=self.n_train,
            n_test=self.n_test,
            digest=self.digest,
            photos=self.photos,
        )


class WorkloadEntry(Strict):
    """A data set, a network and how the network is trained on it."""

    dataset: Name
    """A name in `orderdp.datasets.DATASETS` or under `datasets`."""
    model: Name
    """A name in `orderdp.models.MODELS`."""
    model_options: dict[Name, Scalar] = {}
    """Keyword arguments of the model's builder."""
    recipe: str
    """A name under `recipes`."""
    overrides: dict[str, Any] = {}
    """What differs from that recipe."""
    pretraining: str | None = None
    """A name under `workloads`: every run starts from the final weights of a run of that one, which takes the method
    and its ratio; this one then trains on all data."""
    gpus: Count = 1
    """GPUs that one run takes; more than one: torchrun starts a process on each. How to run, so not part of a run's
    name."""


class CoresetEntry(Strict):
    """How a row's samples are chosen before training."""

    name: Name
    """A name in `orderdp.coresets.CORESETS`."""
    options: dict[Name, Scalar] = {}
    """Keyword arguments of the method."""
    models: Count = 1
    """How many of the proxy's networks it looks at, the last ones."""
    epoch: Count | None = None
    """The early epoch that it looks at; none for methods that look at the trained proxy."""
    balance: Balance | None = None
    """Instead of the protocol's."""


class MethodEntry(Strict):
    """A row of the tables: a pruner with its options."""

    label: str
    """Name in tables and legends."""
    based_on: str | None = None
    """Another method, from which this one takes what it does not state itself."""
    name: Name = ""
    """A name in `orderdp.pruning.PRUNERS`; `static` if there is a `coreset`."""
    options: dict[Name, Scalar] = {}
    """Keyword arguments of the pruner."""
    prune_ratio_sets: Literal["prune_ratio", "match_steps_at"] | None = "prune_ratio"
    """What a table's prune ratio sets: the pruner's own ratio, the recipe's number of steps, or nothing."""
    score: ScoreName | None = None
    """What the pruner ranks by instead of the loss."""
    options_by_ratio: dict[PruneRatio, dict[Name, Scalar]] = {}
    """Prune ratio -> the options that belong to it."""
    split: Literal["even"] | None = None
    """even: at prune ratios that `options_by_ratio` does not name, `explore` is the square root of the share that is
    kept, to the nearest 0.05, so that exploring and exploiting each leave out about as much."""
    coreset: CoresetEntry | None = None
    """How the samples of the pruner `static` are chosen."""

    @model_validator(mode="before")
    @classmethod
    def _coresets_are_static(cls, value: Any) -> Any:
        return {"name": "static", **value} if isinstance(value, dict) and value.get("coreset") else value

    @model_validator(mode="after")
    def _is_whole(self) -> MethodEntry:
        if not self.name:
            raise ValueError("needs a 'name', a 'coreset' or 'based_on'")
        if (self.name == "static") != (self.coreset is not None):
            raise ValueError("needs 'coreset' if, and only if, its 'name' is static")
        if self.coreset is not None and self.prune_ratio_sets != "prune_ratio":
            raise ValueError("with a 'coreset', 'prune_ratio_sets' must be prune_ratio")
        return self

    def options_at(self, ratio: float | None) -> dict[str, Any]:
        """The options that belong to a prune ratio."""
        if ratio is None:
            return {}
        for named, options in self.options_by_ratio.items():
            if abs(named - ratio) < 1e-9:
                return dict(options)
        return {} if self.split is None else {"explore": even_split(ratio)}


def even_split(prune_ratio: float) -> float:
    """s/n of OrderDP that is about as large as q/s: sqrt(1 - prune_ratio) to the nearest 0.05, or exactly where that is
    less than 0.05 or leaves too few candidates.

    Example: `even_split(0.5)` is 0.7.
    """
    kept = 1 - prune_ratio
    rounded = round(20 * math.sqrt(kept)) / 20
    return rounded if rounded >= max(kept, 0.05) else math.sqrt(kept)


class ProxyEntry(Strict):
    """The networks that are trained before a static selection; they are those of the workload."""

    overrides: dict[str, Any]
    """What differs from the workload's recipe."""
    models: Count
    """Networks trained on the whole training set."""
    early_epochs: Annotated[tuple[Count, ...], Distinct]
    """Epochs after which their outputs are noted."""
    validation: float
    """Share of the training set that one more network does not see."""
    deepfool: DeepFoolSpec
    seed: Seed
    """Of the first network."""


class Protocol(Strict):
    """How coresets are chosen: alike for every method."""

    balance: Balance
    """Whether every class keeps its share of what is kept."""
    proxy: ProxyEntry


class GridEntry(Strict):
    """A product of methods, prune ratios and explore ratios."""

    methods: Annotated[tuple[str, ...], Distinct]
    """Names under `methods`."""
    workloads: Annotated[tuple[str, ...] | None, Distinct] = None
    """The experiment's workloads that this entry is for; all when none."""
    prune_ratios: Annotated[tuple[PruneRatio, ...] | None, Distinct] = None
    """Shares of the data that every epoch leaves out; none for full data."""
    explore: Annotated[tuple[PruneRatio | Literal[1], ...] | None, Distinct] = None
    """Candidate shares s/n to try instead of the method's own."""
    label_noise: Annotated[tuple[LabelNoise, ...], Distinct] = (0.0,)
    """Shares of the training labels that are wrong on purpose."""
    options: dict[Name, Scalar] = {}
    """Options of the pruner for this entry only."""
    epochs: Count | None = None
    """Epochs instead of the workload's."""
    panel: str = ""
    """Which part of a figure these runs are for."""


class ExperimentEntry(Strict):
    """One table or figure, and what it needs: runs (`grid`), a job of another kind, or nothing but settings of a
    computation."""

    title: str
    """Heading in the report."""
    reproduces: str
    """Where in the paper."""
    workloads: Annotated[tuple[str, ...], Distinct] = ()
    """The paper's workloads; a scale names a substitute for each."""
    seeds: Annotated[tuple[Seed, ...] | None, Distinct] = None
    """Instead of the scale's seeds."""
    grid: tuple[GridEntry, ...] = ()
    """The runs."""
    compares_times: bool = False
    """Whether it compares durations; its runs then have their GPU to themselves. How to run, so not part of a run's
    name."""
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


class Only(Strict):
    """Limits the points of an experiment's grid at a scale: those of its methods, by the lists that it states."""

    methods: Annotated[tuple[str, ...] | None, Distinct] = None
    """The methods that it limits; every method when none."""
    prune_ratios: Annotated[tuple[PruneRatio, ...] | None, Distinct] = None
    """The prune ratios that remain of the grid."""
    explore: Annotated[tuple[PruneRatio | Literal[1], ...] | None, Distinct] = None
    """The explore ratios that remain where the grid states some."""
    label_noise: Annotated[tuple[LabelNoise, ...] | None, Distinct] = None
    """The shares of wrong labels that remain."""


class ExperimentAtScale(Strict):
    """What differs of an experiment at a scale."""

    seeds: Annotated[tuple[Seed, ...] | None, Distinct] = None
    """Instead of the scale's seeds, or the experiment's."""
    only: tuple[Only, ...] = ()
    """What remains of the grid: the points that every rule lets pass."""
    epochs: dict[PruneRatio, Count] = {}
    """Prune ratio -> epochs instead of the workload's."""


class Scale(Strict):
    """How far the paper's experiments are scaled down."""

    note: str
    """Shown beside all numbers of this scale."""
    substitutes: dict[str, str | None] = {}
    """The paper's workload -> the name under `workloads` that is trained instead; none: it is left out at this
    scale."""
    unlisted: Literal["left out", "trained"] = "left out"
    """What happens to workloads that `substitutes` does not list: they are left out, or trained as they are."""
    seeds: Annotated[tuple[Seed, ...], Distinct]
    """Seeds of every experiment that states none."""
    record_at: Annotated[tuple[float, ...], Distinct]
    """Positions in training, as fractions, at which kept sets are recorded."""
    keep_models: Literal["none", "last", "all"]
    """Which trained weights stay in `runs/`: none, those at the end, or also those where kept sets are recorded."""
    methods: dict[str, dict[Name, Scalar]] = {}
    """Options of methods that differ at this scale."""
    coresets: dict[str, Any] = {}
    """What differs of the protocol of coresets."""
    early_epochs: dict[str, Count] = {}
    """Methods whose coreset looks at another early epoch at this scale."""
    experiments: dict[str, ExperimentAtScale] = {}
    """What differs of experiments."""

    def substitute(self, workload: str) -> str | None:
        """The workload that is trained instead of one of the paper's; None if it is left out."""
        return self.substitutes.get(workload, workload if self.unlisted == "trained" else None)


class Params(Strict):
    """The whole of `params.yaml`."""

    def own(self, dataset: str) -> OwnDataSpec | None:
        """What a run needs to know of a data set of one's own; None for the others."""
        described = (self.datasets or {}).get(dataset)
        return None if described is None else described.spec()

    def facts(self, dataset: str) -> dict[str, Any]:
        """What is known of a data set before it is prepared: `shape`, `classes` and the like; empty for an unknown
        name."""
        if (own := self.own(dataset)) is not None:
            return own.model_dump()
        entry = code.registry("datasets", "DATASETS").get(dataset)
        return {} if entry is None else code.facts(*entry)

    scale: str
    """The scale that runs unless the command line names another."""
    data_dirs: dict[Name, tuple[str, ...]] = {}
    """Data set -> folders that are searched for its files before any other place."""
    datasets: dict[Key, OwnDataset] | None = None
    """Data sets of one's own."""
    optimizers: dict[Key, dict[str, Any]]
    """Named optimizers, which recipes and overrides refer to: `optimizer: NAME`, or
    `optimizer: {based_on: NAME, ...}` with differences."""
    recipes: dict[Key, dict[str, Any]]
    """Named training recipes. One may be `based_on` another and state its differences."""
    workloads: dict[WorkloadKey, WorkloadEntry]
    coresets: Protocol
    methods: dict[Key, MethodEntry]
    experiments: dict[Key, ExperimentEntry]
    scales: dict[Key, Scale]
