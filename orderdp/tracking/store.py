"""The MLflow side: one experiment per scale, one flat run per training, one run for the report."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from orderdp.grid import Grid
from orderdp.tracking.files import REPORT, RunFiles, rows_checksum

QUICK_TO_FAIL = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
SILENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for every run
}
CONNECT_EACH_TIME = {"MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool"}
"""An open connection would go on with a file that was removed."""
SQLITE = "sqlite:///"
CHECKOUT = "orderdp.checkout"
"""Tag of every run that this tracker made: the mark of the project folder."""
BATCH = 800
"""Metrics of one call. MLflow takes up to 1000 entries in all, parameters and tags among them."""


class Known(NamedTuple):
    """A run as the store has it."""

    id: str
    status: str
    tags: Mapping[str, str]


def store_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or a database in the project's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_uri()


def local_uri() -> str:
    """The database in the project's folder."""
    return f"{SQLITE}{Path('mlflow.db').resolve()}"


def shown(uri: str) -> str:
    """A store's address without the name, the password and the token that it may hold."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "of MLFLOW_TRACKING_URI"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", "")) if parts.netloc else uri.partition("?")[0]


def without_secrets(text: str, uri: str) -> str:
    """A message of MLflow or of a database, without what :func:`shown` leaves out of the address."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return text.replace(uri, shown(uri))
    for secret in filter(None, (parts.password, unquote(parts.password or ""), *dict(parse_qsl(parts.query)).values())):
        text = text.replace(secret, "***")
    return text.replace(uri, shown(uri))


def make_database(path: Path) -> None:
    """Makes an MLflow database under another name first: MLflow cannot go on with one whose making was cut off."""
    for left in path.parent.glob(f".{path.name}.*.tmp*"):
        left.unlink()
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        SqlAlchemyStore(f"{SQLITE}{temporary}", Path("mlruns").resolve().as_uri()).engine.dispose()
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another project has made it meanwhile
        except OSError:  # a file system without links
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def bring_along(database: Path, old: str, new: str) -> None:
    """Lets the artifacts of a project folder that was moved or copied be looked for, and written, where it is now."""
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as store, store:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            store.execute(
                f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                (new, len(old) + 1, len(old), old),
            )


def run_name(job: Any) -> str:
    """Begins with what differs between the runs of a table: `orderdp 70 %, seed 3, digits-resnet8w8`."""
    spec = job.spec
    ratio = spec.method.options.get("prune_ratio") or (spec.coreset.prune_ratio if spec.coreset else None)
    method = spec.coreset.method if spec.coreset else spec.method.name
    share = f" {100 * ratio:g} %" if ratio else ""
    return f"{method}{share}, seed {spec.seed}, {spec.dataset.name}-{spec.model.label()}"


def whole_run(summary: Mapping[str, Any]) -> dict[str, float]:
    """What no curve ends with: the realised prune ratio of the whole run, and the seconds of selection and training."""
    found = {}
    if summary.get("prune_ratio") is not None:
        found["prune_ratio"] = summary["prune_ratio"]
    if summary.get("training_s") is not None:
        found["seconds"] = summary["training_s"] + summary.get("selection_s", 0.0)
    return found


