"""The MLflow side: one experiment per scale, one flat run per cell, one run for the report."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orderdp.grid import Cell, Grid
from orderdp.tracking.files import RunFiles, prefix_digest

QUICK_TO_FAIL = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
SUMMARY_METRICS = ("test_accuracy", "best_test_accuracy", "test_loss", "train_loss", "prune_ratio", "selection_s", "training_s",
                   "evaluation_s", "steps", "samples")  # fmt: skip
BATCH = 1000


def store_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or a database in the project's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').resolve()}"


class Store:
    """One scale's experiment in an MLflow store.

    Args:
        uri: of the store; it is made if it is a file that is not there.
        grid: the scale.
    """

    def __init__(self, uri: str, grid: Grid) -> None:
        for key, value in {**QUICK_TO_FAIL, **SILENT}.items():
            os.environ.setdefault(key, value)
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow", "mlflow.store.db.utils"):  # after the import, which sets its own levels
            logging.getLogger(name).setLevel(logging.WARNING)

        self.grid = grid
        self.client = MlflowClient(uri)
        self.experiment = self._experiment(uri)
        self.known = self._index()

    def _experiment(self, uri: str) -> str:
        name = f"orderdp-{self.grid.scale}"
        found = self.client.get_experiment_by_name(name)
        if found is None:
            local = Path("mlartifacts").resolve().as_uri() if uri.startswith("sqlite:") else None
            number = self.client.create_experiment(name, artifact_location=local)
        else:
            number = found.experiment_id
        note = experiment_note(self.grid)
        if found is None or found.tags.get("mlflow.note.content") != note:
            self.client.set_experiment_tag(number, "mlflow.note.content", note)
        return number

    def _index(self) -> dict[str, Any]:
        """Run per cell; of several of one cell, as an interrupted pass may leave, all but the newest are deleted."""
        known: dict[str, Any] = {}
        for run in self._search():
            key = run.data.tags.get("cell") or run.data.tags.get("kind", "")
            if key in known:
                self.client.delete_run(run.info.run_id)
            else:
                known[key] = run
        return known

    def _search(self) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs([self.experiment], max_results=1000, order_by=["attributes.start_time DESC"], page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def bring_up_to_date(self, files: RunFiles) -> bool:
        """Makes the run in the store say what the files say; returns whether anything had to be written."""
        run = self.known.get(files.cell)
        tags = run.data.tags if run is not None else {}
        wanted = cell_tags(self.grid.cells[files.cell], self.grid, files)
        if run is not None and tags.get("digest") == files.digest and run.info.status == files.state:
            stale = {key for key, value in wanted.items() if tags.get(key) != value}
            gone = {key for key in tags if tags[key] == "yes" and key not in wanted}
            for key in stale:
                self.client.set_tag(run.info.run_id, key, wanted[key])
            for key in gone:
                self.client.delete_tag(run.info.run_id, key)
            return bool(stale or gone)
        logged = int(tags.get("epochs_logged", 0))
        if run is not None and (logged > len(files.lines) or tags.get("logged_digest") != prefix_digest(files.lines[:logged])):
            self.client.delete_run(run.info.run_id)
            run, logged = None, 0
        identifier = self._create(files, wanted) if run is None else run.info.run_id
        self._log(identifier, files, logged, wanted)
        self.known[files.cell] = self.client.get_run(identifier)
        return True

    def _create(self, files: RunFiles, tags: dict[str, str]) -> str:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        cell = self.grid.cells[files.cell]
        start = int(1000 * files.started)
        run = self.client.create_run(self.experiment, start_time=start, run_name=cell.name.rpartition("-")[0], tags=tags)
        identifier = run.info.run_id
        params = [Param(key, str(value)) for key, value in flatten(cell.spec.plain())]
        self.client.log_batch(identifier, params=params)
        name = cell.spec.dataset.name
        digest = cell.sources.get(f"orderdp.datasets.{name}", next(v for k, v in cell.sources.items() if ".datasets." in k))
        dataset = Dataset(name=name, digest=digest[:12], source_type="local", source=f'{{"path": "data/{name}"}}')
        self.client.log_inputs(identifier, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        return identifier

    def _log(self, identifier: str, files: RunFiles, logged: int, tags: dict[str, str]) -> None:
        from mlflow.entities import Metric, RunTag

        metrics = [Metric(name, value, stamp, epoch) for name, value, stamp, epoch in files.metrics(logged)]
        if files.summary:
            end, last = int(1000 * files.summary["ended"]), files.summary["epochs"]
            metrics += [
                Metric(f"final/{name}", float(files.summary[name]), end, last)
                for name in SUMMARY_METRICS
                if files.summary.get(name) is not None
            ]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(identifier, metrics=metrics[start : start + BATCH])
        done = {**tags, "epochs_logged": str(len(files.lines)), "logged_digest": prefix_digest(files.lines), "digest": files.digest}
        self.client.log_batch(identifier, tags=[RunTag(key, value) for key, value in done.items()])
        if files.state == "RUNNING":
            self.client.update_run(identifier, status="RUNNING")
        else:
            self.client.set_terminated(identifier, files.state, end_time=int(1000 * (files.ended or files.started)))

    def report(self, folder: Path, digest: str) -> bool:
        """The tables, figures and page of the scale as artifacts of one run; returns whether they had to be written."""
        if not (folder / "index.html").exists():
            return False
        run = self.known.get("report")
        if run is not None and run.data.tags.get("digest") == digest:
            return False
        tags = {"kind": "report", "scale": self.grid.scale, "mlflow.source.name": "python -m orderdp report"}
        fresh = self.client.create_run(self.experiment, run_name=f"report-{self.grid.scale}", tags=tags)
        self.client.log_artifacts(fresh.info.run_id, str(folder))
        self.client.set_tag(fresh.info.run_id, "digest", digest)
        self.client.set_terminated(fresh.info.run_id)
        if run is not None:
            self.client.delete_run(run.info.run_id)
        self.known["report"] = self.client.get_run(fresh.info.run_id)
        return True


def cell_tags(cell: Cell, grid: Grid, files: RunFiles) -> dict[str, str]:
    """Tags by which the UI filters and groups."""
    rows = [row for experiment in grid.experiments.values() for row in experiment.rows if row.cell == cell.name]
    spec = cell.spec
    tags = {
        "cell": cell.name,
        "scale": grid.scale,
        "method": spec.method.name,
        "label": rows[0].label,
        "dataset": spec.dataset.name,
        "model": spec.model.name,
        "seed": str(spec.seed),
        "status": files.summary.get("status", files.state.lower()),
        "mlflow.source.name": f"python -m orderdp train --scale {grid.scale} --cell {cell.name}",
        "mlflow.note.content": f"`python -m orderdp train --scale {grid.scale} --cell {cell.name}` repeats this run.\n\n{grid.note}",
    }
    if "prune_ratio" in spec.method.options:
        tags["prune_ratio"] = f"{spec.method.options['prune_ratio']:g}"
    if commit := files.summary.get("environment", {}).get("git_commit"):
        tags["git_commit"] = commit
    return tags | {experiment: "yes" for experiment in cell.experiments}


def experiment_note(grid: Grid) -> str:
    """What the experiment holds and how to look at one table or figure."""
    lines = [f"Reproduction of OrderDP at scale `{grid.scale}`.", "", grid.note, "", "| runs of | filter |", "|---|---|"]
    lines += [f"| {entry.reproduces}: {entry.title} | `tags.{name} = 'yes'` |" for name, entry in grid.experiments.items()]
    return "\n".join([*lines, "", "Group by the tags `label` and `prune_ratio` to average seeds. The report: filter `tags.kind = 'report'`."])


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted keys."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from flatten(item, f"{key}.{name}" if key else name)
    else:
        yield key, value
