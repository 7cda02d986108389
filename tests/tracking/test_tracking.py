"""MLflow says what the files say: once, live, and after whatever interruption."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from orderdp import grid as grids
from orderdp.jobs.finished import finish
from orderdp.tracking import track, tracker, watch
from orderdp.tracking.files import read_runs
from orderdp.tracking.tracker import _Cache
from tests.workflow.conftest import tiny_params

ROOT = Path(__file__).parents[2]
HEADER = "epoch,progress,test_accuracy,grad_norm_mean,timestamp"


class Files:
    """Run files as a trainer leaves them, and a grid that holds them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "params.yaml").write_text(yaml.safe_dump(tiny_params(), allow_unicode=True))
        self.grid = grids.load(folder / "params.yaml")
        self.names = list(self.grid.runs)
        self.places = {"runs": folder / "runs", "work": folder / ".work", "reports": folder / "reports"}

    def rows(self, epochs: int, shift: float = 0.0) -> str:
        lines = [f"{e},{e / 4},{80 + e + shift},{'nan' if e == 3 else 1.5},{1.7e9 + e}" for e in range(1, epochs + 1)]
        return "\n".join([HEADER, *lines]) + "\n"

    def finish(self, name: str, status: str = "finished", shift: float = 0.0) -> None:
        out = self.places["runs"] / name
        out.mkdir(parents=True, exist_ok=True)
        (out / "history.csv").write_text(self.rows(4, shift))
        summary = {
            "job": name,
            "status": status,
            "test_accuracy": 84 + shift,
            "prune_ratio": 0.5,
            "selection_s": 0.5,
            "training_s": 7.0,
            "epochs": 4,
            "started": 1.7e9,
            "ended": 1.7e9 + 9,
        }
        finish(out, {**summary, "environment": {"git_commit": "abc123"}})
        shutil.rmtree(self.places["work"] / name, ignore_errors=True)

    def train(self, name: str, epochs: int, pid: int, shift: float = 0.0, state: str = "running") -> None:
        work = self.places["work"] / name
        work.mkdir(parents=True, exist_ok=True)
        (work / "history.csv").write_text(self.rows(epochs, shift))
        (work / "status.json").write_text(
            json.dumps({"pid": pid, "state": state, "started": 1.7e9, "updated": 1.7e9 + epochs})
        )

    def track(self):
        return track(self.grid, **self.places)

    def runs(self, query: str = ""):
        from mlflow import MlflowClient

        self.client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
        self.experiment = self.client.get_experiment_by_name("orderdp-quick")
        return self.client.search_runs([self.experiment.experiment_id], query, max_results=1000)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database with MLflow's tables: making them takes seconds."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def files(tmp_path, empty_store, monkeypatch):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    _Cache.store = None
    return Files(tmp_path)


def points(files: Files, run) -> list[tuple[int, float, int]]:
    history = files.client.get_metric_history(run.info.run_id, "test_accuracy")
    return sorted((m.step, m.value, m.timestamp) for m in history)


def test_as_many_runs_as_in_the_grid_and_a_second_pass_writes_nothing(files):
    for name in files.names:
        files.finish(name)
    assert files.track().written == len(files.names)
    assert files.track().text == "MLflow is up to date."
    (files.places["work"] / "tracked-quick.json").unlink()
    _Cache.store = None
    assert files.track().written == 0
    runs = files.runs()
    assert sorted(run.data.tags["run"] for run in runs) == sorted(files.names)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert [run.data.tags["git_commit"] for run in runs] == ["abc123"] * len(runs)
    assert len(files.runs("tags.table2 = 'yes'")) == len(files.grid.experiments["table2"].runs)
    assert "tags.table2 = 'yes'" in files.experiment.tags["mlflow.note.content"]
    run = files.runs("tags.method = 'ucb'")[0]
    assert run.data.params["recipe.schedule.max_lr"] == "0.2"
    assert run.inputs.dataset_inputs[0].dataset.name == "digits"
    assert points(files, run) == [(e, 80.0 + e, int(1000 * (1.7e9 + e))) for e in range(1, 5)]
    assert (
        len(files.client.get_metric_history(run.info.run_id, "grad_norm_mean")) == 3
    )  # the one that is not a number is left out
    assert run.data.metrics["whole_run/prune_ratio"] == 0.5 and run.data.metrics["whole_run/seconds"] == 7.5
    assert run.data.metrics["test_accuracy"] == 84 and not any(name.startswith("final/") for name in run.data.metrics)
    assert files.experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert run.info.run_name == "ucb 50 %, seed 0, digits-resnet8w8"


def test_each_table_has_a_view_in_mlflows_page(files):
    """The page takes the view from a tag of the experiment that the link names."""
    for name in files.names:
        files.finish(name)
    files.track()
    files.runs()
    text = files.experiment.tags["mlflow.note.content"]
    found = re.findall(r"\(#/experiments/(\d+)/runs\?viewStateShareKey=(\w+)\)", text)
    assert found == [(files.experiment.experiment_id, view) for view in ("runs", "table2")]
    for (_, view), count in zip(found, (len(files.names), 4), strict=True):
        state = json.loads(files.experiment.tags[f"mlflow.sharedViewState.{view}"])
        assert len(files.runs(state["searchFilter"])) == count
        shown = {
            *(f"metrics.`{name}`" for name in files.runs()[0].data.metrics),
            *(f"tags.`{name}`" for name in files.runs()[0].data.tags),
        }
        assert set(state["selectedColumns"]) <= shown and state["orderByKey"] in shown


