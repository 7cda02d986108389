"""Runs -> tidy tables: the only place where reporting reads the files of a run.

Every row of the grid (one use of a run by a table or figure) becomes one row here, also when its run is missing or
diverged: what was not run must be visible as such.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from orderdp.grid import Grid, Row
from orderdp.jobs.finished import SUMMARY, read_file, read_summary

NOT_RUN, FINISHED, DIVERGED = "not run", "finished", "diverged"

COORDINATES = (
    "experiment", "workload", "stands_for", "method", "label", "prune_ratio", "explore", "label_noise", "panel",
    "seed", "run",
)  # fmt: skip
MEASURED = (
    "test_accuracy", "best_test_accuracy", "test_loss", "train_loss", "epochs", "steps", "samples", "selection_s",
    "training_s",
    "evaluation_s", "wrong_labels", "n", "classes", "parameters",
)  # fmt: skip

T = TypeVar("T")
STUDY_TABLES = ("unbiasedness", "convergence", "generalization")


class Runs:
    """A folder of runs. Each file is read once, and its checksum is kept for the provenance records.

    Args:
        folder: holds one folder for each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.checksums: dict[str, dict[str, str]] = {}
        """Run -> file name -> sha256 of the bytes that were read."""
        self._summaries: dict[str, dict[str, Any] | None] = {}
        self._parsed: dict[tuple[str, str], Any] = {}
        self._histories: list[pd.DataFrame] = []
        self._with_history: set[str] = set()

    def summary(self, run: str) -> dict[str, Any] | None:
        """Content of summary.json; None while there is none: such a run is not finished.

        Raises:
            DamagedRun: it is not as it was written; the same for all other files.
        """
        if run not in self._summaries:
            self._summaries[run] = summary = read_summary(self.folder, run)
            if summary is not None:
                content = (self.folder / run / SUMMARY).read_bytes()
                self.checksums.setdefault(run, {})[SUMMARY] = hashlib.sha256(content).hexdigest()
        return self._summaries[run]

    def histories(self, names: Iterable[str]) -> pd.DataFrame:
        """history.csv of those of these runs that are finished, one below the other, behind a column `run`, with
        `time_s`; no columns if none is.

        They are parsed together: pandas takes as long for the start of a file as for a thousand lines.
        """
        alike: dict[bytes, list[tuple[str, bytes]]] = {}
        for run in dict.fromkeys(names):
            if run not in self._with_history and self.summary(run) is not None:
                head, _, lines = self.read(run, "history.csv", bytes).partition(b"\n")
                alike.setdefault(head, []).append((run, lines))
                self._with_history.add(run)
        for head, files in alike.items():
            frame = pd.read_csv(io.BytesIO(head + b"\n" + b"".join(lines for _, lines in files)))
            frame.insert(0, "run", np.repeat([run for run, _ in files], [lines.count(b"\n") for _, lines in files]))
            spent = frame["selection_s"] + frame["training_s"]
            self._histories.append(frame.assign(time_s=spent.groupby(frame["run"], sort=False).cumsum()))
        return pd.concat(self._histories, ignore_index=True) if self._histories else pd.DataFrame()

    def selection(self, run: str) -> dict[str, np.ndarray] | None:
        """Arrays of selection.npz (`usage` int32 (n,), `recorded_epochs`); None while it is not finished."""
        if self.summary(run) is None:
            return None
        return self.read(run, "selection.npz", _arrays)

    def diagnostics(self, diagnosis: str) -> pd.DataFrame | None:
        """diagnostics.csv of a run's diagnosis; None while that is not made."""
        if self.summary(diagnosis) is None:
            return None
        return self.read(diagnosis, "diagnostics.csv", lambda content: pd.read_csv(io.BytesIO(content)))

    def profile(self, diagnosis: str) -> dict[str, np.ndarray] | None:
        """Arrays of a diagnosis' profile.npz (`epochs` int32 (m,), `kept_by_loss` (m, 10), `kept_by_label` (m,
        classes)); None while it is not made."""
        if self.summary(diagnosis) is None:
            return None
        return self.read(diagnosis, "profile.npz", _arrays)

    def study(self, name: str) -> dict[str, Any]:
        """The tables of a study of theorems by name, and `summary`, the content of its summary.json; empty while it is
        not run."""
        summary = self.summary(name)
        if summary is None:
            return {}
        tables = {
            table: self.read(name, f"{table}.csv", lambda content: pd.read_csv(io.BytesIO(content)))
            for table in STUDY_TABLES
        }
        return tables | {"summary": summary}

    def read(self, run: str, name: str, parse: Callable[[bytes], Any]) -> Any:
        """A file of a run, parsed once; its checksum is noted."""
        key = (run, name)
        if key not in self._parsed:
            content = read_file(self.folder, run, name)
            self.checksums.setdefault(run, {})[name] = hashlib.sha256(content).hexdigest()
            self._parsed[key] = parse(content)
        return self._parsed[key]


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def collect(grid: Grid, runs: Runs | Path, experiments: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per use of a run.

    Args:
        grid: which runs there are to be.
        runs: folder of runs.
        experiments: names in the grid; all when None.

    Returns:
        Coordinates (experiment, workload, stands_for with the paper's workloads joined by a comma, method, label,
        prune_ratio as requested, in (0, 1) or NaN, explore, label_noise, panel, seed, run), `status` ("finished",
        "diverged", "not run"), `diverged_epoch`, the measured values of summary.json (accuracies in %, durations in
        seconds; NaN if not run), `realised_prune_ratio`, `gpus` that the run took (NaN without one), `device` that it
        took, in words (None if not run), and `time_s` = selection_s + training_s.
    """
    runs = _opened(runs)
    records = []
    for row in _rows(grid, experiments):
        summary = runs.summary(row.run)
        status = NOT_RUN if summary is None else str(summary["status"])
        summary = summary or {}
        at: Mapping[str, int] = summary.get("diverged_at") or {}
        measured = {key: summary.get(key) for key in MEASURED}
        records.append(
            _coordinates(row)
            | {"status": status, "diverged_epoch": at.get("epoch")}
            | measured
            | {"realised_prune_ratio": summary.get("prune_ratio"), "gpus": _gpus(summary), "device": _device(summary)}
        )
    columns = [*COORDINATES, "status", "diverged_epoch", *MEASURED, "realised_prune_ratio", "gpus", "device"]
    frame = pd.DataFrame(records, columns=columns)
    numbers = ["prune_ratio", "explore", "diverged_epoch", *MEASURED, "realised_prune_ratio", "gpus"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    frame["time_s"] = frame["selection_s"] + frame["training_s"]
    return frame


def _gpus(summary: Mapping[str, Any]) -> int | None:
    where = summary.get("environment", {})
    return where.get("ranks") if where.get("device") == "cuda" else None


def _device(summary: Mapping[str, Any]) -> str | None:
    """What a run's durations depend on besides the run: the device, and how many runs may have shared it."""
    where = summary.get("environment")
    if where is None:
        return None
    shared = f", shared by {where['sharing']} runs" if where.get("sharing", 1) > 1 else ""
    return f"{where.get('device_name') or where.get('device')}{shared}"


def pretrainings(grid: Grid, runs: Runs | Path, experiments: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per run that starts from the weights of another.

    Returns:
        `run`, and of the run that it starts from: `pretraining_ratio` (share of its sample visits that it left out)
        and `pretraining_s` (selection and training); NaN while that is not run.
    """
    runs = _opened(runs)
    records = []
    for run in dict.fromkeys(row.run for row in _rows(grid, experiments)):
        if (before := grid.runs[run].starts_from) is not None:
            summary = runs.summary(before) or {}
            seconds = [summary.get(key, float("nan")) for key in ("selection_s", "training_s")]
            records.append((run, summary.get("prune_ratio", float("nan")), sum(seconds)))
    frame = pd.DataFrame(records, columns=["run", "pretraining_ratio", "pretraining_s"])
    return frame.astype({"pretraining_ratio": float, "pretraining_s": float})


def with_pretraining(results: pd.DataFrame, pretrainings: pd.DataFrame) -> pd.DataFrame:
    """Runs that start from the weights of another, taken together with it: it is what is pruned, and its time is spent,
    too.

    Args:
        results: from `collect`.
        pretrainings: from `pretrainings`.

    Returns:
        The results, with the realised prune ratio of the pre-training and the time of both where there is one.
    """
    both = results.merge(pretrainings, on="run", how="left")
    before = both["run"].isin(pretrainings["run"]) & (both["status"] == FINISHED)
    both.loc[before, "realised_prune_ratio"] = both.loc[before, "pretraining_ratio"]
    both.loc[before, "time_s"] += both.loc[before, "pretraining_s"]
    return both.drop(columns=["pretraining_ratio", "pretraining_s"])


def histories(grid: Grid, runs: Runs | Path, experiments: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per use of a run and epoch.

    Returns:
        Coordinates as in :func:`collect`, `status`, the columns of history.csv (its `prune_ratio` as
        `epoch_prune_ratio`), and `time_s`: seconds of selection and training since the run began. Runs that are not
        finished have no rows.
    """
    runs = _opened(runs)
    rows = _rows(grid, experiments)
    epochs = runs.histories(row.run for row in rows).rename(columns={"prune_ratio": "epoch_prune_ratio"})
    finished = [(row, summary) for row in rows if (summary := runs.summary(row.run)) is not None]
    if not finished:
        return pd.DataFrame(columns=[*COORDINATES, "status", "epoch", "time_s"])
    uses = pd.DataFrame([_head(row, summary) for row, summary in finished]).reindex(columns=[*COORDINATES, "status"])
    return uses.merge(epochs, on="run", how="inner")


def selections(grid: Grid, runs: Runs | Path, experiments: Sequence[str] | None = None) -> pd.DataFrame:
    """How often samples were used: one row per use of a run and usage count, with no gaps from 0 to the largest.

    Returns:
        Coordinates as in :func:`collect`, `status`, `uses` (times kept during the run), `samples` (how many samples
        have that count) and `expected_uses` (the mean over samples). Runs that are not finished have no rows.
    """
    runs = _opened(runs)

    def of(row: Row) -> pd.DataFrame | None:
        selection = runs.selection(row.run)
        if selection is None:
            return None
        usage = selection["usage"]
        counts = np.bincount(usage)
        return pd.DataFrame({"uses": np.arange(len(counts)), "samples": counts, "expected_uses": float(usage.mean())})

    return _stacked(grid, runs, experiments, of, ["uses", "samples", "expected_uses"])


def diagnostics(grid: Grid, runs: Runs | Path, experiments: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per use of a run by an experiment that has diagnoses, and measurement.

    Returns:
        Coordinates as in :func:`collect`, `status`, and the columns of diagnostics.csv. Runs that are not measured yet
        have no rows.
    """
    runs = _opened(runs)
    return _stacked(
        grid, runs, experiments, lambda row: _of_diagnosis(grid, row, runs.diagnostics), ["epoch", "progress", "cosine"]
    )


def profiles(grid: Grid, runs: Runs | Path, experiments: Sequence[str] | None = None) -> pd.DataFrame:
    """Which samples were kept at the measurements of a run: one row per use of a run, measurement and group of
    samples.

    Returns:
        Coordinates as in :func:`collect`, `status`, `epoch` (whose kept set it is), `by` ("loss" or "label"), `group`
        (tenth of the samples by loss, 0 the hardest; or class) and `share` kept of it, in [0, 1]. Runs that are not
        measured yet have no rows.
    """
    runs = _opened(runs)

    def of(row: Row) -> pd.DataFrame | None:
        arrays = _of_diagnosis(grid, row, runs.profile)
        if arrays is None:
            return None
        parts = []
        for by in ("loss", "label"):
            shares = arrays[f"kept_by_{by}"]
            epochs, groups = np.meshgrid(arrays["epochs"], np.arange(shares.shape[1]), indexing="ij")
            parts.append(
                pd.DataFrame({"epoch": epochs.ravel(), "by": by, "group": groups.ravel(), "share": shares.ravel()})
            )
        return pd.concat(parts, ignore_index=True)

    return _stacked(grid, runs, experiments, of, ["epoch", "by", "group", "share"])


def study(grid: Grid, runs: Runs | Path, experiments: Sequence[str] | None = None) -> dict[str, Any]:
    """The study of the theorems: :meth:`Runs.study` of the first experiment that has one; empty if there is none or it
    is not run."""
    runs = _opened(runs)
    names = list(grid.experiments) if experiments is None else experiments
    jobs = (grid.experiments[name].job for name in names)
    return next((runs.study(job) for job in jobs if job is not None and grid.jobs[job].kind == "study"), {})


def settings(grid: Grid, runs: Runs | Path, experiments: Sequence[str]) -> Mapping[str, Any]:
    """What `params.yaml` sets for an experiment that is computed without runs."""
    (name,) = experiments
    return _Settings(grid.experiments[name].settings, f"experiments.{name}.settings")


class _Settings(dict[str, Any]):
    """Settings that say where one is missing."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        super().__init__(values)
        self.where = where
        for key, value in values.items():
            if isinstance(value, Mapping):
                self[key] = _Settings(value, f"{where}.{key}")

    def __missing__(self, key: str) -> Any:
        raise KeyError(f"{self.where} in params.yaml lacks '{key}'. It has: {', '.join(self) or 'nothing'}.")


def _opened(runs: Runs | Path) -> Runs:
    return runs if isinstance(runs, Runs) else Runs(runs)


def _rows(grid: Grid, experiments: Sequence[str] | None) -> list[Row]:
    names = list(grid.experiments) if experiments is None else experiments
    return [row for name in names for row in grid.experiments[name].rows]


def _of_diagnosis(grid: Grid, row: Row, read: Callable[[str], T | None]) -> T | None:
    experiment = grid.experiments[row.experiment]
    if not experiment.diagnoses:
        return None
    return read(experiment.diagnoses[experiment.runs.index(row.run)])


def _stacked(
    grid: Grid,
    runs: Runs,
    experiments: Sequence[str] | None,
    of: Callable[[Row], pd.DataFrame | None],
    columns: Sequence[str],
) -> pd.DataFrame:
    """What `of` says of every use of a run, behind its coordinates and status; these columns, empty, if it says
    nothing of any."""
    parts: list[pd.DataFrame] = []
    heads: list[dict[str, Any]] = []
    for row in _rows(grid, experiments):
        part, summary = of(row), runs.summary(row.run)
        if part is not None and summary is not None:  # a measured run may have been removed since
            parts.append(part)
            heads.append(_head(row, summary))
    head = [*COORDINATES, "status"]
    if not parts:
        return pd.DataFrame(columns=[*head, *columns])
    uses = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    coordinates = pd.DataFrame(heads).reindex(columns=head).iloc[uses].reset_index(drop=True)
    return pd.concat([coordinates, pd.concat(parts, ignore_index=True)], axis=1)


def _head(row: Row, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The coordinates that a use of a run has, and the run's status."""
    return {k: v for k, v in _coordinates(row).items() if v is not None} | {"status": summary["status"]}


def _coordinates(row: Row) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in COORDINATES}
    return values | {"stands_for": ",".join(row.stands_for)}
