"""Measurements of a run where its kept sets are recorded, made from the weights that it kept there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from orderdp.code_fingerprint import code_checksums
from orderdp.files import write_arrays, write_rows
from orderdp.jobs import costs
from orderdp.jobs.base import Execution, Job, Resources
from orderdp.jobs.data import entry_points, prepared_images
from orderdp.jobs.finished import DamagedRun, damaged
from orderdp.jobs.train import Train, registered
from orderdp.spec import RunSpec, Strict

ENTRY_POINTS = ("orderdp.training.diagnosis", "orderdp.training.device", "orderdp.datasets.load_images")
COLUMNS = (
    "epoch", "progress", "kept", "cosine", "norm_full", "norm_pruned", "norm_normalized", "loss_all", "loss_kept",
    "loss_dropped", "accuracy_kept", "accuracy_dropped", "forgotten_kept", "forgotten_dropped", "label_tv",
)  # fmt: skip
"""Of `diagnostics.csv`."""


class DiagnoseSpec(Strict):
    """The run to measure."""

    run: str
    measured: RunSpec


@dataclass(frozen=True)
class Diagnose(Job):
    """The measurements of one run. They are a job apart, so that they cost the run nothing."""

    kind: ClassVar[str] = "diagnose"
    Spec: ClassVar[type[DiagnoseSpec]] = DiagnoseSpec

    spec: DiagnoseSpec

    @classmethod
    def of(cls, run: Train) -> Diagnose:
        """The measurements of a run."""
        spec = DiagnoseSpec(run=run.name, measured=run.spec)
        return cls.named(f"diagnosis-{run.name}", spec, cls.code(run.spec))

    @classmethod
    def code(cls, spec: RunSpec) -> dict[str, str]:
        """Of the measurements of a run of this spec."""
        return code_checksums(entry_points(ENTRY_POINTS, spec.dataset), registered(spec))

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.spec.run,)

    @property
    def dataset(self) -> str:
        return self.spec.measured.dataset.name

    def resources(self) -> Resources:
        """A pass over all data, forward and backward, for each measurement."""
        spec = self.spec.measured
        estimate = costs.pass_seconds(spec, costs.gpu_calibration()) * (len(spec.record_at) + 1) * costs.slower(spec)
        return Resources(seconds=estimate, memory_mb=costs.memory_mb(spec))

    def compute(self, out: Path, execution: Execution) -> Mapping[str, Any]:
        """Writes `diagnostics.csv`, a row for each measurement, and `profile.npz`.

        Raises:
            FileNotFoundError: the run, or its weights where kept sets are recorded, are not there.
        """
        import numpy as np
        import torch

        from orderdp.training.device import set_up
        from orderdp.training.diagnosis import Diagnosis
        from orderdp.training.snapshot import saved

        device = set_up(execution.device, "fp32", execution.threads)
        data = prepared_images(self.spec.measured.dataset, execution.data)
        measured = Diagnosis(self.spec.measured, data, device)
        if why := damaged(execution.runs, [self.spec.run], contents=True):
            raise DamagedRun(execution.runs / self.spec.run, why[self.spec.run])
        for snapshot in saved(execution.runs / self.spec.run):
            measured.measure(snapshot)
        write_rows(out / "diagnostics.csv", COLUMNS, measured.rows)
        profile = {
            "epochs": np.array([row["epoch"] for row in measured.rows], dtype=np.int32),
            "kept_by_loss": torch.stack(measured.by_loss).numpy(),
            "kept_by_label": torch.stack(measured.by_label).numpy(),
        }
        write_arrays(out / "profile.npz", profile)
        return {}