def test_a_growing_run_is_appended_to_then_finished(files):
    name = files.names[0]
    files.train(name, 2, os.getpid())
    files.track()
    first = files.runs()[0]
    assert first.info.status == "RUNNING"
    assert [step for step, _, _ in points(files, first)] == [1, 2]
    files.train(name, 3, os.getpid())
    files.track()
    files.finish(name)
    files.track()
    (run,) = files.runs()
    assert run.info.run_id == first.info.run_id
    assert run.info.status == "FINISHED"
    assert [step for step, _, _ in points(files, run)] == [1, 2, 3, 4]


def test_a_killed_run_is_marked_and_a_resumed_one_has_no_double_points(files):
    name = files.names[0]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    files.train(name, 3, dead.pid)
    files.track()
    assert files.runs()[0].info.status == "KILLED"
    files.train(name, 2, os.getpid())  # resumed from the checkpoint of epoch 2
    files.track()
    assert files.runs()[0].info.status == "RUNNING"
    files.finish(name)
    files.track()
    (run,) = files.runs()
    assert [step for step, _, _ in points(files, run)] == [1, 2, 3, 4]


def test_a_rewritten_run_replaces_the_old_one(files):
    files.finish(files.names[0])
    files.track()
    files.finish(files.names[0], shift=0.5)
    files.track()
    (run,) = files.runs()
    assert run.data.metrics["test_accuracy"] == 84.5
    assert len(points(files, run)) == 4


def test_a_diverged_run_is_failed_and_says_why(files):
    files.finish(files.names[0], status="diverged")
    files.track()
    (run,) = files.runs()
    assert (run.info.status, run.data.tags["status"]) == ("FAILED", "diverged")


def test_a_pass_reads_only_what_has_changed(files, monkeypatch):
    files.places["work"].mkdir()
    for name in files.names:
        files.finish(name)
    tracker._pass(files.grid, **files.places)
    read = []
    monkeypatch.setattr(
        tracker, "read_runs", lambda names, *places: (read.append(list(names)), read_runs(read[-1], *places))[1]
    )
    files.finish(files.names[1], shift=1)
    assert tracker._pass(files.grid, **files.places).written == 1
    assert read == [[files.names[1]]]


def test_a_run_that_others_start_from_is_tracked_too(files):
    table5 = {
        **yaml.safe_load((ROOT / "params.yaml").read_text())["experiments"]["table5"],
        "workloads": ["imagenet-vit-mae"],
    }
    params = {**tiny_params(), "experiments": {"table5": {**table5, "grid": [{"methods": ["full"]}]}}}
    (files.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True))
    files.grid = grids.load(files.folder / "params.yaml")
    (last,) = {row.run for row in files.grid.experiments["table5"].rows}
    first = files.grid.runs[last].starts_from
    for name in (first, last):
        files.finish(name)
    assert files.track().written == 2
    labels = {run.data.tags["run"]: run.data.tags["label"] for run in files.runs()}
    assert labels == {first: "full", last: "Whole Dataset"}


def test_the_report_is_one_run_with_its_files(files):
    page = files.places["reports"] / "quick" / "index.html"
    page.parent.mkdir(parents=True)
    for text in ("first", "second"):
        page.write_text(text)
        files.track()
    (run,) = files.runs("tags.kind = 'report'")
    assert [item.path for item in files.client.list_artifacts(run.info.run_id)] == ["index.html"]


def test_a_store_that_is_away_costs_one_line_and_a_later_pass_catches_up(files, monkeypatch):
    files.finish(files.names[0])
    there = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    started = time.monotonic()
    result = files.track()
    assert "http://127.0.0.1:9 failed" in result.error
    assert "\n" not in result.error
    assert time.monotonic() - started < 60
    monkeypatch.setenv("MLFLOW_TRACKING_URI", there)
    assert files.track().written == 1


def test_watching_shows_curves_while_a_run_trains(files):
    name = files.names[0]
    files.train(name, 1, os.getpid())
    os_nice, os.nice = os.nice, lambda step: 0
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    try:
        watcher = threading.Thread(
            target=watch, args=(files.grid,), kwargs={**files.places, "parent": parent.pid, "interval_s": 0.1}
        )
        watcher.start()
        for epochs in (1, 2):
            files.train(name, epochs, os.getpid())
            for _ in range(200):
                time.sleep(0.1)
                runs = files.runs() if (files.places["work"] / "tracked-quick.json").exists() else []
                if runs and len(points(files, runs[0])) == epochs:
                    break
            else:
                raise AssertionError(f"epoch {epochs} did not appear")
        files.track()  # the watcher gives way, and goes on
        files.train(name, 3, os.getpid())
        for _ in range(200):
            time.sleep(0.1)
            if len(points(files, files.runs()[0])) == 3:
                break
        else:
            raise AssertionError("the curves stood still after track")
        files.finish(name)
        parent.terminate()
        parent.wait()
        watcher.join(30)
        assert not watcher.is_alive()
    finally:
        parent.kill()
        os.nice = os_nice
    assert files.runs()[0].info.status == "FINISHED"


