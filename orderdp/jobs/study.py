"""Studies: theorems of the paper checked by experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from orderdp.code_fingerprint import code_checksums
from orderdp.files import write_rows
from orderdp.jobs.base import Execution, Job, Resources
from orderdp.spec import Count, Name, Seed, Strict

if TYPE_CHECKING:
    from orderdp.datasets import ImageData

ENTRY_POINTS = ("orderdp.jobs.study.checks", "orderdp.datasets.load_images")


class StudySpec(Strict):
    """Theorems 1, 3 and 4 checked by experiment: logistic regression under Algorithm 1, see
    `orderdp.theory.experiments`."""

    dataset: Name
    """A name in `orderdp.datasets.DATASETS`."""
    candidates: Count
    """s: samples drawn per step."""
    kept: Count
    """q: samples kept of them."""
    ridge: Annotated[float, Field(gt=0)]
    """Weight of the penalty that gives the loss a finite minimiser."""
    draws: Count
    """Selections drawn to estimate the expected gradient."""
    warm_steps: Count
    """Steps of Algorithm 1 before that estimate."""
    steps: tuple[Count, ...]
    """Lengths T of the runs that are held against the bound of Theorem 3."""
    seeds: tuple[Seed, ...]
    """One run of each length for each."""

    @model_validator(mode="after")
    def _sizes_are_possible(self) -> StudySpec:
        if self.kept > self.candidates:
            raise ValueError(f"'kept' must be at most 'candidates' = {self.candidates}")
        return self


@dataclass(frozen=True)
class Study(Job):
    """A study on one data set, named by an experiment of params.yaml."""

    kind: ClassVar[str] = "study"
    Spec: ClassVar[type[StudySpec]] = StudySpec
    by_experiment: ClassVar[bool] = True

    spec: StudySpec

    @classmethod
    def of_experiment(cls, experiment: str, spec: StudySpec) -> Study:
        return cls.named(f"{experiment}-{spec.dataset}", spec, cls.code(spec))

    @classmethod
    def code(cls, spec: StudySpec) -> dict[str, str]:
        return code_checksums(ENTRY_POINTS, (("datasets", "DATASETS", spec.dataset),))

    @property
    def dataset(self) -> str:
        return self.spec.dataset

    def resources(self) -> Resources:
        return Resources(seconds=600, gpus=0)

    def compute(self, out: Path, execution: Execution) -> Mapping[str, Any]:
        """Writes a table for each theorem."""
        from orderdp.datasets import load_images

        tables, summary = checks(self.spec, load_images(self.dataset, execution.data / self.dataset))
        for name, rows in tables.items():
            write_rows(out / f"{name}.csv", list(rows[0]), rows)
        return summary


def checks(spec: Any, data: ImageData) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Tables and summary of the checks, on training and test samples with their pixels scaled to [0, 1]."""
    from orderdp.theory.experiments import theorem_checks

    train, test = (pixels.numpy() / 255 for pixels in (data.train_images, data.test_images))
    arrays = (train, data.train_labels.numpy(), test, data.test_labels.numpy())
    return theorem_checks(*arrays, **spec.model_dump(exclude={"dataset"}))
