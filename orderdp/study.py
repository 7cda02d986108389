"""Runs a study of the theorems and writes its folder `runs/<study>/`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from orderdp.datasets import ImageData, load
from orderdp.files import write_json, write_rows
from orderdp.grid import Study


def run_study(study: Study, data: Path, runs: Path) -> None:
    """Computes the study on a prepared data set; the summary comes last and says that the rest is complete.

    Args:
        study: from the grid.
        data: folder of prepared data sets.
        runs: folder of results.
    """
    from orderdp.theory.experiments import theorem_checks

    images = load(study.spec.dataset, data / study.spec.dataset)
    started = time.time()
    tables, summary = theorem_checks(*_arrays(images), **study.spec.model_dump(exclude={"dataset"}))
    out = runs / study.name
    write_json(out / "spec.json", study.record())
    for name, rows in tables.items():
        write_rows(out / f"{name}.csv", list(rows[0]), rows)
    write_json(
        out / "summary.json", {"study": study.name, "status": "finished", "seconds": time.time() - started, **summary}
    )


def _arrays(images: ImageData) -> tuple[np.ndarray[Any, Any], ...]:
    """Training and test samples, their pixels in [0, 1], with their labels."""
    train, test = (pixels.numpy() / 255 for pixels in (images.train_images, images.test_images))
    return train, images.train_labels.numpy(), test, images.test_labels.numpy()
