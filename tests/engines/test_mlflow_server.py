"""The tracker against `mlflow server` on PostgreSQL, which is restarted and killed in between."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.daemons import PATH, daemon, free_ports, listens, until
from tests.workflow.conftest import Project, copy_project

LACKS = [name for name in ("postgres", "initdb") if shutil.which(name, path=PATH) is None]
pytestmark = pytest.mark.skipif(bool(LACKS), reason=f"no PostgreSQL here: {', '.join(LACKS)}")
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def user() -> int | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_uid
    return 65534


@pytest.fixture
def database(tmp_path_factory) -> Iterator[str]:
    """The address of a database."""
    folder, (port,) = tmp_path_factory.mktemp("postgres"), free_ports(1)
    for path in (folder, *folder.parents[:3]):
        with contextlib.suppress(PermissionError):
            path.chmod(path.stat().st_mode | 0o055)
    data = folder / "data"
    data.mkdir()
    owner = user()
    if owner is not None:
        os.chown(data, owner, owner)
    made = ["initdb", "-D", str(data), "-U", "orderdp", "--auth=trust"]
    subprocess.run(made, check=True, capture_output=True, user=owner, env={**os.environ, "PATH": PATH}, cwd=data)
    with daemon(folder, "postgres", "-D", str(data), "-p", str(port), "-k", str(data), user=owner):
        until(lambda: listens(port), "PostgreSQL")
        yield f"postgresql://orderdp@127.0.0.1:{port}/postgres"


@contextlib.contextmanager
def server(database: str, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`mlflow server`, which serves artifacts as well."""
    words = (
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--host", "127.0.0.1",
        "--port", str(port), "--workers", "1", "--artifacts-destination", str(folder / "artifacts"),
    )  # fmt: skip
    with daemon(folder, *words, environment=QUIET) as process:
        until(lambda: listens(port), "the server", 120)
        yield process


def kept(uri: str, experiment: str) -> dict[str, int]:
    """Name of a finished run in the store -> how many values its curves have."""
    os.environ |= QUIET
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = {}
    number = client.get_experiment_by_name(experiment).experiment_id
    for run in client.search_runs([number], filter_string="attributes.status = 'FINISHED'"):
        name = run.data.tags.get("run", "report")
        assert name not in found, f"{name} is there twice"
        history = client.get_metric_history(run.info.run_id, "test_accuracy")
        found[name] = len(history) if name != "report" else len(client.list_artifacts(run.info.run_id))
    return found


def test_a_server_that_is_away_costs_nothing_and_is_caught_up_with(database, tmp_path):
    project, (port,) = copy_project(tmp_path / "project"), free_ports(1)
    uri = f"http://127.0.0.1:{port}"
    tracked = {"MLFLOW_TRACKING_URI": uri, "ORDERDP_NO_TRACKING": "0"}
    done = project.run("snakemake", "--cores", "2", **tracked)
    assert "Training goes on" in done.stderr or "failed" in done.stdout + done.stderr
    with server(database, tmp_path, port):
        done = project.run("python", "-m", "orderdp", "track", **tracked)
        assert "5 runs brought up to date" in done.stdout and "View run" not in done.stdout, done.stdout
        first = kept(uri, "orderdp-quick")
        assert len(first) == 5 and set(first.values()) >= {2}
    assert project.run("python", "-m", "orderdp", "track", check=False, **tracked).returncode == 1
    with server(database, tmp_path, port):
        assert "up to date" in project.run("python", "-m", "orderdp", "track", **tracked).stdout
        assert kept(uri, "orderdp-quick") == first


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ends_in_between_leaves_no_half_run(database, tmp_path, number):
    project, (port,) = copy_project(tmp_path / f"project-{number.name}"), free_ports(1)
    uri = f"http://127.0.0.1:{port}"
    params = project.params()
    params["scale"] = "quick"
    params["scales"]["quick"]["seeds"] = [0, 1]
    project.write_params(params)
    project.snakemake()
    tracked = {"MLFLOW_TRACKING_URI": uri, "ORDERDP_NO_TRACKING": "0"}
    statuses = []
    for after_s in (0.5, 3.0):
        with server(database, tmp_path, port) as process:
            tracker = start(project, tracked)
            until(lambda: (project.folder / ".work/tracker.lock").exists(), "the tracker", 60)
            with contextlib.suppress(subprocess.TimeoutExpired):
                tracker.wait(timeout=after_s)
            for child in children(process.pid):
                os.kill(child, number)
            process.send_signal(number)
            statuses.append(tracker.wait(timeout=120))
    with server(database, tmp_path, port):
        project.run("python", "-m", "orderdp", "track", **tracked)
        mine = {name: count for name, count in kept(uri, "orderdp-quick").items() if "report" not in name}
        assert len(mine) == 8 and set(mine.values()) == {2}
        again = project.run("python", "-m", "orderdp", "track", **tracked).stdout
        assert "MLflow is up to date" in again


def start(project: Project, tracked: dict[str, str]) -> subprocess.Popen[bytes]:
    env = {**os.environ, **tracked, **QUIET, "PYTHONPATH": str(project.folder)}
    words = [sys.executable, "-m", "orderdp", "track"]
    return subprocess.Popen(words, cwd=project.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
