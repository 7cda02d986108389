"""The workflow on a cluster, against a stand-in for SLURM's commands: what is submitted, what fails, what goes on."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from orderdp import grid as grids
from orderdp import resources
from tests.workflow.conftest import Project, copy_project, finished_in_mlflow

SLURM = Path(__file__).parent / "fakeslurm" / "slurm.py"
PATH_BEFORE = (
    "import os, sys; print(os.pathsep.join([sys.argv[1], os.path.dirname(sys.executable), os.environ['PATH']]))"
)


class Cluster:
    """A project whose `snakemake --profile profiles/slurm` meets the stand-in."""

    def __init__(self, project: Project, folder: Path) -> None:
        # Not a skip: the lock holds the plugin, so that CI always runs these.
        assert importlib.util.find_spec("snakemake_executor_plugin_slurm"), "needs the plugin: pip install '.[slurm]'"
        self.project, self.notes, commands = project, folder / "notes", folder / "bin"
        self.notes.mkdir()
        commands.mkdir()
        for name in ("sbatch", "sacct", "srun", "sinfo", "squeue", "scontrol", "sacctmgr", "sshare", "scancel"):
            (commands / name).symlink_to(SLURM)
        path = project.run("python", "-c", PATH_BEFORE, str(commands)).stdout.strip()
        self.environment = {"PATH": path, "FAKE_SLURM": str(self.notes)}

    def snakemake(self, *arguments, check=True, **environment):
        wait = ("--slurm-init-seconds-before-status-checks", "1")
        return self.project.run(
            "snakemake",
            *arguments,
            "--profile",
            "profiles/slurm",
            *wait,
            check=check,
            **self.environment,
            **environment,
        )

    def submitted(self) -> list[list[str]]:
        """The words of each call of sbatch so far."""
        calls = [json.loads(line) for line in (self.notes / "calls").read_text().splitlines()]
        return [call for call in calls if call[0] == "sbatch"]


@pytest.fixture
def cluster(project, tmp_path):
    return Cluster(project, tmp_path)


def lose_runs(project: Project) -> list[str]:
    """Removes all runs; returns their names."""
    folders = sorted(project.folder.glob("runs/*"))
    for folder in folders:
        shutil.rmtree(folder)
    return [folder.name for folder in folders]


def option(call: list[str], name: str) -> str:
    """Value of an option of sbatch, as `--name value`, `--name=value` or `-n value`."""
    for word, after in zip(call, [*call[1:], ""], strict=True):
        if word == name:
            return after
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    raise AssertionError(f"no {name} in {call}")


def test_short_runs_share_a_submission(cluster):
    project = cluster.project
    lost = lose_runs(project)
    cluster.snakemake(ORDERDP_NO_TRACKING="0")
    (call,) = cluster.submitted()
    cells = grids.load(project.folder / "params.yaml").cells
    assert sorted(cells) == lost
    # One after the other on one GPU: minutes add up, memory and processors do not.
    assert option(call, "--gpus") == "1"
    assert int(option(call, "-t")) == sum(resources.runtime(cell, 1) for cell in cells.values())
    assert int(option(call, "--mem")) == max(resources.mem_mb(cell, 1) for cell in cells.values())
    assert int(option(call, "--cpus-per-task")) == max(resources.cpus(cell) for cell in cells.values())
    inside = option(call, "--wrap")
    assert all(f"train:cell={cell}" in inside for cell in lost)
    assert "--no-hooks" in inside  # one tracker, beside the workflow; none in the jobs
    assert "--rerun-triggers mtime" in inside  # of profiles/default, which still holds
    assert project.planned() == (set(), set())
    assert finished_in_mlflow(project) == 5


def test_a_failing_run_is_told_asks_for_more_and_the_same_command_goes_on(tmp_path):
    project = copy_project(tmp_path / "project")
    params = project.params()
    params["experiments"]["table2"]["grid"] = [{"methods": ["full"]}, {"methods": ["ucb"], "prune_ratios": [0.5]}]
    project.write_params(params)
    project.snakemake("data")
    cluster = Cluster(project, tmp_path)
    lost = sorted(grids.load(project.folder / "params.yaml").cells)
    (broken,) = (cell for cell in lost if "-ucb-" in cell)
    checkpoint = project.folder / ".work" / broken / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"not a checkpoint")
    done = cluster.snakemake("runs", check=False)
    assert done.returncode == 1
    assert "Error in group brief" in done.stderr
    assert f"logs/train/{broken}.log" in done.stderr, done.stderr[-8000:]
    assert "Weights only load failed" in (project.folder / f"logs/train/{broken}.log").read_text()
    first, second = cluster.submitted()
    for option_of, words in ((option(first, "--wrap"), first), (option(second, "--wrap"), second)):
        assert all(f"train:cell={cell}" in option_of for cell in lost), words
    assert int(option(second, "-t")) == 2 * int(option(first, "-t"))
    assert int(option(second, "--mem")) > int(option(first, "--mem"))
    # Whether the other run came before the broken one, which ends the job, is Snakemake's choice; if it did, it stays.
    left = [cell for cell in lost if (project.folder / "runs" / cell / "summary.json").exists()]
    assert broken not in left
    checkpoint.unlink()
    cluster.snakemake("runs")
    (third,) = cluster.submitted()[2:]
    assert [f"train:cell={cell}" in option(third, "--wrap") for cell in lost] == [cell not in left for cell in lost]
    assert project.planned("runs") == (set(), set())
