"""A copy of the project at a tiny scale, trained once for all tests of the workflow."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "orderdp", "dvc.yaml", ".dvcignore")


class Project:
    """A folder with the project in it, and the commands that a user types there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command with this interpreter's environment first on the path and tracking off unless asked for."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "PYTHONPATH": str(self.folder), "ORDERDP_NO_TRACKING": "1", **environment}
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if check and done.returncode:
            raise AssertionError(f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done

    def snakemake(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """`snakemake ... --cores 2`."""
        return self.run("snakemake", *arguments, "--cores", "2", **options)

    def planned(self, *targets: str) -> tuple[set[str], set[str]]:
        """(jobs that would run, rules of Snakemake that would, beside those that run jobs)."""
        done = self.run("snakemake", *targets, "-n")
        output = done.stdout + done.stderr
        jobs = set(re.findall(r"^  (\S+-[0-9a-f]{12})$", output, re.M))
        rules = set(re.findall(r"^(?:local)?rule (\w+):", output, re.M)) - {"bundle", "runs", "all"}
        assert ("Nothing to be done" in output) == (not jobs and not rules), output[-2000:]
        return jobs, rules

    def copy(self, folder: Path) -> Project:
        """The project with all that it has made, in a folder of its own, free to change."""
        return Project(shutil.copytree(self.folder, folder / "project", symlinks=True))

    def params(self) -> dict[str, Any]:
        """The content of params.yaml."""
        return yaml.safe_load((self.folder / "params.yaml").read_text())

    def write_params(self, params: dict[str, Any]) -> None:
        """Replaces params.yaml."""
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True))


def tiny_params() -> dict[str, Any]:
    """The real parameters, with one experiment of five runs on a narrow network, and a table that is computed."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["workloads"]["digits-resnet8"] |= {"model_options": {"width": 8}}
    params["workloads"]["digits-resnet8"]["overrides"]["epochs"] = 2
    params["experiments"] = {
        "table2": {
            **params["experiments"]["table2"],
            "grid": [
                {"methods": ["full"]},
                {"methods": ["orderdp"], "prune_ratios": [0.5, 0.7]},
                {"methods": ["ucb"], "prune_ratios": [0.5]},
            ],
        },
        "table10": params["experiments"]["table10"],
    }
    for scale in params["scales"].values():
        scale["experiments"] = {}
    params["scales"]["quick"]["seeds"] = [0]
    return params


def copy_project(folder: Path) -> Project:
    """The project's own files in a new folder, with tiny parameters."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        ignore = shutil.ignore_patterns("__pycache__", "*.tmp")
        shutil.copytree(source, folder / part, ignore=ignore) if source.is_dir() else shutil.copy(source, folder / part)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc" / name)
    shutil.copy(ROOT / ".gitignore", folder / ".gitignore")
    project = Project(folder)
    project.write_params(tiny_params())
    return project


def lose_a_run(project: Project) -> str:
    """Removes the run of UCB; returns its name."""
    (folder,) = project.folder.glob("runs/*-ucb-*")
    shutil.rmtree(folder)
    return folder.name


def finished_in_mlflow(project: Project) -> int:
    """Finished runs in the store that are not deleted: one of each training and one of the report."""
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        return store.execute(
            "select count(*) from runs where lifecycle_stage = 'active' and status = 'FINISHED'"
        ).fetchone()[0]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that ran from end to end. Not to be changed: take `project`."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    project.snakemake()
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, free to change."""
    return finished.copy(tmp_path)