class Store:
    """One scale's experiment in an MLflow store.

    Args:
        uri: of the store; it is made if it is a file that is not there.
        grid: the scale.
        checkout: mark of this project folder. Runs without it, of other people or of MLflow, are never touched.
    """

    def __init__(self, uri: str, grid: Grid, checkout: str) -> None:
        for key, value in {**QUICK_TO_FAIL, **SILENT, **(CONNECT_EACH_TIME if uri.startswith(SQLITE) else {})}.items():
            os.environ.setdefault(key, value)
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow", "mlflow.store.db.utils"):  # after the import, which sets its own levels
            logging.getLogger(name).setLevel(logging.WARNING)

        self.grid = grid
        self.labels = {
            row.run: row.label
            for experiment in reversed(list(grid.experiments.values()))
            for row in reversed(experiment.rows)
        }
        self.checkout = checkout
        if uri.startswith(SQLITE):
            make_database(Path(uri.removeprefix(SQLITE)))
        self.client = MlflowClient(uri)
        self.experiment = self._experiment(uri)
        self.known = self._index()

    def _experiment(self, uri: str) -> str:
        name = f"orderdp-{self.grid.scale}"
        local = Path("mlartifacts").resolve().as_uri() if uri.startswith(SQLITE) else None
        found = self.client.get_experiment_by_name(name)
        if found is None:
            number = self.client.create_experiment(name, artifact_location=local)
        else:
            number = found.experiment_id
            if found.lifecycle_stage == "deleted":  # in the UI
                self.client.restore_experiment(number)
            if uri == local_uri() and local is not None and found.artifact_location != local:
                bring_along(Path(uri.removeprefix(SQLITE)), found.artifact_location, local)
        # Without its kind, MLflow opens an experiment as one of language models.
        tags = {
            "mlflow.note.content": experiment_note(self.grid, number),
            "mlflow.experimentKind": "custom_model_development",
            **{f"mlflow.sharedViewState.{view}": state for view, state in views(self.grid).items()},
        }
        for key, value in tags.items():
            if found is None or found.tags.get(key) != value:
                self.client.set_experiment_tag(number, key, value)
        return number

    def _index(self) -> dict[str, Known]:
        """MLflow run of each training run, of those that this checkout made. Where an interrupted pass left several,
        all but the newest are deleted."""
        known: dict[str, Known] = {}
        for run in self._search():
            if run.data.tags.get(CHECKOUT) != self.checkout:
                continue
            key = run.data.tags.get("run") or run.data.tags.get("kind", "")
            if key in known:
                self.client.delete_run(run.info.run_id)
            else:
                known[key] = Known(run.info.run_id, run.info.status, run.data.tags)
        return known

    def _search(self) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment], max_results=1000, order_by=["attributes.start_time DESC"], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def bring_up_to_date(self, files: RunFiles) -> bool:
        """Makes the run in the store say what the files say; returns whether anything had to be written."""
        run = self.known.get(files.run)
        tags_now = self._tags(files)
        if run is not None and run.tags.get("checksum") == files.checksum and run.status == files.state:
            stale = {key for key, value in tags_now.items() if run.tags.get(key) != value}
            gone = {key for key in run.tags if run.tags[key] == "yes" and key not in tags_now}
            for key in stale:
                self.client.set_tag(run.id, key, tags_now[key])
            for key in gone:
                self.client.delete_tag(run.id, key)
            self.known[files.run] = run._replace(tags={k: v for k, v in run.tags.items() if k not in gone} | tags_now)
            return bool(stale or gone)
        logged = 0 if run is None else int(run.tags.get("epochs_logged", 0))
        if run is not None and (
            logged > len(files.lines) or run.tags.get("logged_checksum") != rows_checksum(files.lines[:logged])
        ):
            self.client.delete_run(run.id)
            run, logged = None, 0
        self._log(run or self._create(files), files, logged, tags_now)
        return True

    def _create(self, files: RunFiles) -> Known:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        job = self.grid.runs[files.run]
        # The tag is there from the start: by it the next pass finds, and replaces, a run that was cut off while it was
        # being written.
        tags = {"run": job.name, CHECKOUT: self.checkout}
        run = self.client.create_run(
            self.experiment, start_time=int(1000 * files.started), run_name=run_name(job), tags=dict(tags)
        )
        name = job.spec.dataset.name
        own = job.spec.dataset.own
        if own is not None:
            checksum = own.digest.removeprefix("sha256:")
        else:
            checksum = job.sources.get(
                f"orderdp.datasets.{name}", next(v for k, v in job.sources.items() if ".datasets." in k)
            )
        dataset = Dataset(name=name, digest=checksum[:12], source_type="local", source=f'{{"path": "data/{name}"}}')
        self.client.log_inputs(
            run.info.run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
        )
        return Known(run.info.run_id, run.info.status, tags)

    def _log(self, run: Known, files: RunFiles, logged: int, tags_now: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(name, value, time_ms, epoch) for name, value, time_ms, epoch in files.metrics(logged)]
        if files.summary:
            end, last = int(1000 * files.summary["ended"]), files.summary["epochs"]
            metrics += [
                Metric(f"whole_run/{name}", float(value), end, last) for name, value in whole_run(files.summary).items()
            ]
        params = (
            [] if logged else [Param(key, str(value)) for key, value in flatten(self.grid.runs[files.run].spec.plain())]
        )
        done = {
            "epochs_logged": str(len(files.lines)),
            "logged_checksum": rows_checksum(files.lines),
            "checksum": files.checksum,
        }
        tags = {key: value for key, value in {**tags_now, **done}.items() if run.tags.get(key) != value}
        # In this order, and the tags, which say how much is there, behind everything else.
        for start in range(BATCH, len(metrics), BATCH):
            self.client.log_batch(run.id, metrics=metrics[start : start + BATCH])
        self.client.log_batch(run.id, metrics[:BATCH], params, [RunTag(key, value) for key, value in tags.items()])
        if files.state != "RUNNING":
            self.client.set_terminated(run.id, files.state, end_time=int(1000 * (files.ended or files.started)))
        elif run.status != "RUNNING":
            self.client.update_run(run.id, status="RUNNING")
        self.known[files.run] = Known(run.id, files.state, {**run.tags, **tags})

    def report(self, folder: Path, checksum: str) -> bool:
        """The tables, figures and page of the scale as artifacts of one run; returns whether they had to be written."""
        if not (folder / "index.html").exists():
            return False
        run = self.known.get(REPORT)
        if run is not None and run.tags.get("checksum") == checksum:
            return False
        tags = {
            CHECKOUT: self.checkout,
            "kind": REPORT,
            "scale": self.grid.scale,
            "mlflow.source.name": "python -m orderdp report",
        }
        fresh = self.client.create_run(self.experiment, run_name=f"report-{self.grid.scale}", tags=dict(tags))
        self.client.log_artifacts(fresh.info.run_id, str(folder))
        self.client.set_tag(fresh.info.run_id, "checksum", checksum)
        self.client.set_terminated(fresh.info.run_id)
        if run is not None:
            self.client.delete_run(run.id)
        self.known[REPORT] = Known(fresh.info.run_id, "FINISHED", tags | {"checksum": checksum})
        return True

    def _tags(self, files: RunFiles) -> dict[str, str]:
        """Tags by which the UI filters and groups."""
        job, grid = self.grid.runs[files.run], self.grid
        spec, command = job.spec, f"python -m orderdp run --scale {grid.scale} {job.name}"
        tags = {
            "run": job.name,
            "scale": grid.scale,
            "method": spec.method.name,
            # No row of a table names a run that others only start from.
            "label": self.labels.get(job.name, spec.method.name),
            "dataset": spec.dataset.name,
            "model": spec.model.name,
            "seed": str(spec.seed),
            "status": files.summary.get("status", files.state.lower()),
            "mlflow.source.name": command,
            "mlflow.note.content": f"`{command}` repeats this run.\n\n{grid.note}",
        }
        if "prune_ratio" in spec.method.options:
            tags["prune_ratio"] = f"{spec.method.options['prune_ratio']:g}"
        if commit := files.summary.get("environment", {}).get("git_commit"):
            tags["git_commit"] = commit
        return tags | {experiment: "yes" for experiment in grid.users[job.name]}


