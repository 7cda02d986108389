"""How the workflow runs: beside another one, with the tracker, twice. On a cluster: `test_cluster.py`."""

from __future__ import annotations

import re
import resource
import shutil
import time

import pytest
from filelock import FileLock

from orderdp import grid as grids
from orderdp.reporting.paper import ITEMS
from tests.workflow.conftest import ROOT, copy_project, finished_in_mlflow, lose_a_run


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_second_snakemake_in_the_folder_is_refused(project):
    lose_a_run(project)
    with FileLock(project.folder / ".work/snakemake-quick.lock"):
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


@pytest.mark.parametrize(("scale", "runs"), [("cifar", 1000), ("paper", 1150)])
def test_a_graph_of_a_thousand_runs_is_built_in_seconds(tmp_path, scale, runs):
    """Of processor time, which other work on the machine does not change much. It has every table and figure of the
    paper."""
    project = copy_project(tmp_path / "project")
    shutil.copy(ROOT / "params.yaml", project.folder / "params.yaml")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = project.run("snakemake", "-n", "--quiet", "rules", "--config", f"scale={scale}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M))
    assert int(counts["bundle"]) >= len(grids.load(project.folder / "params.yaml", scale).runs) >= runs
    assert {f"artifact_{item.experiment}" for item in ITEMS} <= set(counts)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def test_a_bundle_that_is_not_planned_is_refused(finished):
    """Its name has the right form."""
    done = finished.run("snakemake", "-n", ".work/bundles/train-01234567.done", check=False)
    assert "There is no bundle 'train-01234567'" in done.stdout + done.stderr
