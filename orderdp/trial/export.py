"""What runs learned about single samples, as a file: a coreset, a table, a page of the hardest and the easiest, or a
picture of those that were kept most and least often."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from orderdp.datasets.own import read_names
from orderdp.files import write
from orderdp.jobs.finished import read_summary
from orderdp.reporting.html import render
from orderdp.trial import TEMPLATES
from orderdp.trial.samples import history, joined, kept_most_and_least, most_visited, tiles

KINDS = {".npy": "a coreset", ".parquet": "a table", ".csv": "a table", ".html": "a page", ".png": "a picture"}
SHOWN = 48
"""Samples of a kind on a page."""


def export(runs: Sequence[Path], file: Path, prune_ratio: float | None = None) -> str:
    """Writes what runs noted of their samples.

    Args:
        runs: their folders, one or more, which trained on the same data set. What several noted is added up, see
            :func:`orderdp.trial.samples.joined`.
        file: by its ending, `.npy`: int64 numbers of the samples that were kept most often, in order; `.parquet` or
            `.csv`: a row per training sample, see :func:`orderdp.trial.samples.history`, with `label`, `class` and
            `name` where the data set lies beside the runs; `.html`: a page of the hardest and the easiest; `.png`: a
            picture of those that were kept most and least often.
        prune_ratio: of a coreset, share of the samples that it leaves out; that of the first run when None.

    Returns:
        What was written, in words.

    Raises:
        ValueError: the ending is another one, a run is not finished, all samples were kept alike, or the runs trained
            on different data.
        FileNotFoundError: samples.npz was removed.
        DamagedRun: a file is not the one that the run wrote.
    """
    if file.suffix not in KINDS:
        known = ", ".join(f"{suffix} ({what})" for suffix, what in KINDS.items())
        raise ValueError(f"--as: the ending must be one of {known}. Got {str(file)!r}.")
    summaries = [_summary(run) for run in runs]
    specs = [_spec(run) for run in runs]
    for run, spec in zip(runs, specs, strict=True):
        if spec["dataset"] != specs[0]["dataset"]:
            raise ValueError(f"{run} trained on other data than {runs[0]}. Export runs on the same data together.")
    frames = [history(run.parent, run.name) for run in runs]
    frame = frames[0] if len(frames) == 1 else joined(frames).drop(columns="ended")
    if file.suffix == ".npy":
        return _coreset(frame, file, summaries[0]["prune_ratio"] if prune_ratio is None else prune_ratio)
    if prune_ratio is not None:
        raise ValueError("--prune-ratio is of a coreset: --as NAME.npy.")
    data = _data(runs[0].parent.parent / "data" / specs[0]["dataset"]["name"])
    if file.suffix in (".html", ".png"):
        if "train_images" not in data or "train_labels" not in data:
            raise ValueError(
                f"The images of {runs[0].name} are not in {runs[0].parent.parent / 'data'}, so they cannot be shown."
            )
        if file.suffix == ".html":
            return _page(runs, frame, data, file)
        return _picture(sum(spec["recipe"]["epochs"] for spec in specs), frame, data, file)
    frame = _described(frame, data)
    if file.suffix == ".csv":
        write(file, frame.to_csv(index=False))
    else:
        write(file, lambda stream: frame.to_parquet(stream, index=False))
    return f"{file}: {len(frame):,} samples, {len(frame.columns)} columns"


def _coreset(frame: pd.DataFrame, file: Path, ratio: float) -> str:
    _check_preference(frame)
    count = max(1, round((1 - ratio) * len(frame)))
    kept = most_visited(frame, count)
    write(file, lambda stream: np.save(stream, kept))
    return f"{file}: the {count:,} of {len(frame):,} samples that were kept most often"


def _check_preference(frame: pd.DataFrame) -> None:
    if frame["visits"].min() == frame["visits"].max():
        raise ValueError("Every sample was kept equally often, so that none is preferred. Export a run that pruned.")


def _summary(run: Path) -> dict[str, Any]:
    """Of a finished training run."""
    summary = read_summary(run.parent, run.name)
    if summary is None or "test_accuracy" not in summary:
        raise ValueError(f"{run} is no finished training run. `python -m orderdp plan --jobs` lists the names.")
    return summary


def _spec(run: Path) -> dict[str, Any]:
    """What the run was."""
    return dict(json.loads((run / "spec.json").read_text(encoding="utf-8"))["spec"])


def _data(folder: Path) -> dict[str, Any]:
    """A data set as far as it lies in a folder: `train_images`, `train_labels`, `names`, `classes`."""
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


def _page(runs: Sequence[Path], frame: pd.DataFrame, data: Mapping[str, Any], file: Path) -> str:
    seen = frame[frame["visits"] > 0].sort_values("mean_loss", kind="stable")["sample"].to_numpy()
    shown = {
        title: tiles([*chosen[:SHOWN]], frame, data, data["names"], data["classes"])
        for title, chosen in (("Hardest", seen[::-1]), ("Easiest", seen))
    }
    never = int((frame["visits"] == 0).sum())
    write(
        file,
        render("samples.html.j2", TEMPLATES, runs=[run.name for run in runs], shown=shown, n=len(frame), never=never),
    )
    return (
        f"{file}: the {len(shown['Hardest'])} hardest and the {len(shown['Easiest'])} easiest of {len(frame):,} samples"
    )


def _picture(epochs: int, frame: pd.DataFrame, data: Mapping[str, Any], file: Path) -> str:
    _check_preference(frame)
    if data["train_images"].dtype != np.uint8:
        raise ValueError("--as: rows of a table cannot be shown in a picture. Export a table: --as NAME.csv.")
    content = kept_most_and_least(frame, data["train_images"], data["train_labels"], data["classes"], epochs)
    write(file, content)
    return f"{file}: the samples of {len(frame):,} that were kept most and least often"
