"""How the workflow runs: on a cluster, beside another one, with the tracker, twice."""

from __future__ import annotations

import fcntl
import importlib.util
import shlex
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import Project

SLURM = Path(__file__).parent / "fakeslurm" / "slurm.py"
PATH_BEFORE = "import os, sys; print(os.pathsep.join([sys.argv[1], os.path.dirname(sys.executable), os.environ['PATH']]))"


def lose_a_run(project: Project) -> str:
    """Removes the run of UCB; returns its name."""
    (folder,) = project.folder.glob("runs/*-ucb-*")
    shutil.rmtree(folder)
    return folder.name


def test_slurm_gets_the_training_and_nothing_else(project, tmp_path):
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("needs snakemake-executor-plugin-slurm: pip install '.[slurm]'")
    commands, notes = tmp_path / "bin", tmp_path / "notes"
    commands.mkdir()
    notes.mkdir()
    for name in ("sbatch", "sacct", "srun", "sinfo", "squeue", "scontrol", "sacctmgr", "sshare", "scancel"):
        (commands / name).symlink_to(SLURM)
    lost = lose_a_run(project)
    path = project.run("python", "-c", PATH_BEFORE, str(commands)).stdout.strip()
    environment = {"PATH": path, "FAKE_SLURM": str(notes), "ORDERDP_NO_TRACKING": "0"}
    project.run("snakemake", "--profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "1", **environment)
    calls = [shlex.split(line) for line in (notes / "calls").read_text().splitlines()]
    submitted = [call for call in calls if call[0] == "sbatch"]
    assert len(submitted) == 1
    assert {"--gpus=1", "--mem"} <= set(submitted[0])
    (inside,) = [word for word in submitted[0] if word.startswith("--wrap=")]
    assert f"train:cell={lost}" in inside
    assert "--no-hooks" in inside  # one tracker, beside the workflow; none in the jobs
    assert "--rerun-triggers mtime" in inside  # of profiles/default, which still holds
    assert project.planned() == (set(), set())
    assert finished_in_mlflow(project) == 5


def finished_in_mlflow(project: Project) -> int:
    """Finished runs in the store that are not deleted: those of the cells and one for the report."""
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        return store.execute("select count(*) from runs where lifecycle_stage = 'active' and status = 'FINISHED'").fetchone()[0]


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
