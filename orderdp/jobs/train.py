"""Training runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from orderdp.code_fingerprint import code_checksums
from orderdp.jobs import costs
from orderdp.jobs.base import Execution, Job, Resources
from orderdp.jobs.coresets import choice_code
from orderdp.jobs.data import entry_points, registered_data
from orderdp.spec import RunSpec

ENTRY_POINTS = ("orderdp.training.engine", "orderdp.training.device", "orderdp.datasets.load")
"""Where a run enters the code that decides its result. `orderdp.jobs.trainer` is not among it: it carries data to the
engine and the engine's numbers to the disk, and an edit there should not train everything again."""


@dataclass(frozen=True)
class Train(Job):
    """One training run."""

    kind: ClassVar[str] = "train"
    Spec: ClassVar[type[RunSpec]] = RunSpec

    spec: RunSpec
    starts_from: str | None = None
    """The run whose final weights it starts from."""
    coreset: tuple[str, str] | None = None
    """Where the samples of a run on a coreset are: the job that chooses them, and their name in its `coresets.npz`."""
    gpus: int = 1
    alone: bool = False
    """Whether it has its device to itself, because a table or figure compares its duration with others."""
    keep_models: str = "none"
    """Which weights stay in its folder: "none", "last" (model.pt) or "all" (also model-<epoch>.pt where kept sets are
    recorded)."""

    @classmethod
    def of(cls, spec: RunSpec, **more: Any) -> Train:
        """The run of a spec; `more` are further fields."""
        return cls.named(spec.stem(), spec, cls.code(spec), **more)

    @classmethod
    def code(cls, spec: RunSpec) -> dict[str, str]:
        specs = [spec] if spec.pretraining is None else [spec, spec.pretraining]
        entries = dict.fromkeys(entry for each in specs for entry in registered(each))
        checksums = code_checksums(entry_points(ENTRY_POINTS, spec.dataset), tuple(entries))
        return checksums if spec.coreset is None else dict(sorted((checksums | choice_code(spec.coreset)).items()))

    @property
    def needs(self) -> tuple[str, ...]:
        needed = (self.starts_from, None if self.coreset is None else self.coreset[0])
        return tuple(name for name in needed if name is not None)

    @property
    def dataset(self) -> str:
        return self.spec.dataset.name

    def resources(self) -> Resources:
        """From the estimates of `orderdp.jobs.costs`. A run in loaders' batches takes eight processors for each GPU
        that they feed; another takes one, and one that prepares the next batch."""
        return Resources(
            seconds=costs.asked_seconds(self.spec) / self.gpus,
            memory_mb=self.gpus * costs.memory_mb(self.spec),
            gpus=self.gpus,
            cpus=(8 if costs.streamed(self.spec) else 2) * self.gpus,
            alone=self.alone,
        )

    def run(self, execution: Execution) -> None:
        from orderdp.jobs.trainer import train

        train(self, execution)


def registered(spec: RunSpec) -> tuple[tuple[str, str, str], ...]:
    """What a run takes from registries."""
    return (
        *registered_data(spec.dataset),
        ("models", "MODELS", spec.model.name),
        ("pruning", "PRUNERS", spec.method.name),
    )