@pytest.mark.slow
def test_eight_trackers_on_a_fresh_store(tmp_path):
    files = Files(tmp_path)
    for name in files.names:
        files.finish(name)
    env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "orderdp", "track"]
    started = [subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 8, errors
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    number = client.get_experiment_by_name("orderdp-quick").experiment_id
    assert len(client.search_runs([number])) == len(files.names)


def test_runs_of_other_people_are_left_alone(files):
    """Derived from mlflow#2227 and #673: runs in the experiment that the tracker did not make were deleted."""
    from mlflow import MlflowClient

    files.finish(files.names[0])
    files.track()
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    number = client.get_experiment_by_name("orderdp-quick").experiment_id
    theirs = {client.create_run(number, run_name=f"my own baseline {i}").info.run_id for i in range(3)}
    files.finish(files.names[1])
    files.track()
    assert theirs < {run.info.run_id for run in files.runs()} and len(files.runs()) == 5


def test_two_checkouts_on_one_server_leave_each_other_alone(files, tmp_path, monkeypatch):
    """Derived from mlflow#4643: each one's pass deleted the runs of the other one."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")  # so that the store is not the database of the present folder
    other = Files(tmp_path / "other")
    for each in (files, other, files, other):
        for name in each.names:
            each.finish(name)
        _Cache.store = None
        each.track()
    assert len(files.runs()) == 2 * len(files.names)


def test_what_the_ui_deletes_comes_back(files):
    """mlflow#2690, #6445 and #689: every later pass failed for an experiment that was deleted in the UI."""
    for name in files.names:
        files.finish(name)
    files.track()
    files.client = None
    files.runs()
    files.client.delete_run(files.runs()[0].info.run_id)
    assert files.track().written == 1
    files.client.delete_experiment(files.experiment.experiment_id)
    assert files.track().error is None
    assert len(files.runs()) == len(files.names)


def test_a_moved_project_does_not_write_into_its_old_folder(tmp_path, monkeypatch):
    """mlflow#3144 and #4400."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "old").mkdir()
    monkeypatch.chdir(tmp_path / "old")
    _Cache.store = None
    files = Files(tmp_path / "old")
    files.finish(files.names[0])
    page = files.places["reports"] / "quick" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("first")
    files.track()
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.chdir(tmp_path / "new")
    files.places = {key: tmp_path / "new" / path.name for key, path in files.places.items()}
    (tmp_path / "new/reports/quick/index.html").write_text("second")
    assert files.track().error is None and not (tmp_path / "old").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new/mlflow.db'}")
    (report,) = files.runs("tags.kind = 'report'")
    assert [item.path for item in files.client.list_artifacts(report.info.run_id)] == ["index.html"]
    assert report.info.artifact_uri.startswith((tmp_path / "new").as_uri()) and len(files.runs()) == 2


@pytest.mark.parametrize(
    "uri",
    ["http://me:s3cret@127.0.0.1:9", "http://127.0.0.1:9/?token=s3cret", "postgresql://me:s3cret@127.0.0.1:9/mlflow"],
)
def test_no_secret_of_an_address_is_said(files, monkeypatch, uri):
    # MLflow asks a database ten times, over a hundred seconds.
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 2)
    files.finish(files.names[0])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    result = files.track()
    assert result.error is not None and "failed" in result.error and "s3cret" not in result.error
    written = [path for path in files.folder.rglob("*") if path.is_file() and path.suffix != ".db"]
    assert not any(b"s3cret" in path.read_bytes() for path in written)


def test_a_store_that_is_removed_while_it_is_open_is_made_again(files):
    files.finish(files.names[0])
    files.track()
    (files.folder / "mlflow.db").unlink()  # the same process goes on, as a watcher does
    files.finish(files.names[1])
    assert files.track().error is None
    assert len(files.runs()) == 2


def test_a_store_whose_making_was_cut_off_is_made_again(files, monkeypatch):
    from mlflow.store.tracking import sqlalchemy_store

    class Killed(BaseException):
        pass

    class Half:
        def __init__(self, uri, root):
            Path(uri.removeprefix("sqlite:///")).write_bytes(b"half")
            raise Killed

    files.finish(files.names[0])
    (files.folder / "mlflow.db").unlink(missing_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(sqlalchemy_store, "SqlAlchemyStore", Half)
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)  # a killed process cleans nothing up
        with pytest.raises(Killed):
            files.track()
    assert not (files.folder / "mlflow.db").exists() and list(files.folder.glob(".mlflow.db.*.tmp"))
    assert files.track().error is None
    assert len(files.runs()) == 1 and not list(files.folder.glob(".mlflow.db.*"))
