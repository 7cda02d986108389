"""How the workflow runs: beside another one, with the tracker, twice. On a cluster: `test_cluster.py`."""

from __future__ import annotations

import fcntl
import re
import resource
import shutil
import time

import pytest

from orderdp.reporting.paper import ITEMS
from tests.workflow.conftest import ROOT, Project, copy_project, finished_in_mlflow


def lose_a_run(project: Project) -> str:
    """Removes the run of UCB; returns its name."""
    (folder,) = project.folder.glob("runs/*-ucb-*")
    shutil.rmtree(folder)
    return folder.name


def test_every_run_is_tracked_once(project):
    assert not (project.folder / "mlflow.db").exists()
    lose_a_run(project)
    project.snakemake(ORDERDP_NO_TRACKING="0")
    assert finished_in_mlflow(project) == 5
    assert "Nothing to be done" in project.snakemake(ORDERDP_NO_TRACKING="0").stderr
    assert finished_in_mlflow(project) == 5


def test_a_dry_run_starts_no_tracker(project):
    lose_a_run(project)
    project.run("snakemake", "-n", ORDERDP_NO_TRACKING="0")
    time.sleep(1)
    assert not (project.folder / "mlflow.db").exists()
    assert not list((project.folder / ".work").glob("track*"))


def test_a_second_snakemake_in_the_folder_is_refused(project):
    lose_a_run(project)
    with (project.folder / ".work/snakemake-quick.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = project.snakemake(check=False)
        assert done.returncode == 1
        assert "Another snakemake is at work on scale 'quick' in this folder" in done.stderr
        assert len(list(project.folder.glob("runs/*/summary.json"))) == 3
    project.snakemake()  # its owner gone, the lock is gone


def test_jobs_use_the_python_of_snakemake(project):
    """As with `.venv/bin/snakemake`, where the environment was not activated."""
    lose_a_run(project)
    snakemake = project.run("python", "-c", "import shutil; print(shutil.which('snakemake'))").stdout.strip()
    project.run(snakemake, "runs", "--cores", "1", PATH="/usr/bin:/bin")
    assert len(list(project.folder.glob("runs/*/summary.json"))) == 4


def test_an_unknown_run_cannot_be_asked_for(finished):
    done = finished.run("snakemake", "-n", "runs/digits-nothing/summary.json", check=False)
    assert "No rule to produce runs/digits-nothing/summary.json" in done.stdout


@pytest.mark.parametrize(("scale", "runs"), [("cifar", 1000), ("paper", 1150)])
def test_a_graph_of_a_thousand_runs_is_built_in_seconds(tmp_path, scale, runs):
    """Of processor time, which other work on the machine does not change much. It has every table and figure of the
    paper."""
    project = copy_project(tmp_path / "project")
    shutil.copy(ROOT / "params.yaml", project.folder / "params.yaml")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = project.run("snakemake", "-n", "--quiet", "rules", "--config", f"scale={scale}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert int(re.search(r"^train +(\d+)$", done.stdout + done.stderr, re.M).group(1)) >= runs
    assert {item.experiment for item in ITEMS} <= set(
        re.findall(r"^artifact_(\w+) +1$", done.stdout + done.stderr, re.M)
    )
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def test_a_run_of_another_grid_cannot_be_asked_for(finished):
    """Its name has the right form, so that it is the grid that refuses it."""
    done = finished.run("snakemake", "-n", "runs/digits-x-s0-0123456789ab/summary.json", check=False)
    assert "'digits-x-s0-0123456789ab' is not in the grid of scale 'quick'" in done.stdout + done.stderr
