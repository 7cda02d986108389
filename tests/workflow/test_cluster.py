"""The workflow on a cluster, against a stand-in for SLURM's commands: what is submitted, what fails, what goes on."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path

import pytest

from orderdp import grid as grids
from tests.workflow.conftest import Project, copy_project, finished_in_mlflow

pytestmark = pytest.mark.slow

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
    jobs = grids.load(project.folder / "params.yaml").jobs
    assert sorted(jobs) == lost
    # One after the other on one GPU: seconds add up, memory and processors do not.
    resources = [job.resources() for job in jobs.values()]
    assert option(call, "--gpus") == "1"
    assert int(option(call, "-t")) == 5 + math.ceil(2 * sum(each.seconds for each in resources) / 60)
    assert int(option(call, "--mem")) == 1000 * math.ceil(max(each.memory_mb for each in resources) / 1000)
    assert int(option(call, "--cpus-per-task")) == max(each.cpus for each in resources)
    inside = option(call, "--wrap")
    assert inside.count("bundle:bundle=train-") == 1
    assert "--no-hooks" in inside  # one tracker, beside the workflow; none in the jobs
    assert "--rerun-triggers mtime" in inside  # of profiles/default, which still holds
    assert project.planned() == (set(), set())
    assert finished_in_mlflow(project) == 5


def test_a_failing_run_is_named_asks_for_more_and_the_same_command_goes_on(tmp_path):
    project = copy_project(tmp_path / "project")
    params = project.params()
    params["experiments"]["table2"]["grid"] = [{"methods": ["full"]}, {"methods": ["ucb"], "prune_ratios": [0.5]}]
    project.write_params(params)
    project.snakemake("data")
    cluster = Cluster(project, tmp_path)
    (broken,) = (name for name in grids.load(project.folder / "params.yaml").jobs if "-ucb-" in name)
    in_the_way = project.folder / ".work" / broken
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("a file where the run's folder must be")
    done = cluster.snakemake("runs", check=False)
    assert done.returncode == 1
    assert f"failed {broken}: " in done.stderr and f"logs/jobs/{broken}.log" in done.stderr, done.stderr[-8000:]
    assert "FileExistsError" in (project.folder / f"logs/jobs/{broken}.log").read_text()
    first, second = cluster.submitted()
    assert int(option(second, "-t")) == 2 * int(option(first, "-t"))
    assert int(option(second, "--mem")) > int(option(first, "--mem"))
    (finished,) = project.folder.glob("runs/*/summary.json")  # the other run of the bundle
    assert "-full-" in finished.parent.name
    in_the_way.unlink()
    before = finished.stat().st_mtime_ns
    cluster.snakemake("runs")
    assert len(cluster.submitted()) == 3
    assert finished.stat().st_mtime_ns == before
    assert project.planned("runs") == (set(), set())