COLUMNS = ("metrics.`test_accuracy`", "metrics.`whole_run/prune_ratio`", "metrics.`whole_run/seconds`", "tags.`label`")
"""What a list of runs shows beside their names."""


def filters(grid: Grid) -> dict[str, str]:
    """Table or figure -> the filter of MLflow's page that shows its runs, of those that have runs."""
    return {name: f"tags.{name} = 'yes'" for name, entry in grid.experiments.items() if entry.runs}


def views(grid: Grid) -> dict[str, str]:
    """View -> its state, as MLflow's page keeps it under `Share`: the runs of each table, and `runs`, all of them; the
    best first, with the columns that tell them apart."""
    state = {"selectedColumns": COLUMNS, "orderByKey": COLUMNS[0], "orderByAsc": False}
    return {
        name: json.dumps(state | {"searchFilter": text}, sort_keys=True)
        for name, text in {"runs": "tags.method != ''", **filters(grid)}.items()
    }


def experiment_note(grid: Grid, number: str) -> str:
    """What the experiment of this number holds and how to look at one table or figure."""

    def link(view: str) -> str:
        return f"[open](#/experiments/{number}/runs?viewStateShareKey={view})"

    lines = [
        f"Reproduction of OrderDP at scale `{grid.scale}`.",
        "",
        grid.note,
        "",
        "| runs of | filter | best first |",
        "|---|---|---|",
        f"| all tables and figures | | {link('runs')} |",
    ]
    lines += [
        f"| {grid.experiments[name].reproduces}: {grid.experiments[name].title} | `{text}` | {link(name)} |"
        for name, text in filters(grid).items()
    ]
    return "\n".join(
        [
            *lines,
            "",
            "Group by the tags `label` and `prune_ratio` to average seeds. The report: filter `tags.kind = 'report'`.",
        ]
    )


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted keys."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from flatten(item, f"{key}.{name}" if key else name)
    else:
        yield key, value
