"""Measures a run at its checkpoints and writes its folder `runs/<diagnosis>/`."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from orderdp.datasets import load
from orderdp.files import write, write_json, write_rows
from orderdp.grid import Diagnosis
from orderdp.training.device import choose_device
from orderdp.training.process import set_up

COLUMNS = (
    "epoch", "progress", "kept", "cosine", "norm_full", "norm_pruned", "norm_normalized", "loss_all", "loss_kept", "loss_dropped",
    "accuracy_kept", "accuracy_dropped", "forgotten_kept", "forgotten_dropped", "label_tv",
)  # fmt: skip
"""Of `diagnostics.csv`."""


def run_diagnosis(
    diagnosis: Diagnosis, *, data: Path, runs: Path, device: str | None = None, threads: int | None = None
) -> None:
    """Writes `diagnostics.csv`, a row per checkpoint, `profile.npz` and the summary, which says that the rest is
    complete.

    Args:
        diagnosis: from the grid.
        data: folder of prepared data sets.
        runs: folder of results, the measured run's among them.
        device: "cuda", "mps", "cpu" or None for the best present.
        threads: CPU threads; torch's own choice when None.

    Raises:
        FileNotFoundError: the run, or its weights at the checkpoints, are not there.
    """
    import torch

    from orderdp.training import diagnosis as measuring
    from orderdp.training.snapshot import saved

    set_up(threads)
    started, spec = time.time(), diagnosis.cell.spec
    found = measuring.Diagnosis(spec, load(spec.dataset.name, data / spec.dataset.name), choose_device(device))
    for snapshot in saved(runs / diagnosis.cell.name):
        found.measure(snapshot)
    out = runs / diagnosis.name
    write_json(out / "spec.json", diagnosis.record())
    write_rows(out / "diagnostics.csv", COLUMNS, found.rows)
    profile = {
        "epochs": np.array([row["epoch"] for row in found.rows], dtype=np.int32),
        "kept_by_loss": torch.stack(found.by_loss).numpy(),
        "kept_by_label": torch.stack(found.by_label).numpy(),
    }
    write(out / "profile.npz", lambda file: np.savez_compressed(file, **profile))
    write_json(
        out / "summary.json",
        {"diagnosis": diagnosis.name, "status": "finished", "started": started, "ended": time.time()},
    )
