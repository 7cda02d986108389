"""What a run learned about single samples, as a file: a coreset, a table, or a page of the hardest and the easiest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from orderdp.datasets.own import read_names
from orderdp.files import write
from orderdp.jobs.finished import read_summary
from orderdp.reporting.html import render
from orderdp.trial import TEMPLATES
from orderdp.trial.samples import history, most_visited, tiles

KINDS = {".npy": "a coreset", ".parquet": "a table", ".csv": "a table", ".html": "a page"}
SHOWN = 48
"""Samples of a kind on a page."""


def export(run: Path, file: Path, prune_ratio: float | None = None) -> str:
    """Writes what a run noted of its samples.

    Args:
        run: its folder.
        file: by its ending, `.npy`: int64 numbers of the samples that the run kept most often, in order; `.parquet` or
            `.csv`: a row per training sample, see :func:`orderdp.trial.samples.history`, with `label`, `class` and
            `name` where the data set lies beside the runs; `.html`: a page of the hardest and the easiest.
        prune_ratio: of a coreset, share of the samples that it leaves out; that of the run when None.

    Returns:
        What was written, in words.

    Raises:
        ValueError: the ending is another one, the run is not finished or keeps all samples alike.
        FileNotFoundError: samples.npz was removed.
        DamagedRun: a file is not the one that the run wrote.
    """
    if file.suffix not in KINDS:
        known = ", ".join(f"{suffix} ({what})" for suffix, what in KINDS.items())
        raise ValueError(f"--as: the ending must be one of {known}. Got {str(file)!r}.")
    summary = read_summary(run.parent, run.name)
    if summary is None or "test_accuracy" not in summary:
        raise ValueError(f"{run} is no finished training run. `python -m orderdp plan --jobs` lists the names.")
    frame = history(run.parent, run.name)
    if file.suffix == ".npy":
        return _coreset(frame, file, summary["prune_ratio"] if prune_ratio is None else prune_ratio)
    if prune_ratio is not None:
        raise ValueError("--prune-ratio is of a coreset: --as NAME.npy.")
    data = _data(run)
    if file.suffix == ".html":
        return _page(run, frame, data, file)
    frame = _described(frame, data)
    if file.suffix == ".csv":
        write(file, frame.to_csv(index=False))
    else:
        write(file, lambda stream: frame.to_parquet(stream, index=False))
    return f"{file}: {len(frame):,} samples, {len(frame.columns)} columns"


def _coreset(frame: pd.DataFrame, file: Path, ratio: float) -> str:
    if frame["visits"].min() == frame["visits"].max():
        raise ValueError("This run kept every sample equally often, so that it prefers none. Export one that pruned.")
    count = max(1, round((1 - ratio) * len(frame)))
    kept = most_visited(frame, count)
    write(file, lambda stream: np.save(stream, kept))
    return f"{file}: the {count:,} of {len(frame):,} samples that the run kept most often"


def _data(run: Path) -> dict[str, Any]:
    """The run's data set as far as it lies beside the runs: `train_images`, `train_labels`, `names`, `classes`."""
    spec = json.loads((run / "spec.json").read_text(encoding="utf-8"))["spec"]
    folder = run.parent.parent / "data" / spec["dataset"]["name"]
    found: dict[str, Any] = {}
    for name in ("train_images", "train_labels"):
        if (file := folder / f"{name}.npy").exists():
            found[name] = np.load(file, allow_pickle=False)
    found["names"], found["classes"] = read_names(folder)
    return found


def _described(frame: pd.DataFrame, data: Mapping[str, Any]) -> pd.DataFrame:
    """The history with what is known of the samples beside."""
    if (labels := data.get("train_labels")) is not None:
        frame = frame.assign(label=labels)
        if data["classes"]:
            frame["class"] = [data["classes"][label] for label in labels]
    return frame.assign(name=data["names"]) if data["names"] else frame


def _page(run: Path, frame: pd.DataFrame, data: Mapping[str, Any], file: Path) -> str:
    if "train_images" not in data or "train_labels" not in data:
        raise ValueError(f"The images of {run.name} are not in {run.parent.parent / 'data'}, so they cannot be shown.")
    seen = frame[frame["visits"] > 0].sort_values("mean_loss", kind="stable")["sample"].to_numpy()
    shown = {
        title: tiles([*chosen[:SHOWN]], frame, data, data["names"], data["classes"])
        for title, chosen in (("Hardest", seen[::-1]), ("Easiest", seen))
    }
    never = int((frame["visits"] == 0).sum())
    write(file, render("samples.html.j2", TEMPLATES, run=run.name, shown=shown, n=len(frame), never=never))
    return (
        f"{file}: the {len(shown['Hardest'])} hardest and the {len(shown['Easiest'])} easiest of {len(frame):,} samples"
    )
