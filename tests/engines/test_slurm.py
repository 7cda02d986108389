"""`snakemake --profile profiles/slurm` on a real SLURM: what docs/clusters.md promises."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orderdp import grid as grids
from tests.engines.daemons import until
from tests.engines.slurm import Slurm, missing, slurm
from tests.faults.undisturbed import results
from tests.workflow.conftest import Project, copy_project

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no SLURM here: {', '.join(missing())}")
WORDS = ("snakemake", "--profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "1")
# The devices of this cluster are made up, and a job that was given one would say that it cannot use it.
NODE = ("--set-resources", "bundle:minutes=60", "bundle:mem_mb=3000", "bundle:gpu=0")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Slurm:
    with slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Project:
    """A finished project without a cluster: two trainings of 30 epochs, which take some seconds."""
    project = copy_project(tmp_path_factory.mktemp("engines") / "project")
    params = project.params()
    params["workloads"]["digits-resnet8"]["overrides"]["epochs"] = 30
    params["experiments"]["table2"]["grid"] = [{"methods": ["full"]}, {"methods": ["ucb"], "prune_ratios": [0.5]}]
    project.write_params(params)
    project.snakemake()
    return project


@pytest.fixture
def project(undisturbed, tmp_path) -> Project:
    """Its copy, without results."""
    copy = undisturbed.copy(tmp_path)
    for name in ("runs", "reports", ".work"):
        shutil.rmtree(copy.folder / name)
    return copy


class Call:
    """`snakemake --profile profiles/slurm`, at work."""

    def __init__(self, cluster: Slurm, project: Project, *options: str) -> None:
        self.log = project.folder.parent / f"call-{time.monotonic_ns()}.log"
        path = f"{Path(sys.executable).parent}{os.pathsep}{cluster.environment['PATH']}"
        env = {**os.environ, **cluster.environment, "PATH": path, "PYTHONPATH": str(project.folder)}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*WORDS, *(options or NODE)], cwd=project.folder, env=env | {"ORDERDP_NO_TRACKING": "1"},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def end(self) -> tuple[int, str]:
        """(exit status, what it said)."""
        status = self.process.wait(timeout=240)
        return status, self.log.read_text()


def epochs(project: Project) -> int:
    """Epochs of the trainings that go on."""
    found = 0
    for path in project.folder.glob(".work/*/status.json"):
        with open(path) as file:
            found += json.load(file)["epoch"]
    return found


def training(project: Project) -> None:
    until(lambda: epochs(project) > 2, "a training", 120)


def as_undisturbed(project: Project, undisturbed: Project) -> None:
    assert results(project.folder) == results(undisturbed.folder)
    assert project.planned() == (set(), set())
    assert not [name for name in os.listdir(project.folder / ".work") if name.startswith("digits")]


def test_all_is_made_and_the_accounting_knows_it(cluster, project, undisturbed):
    status, output = Call(cluster, project).end()
    assert status == 0, output[-6000:]
    assert cluster.ended()[-1] == "COMPLETED"
    as_undisturbed(project, undisturbed)


def test_a_cancelled_job_is_submitted_again_and_goes_on(cluster, project, undisturbed):
    call = Call(cluster, project)
    training(project)
    (job,) = cluster.jobs("RUNNING")
    cluster.call("scancel", job)
    status, output = call.end()
    assert status == 0, output[-6000:]
    assert "CANCELLED" in cluster.ended()
    as_undisturbed(project, undisturbed)


def test_on_a_drained_node_jobs_wait(cluster, project, undisturbed):
    cluster.node("drain")
    try:
        call = Call(cluster, project)
        until(lambda: cluster.jobs("PENDING"), "a waiting job", 90)
        time.sleep(5)
        assert not cluster.jobs("RUNNING") and call.process.poll() is None
    finally:
        cluster.node("resume")
    status, output = call.end()
    assert status == 0, output[-6000:]
    as_undisturbed(project, undisturbed)


def test_a_killed_snakemake_is_started_again_while_its_jobs_run(cluster, project, undisturbed):
    call = Call(cluster, project)
    training(project)
    call.process.send_signal(signal.SIGKILL)
    call.process.wait()
    assert cluster.jobs("RUNNING")
    status, output = Call(cluster, project).end()
    assert status == 0, output[-6000:]
    as_undisturbed(project, undisturbed)


def test_a_job_over_its_time_goes_on_in_the_next_submission(cluster, project, undisturbed):
    # SLURM's limits are whole minutes, so one run is made long enough: it waits for another trainer's lock.
    call = Call(cluster, project, *NODE, "bundle:runtime=1")
    training(project)
    for path in project.folder.glob(".work/digits*/status.json"):
        os.kill(json.loads(path.read_text())["pid"], signal.SIGSTOP)
    until(lambda: "TIMEOUT" in cluster.ended(), "the end of its time", 150)
    status, output = call.end()
    assert status == 0, output[-6000:]
    as_undisturbed(project, undisturbed)


def test_a_failing_run_is_named_and_the_others_finish(cluster, project, undisturbed):
    (broken,) = (name for name in grids.load(project.folder / "params.yaml").jobs if "-ucb-" in name)
    in_the_way = project.folder / ".work" / broken
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("a file where the run's folder must be")
    status, output = Call(cluster, project).end()
    assert status == 1 and f"failed {broken}: " in output, output[-6000:]
    assert len(list(project.folder.glob("runs/*/summary.json"))) == 1
    in_the_way.unlink()
    status, output = Call(cluster, project).end()
    assert status == 0, output[-6000:]
    as_undisturbed(project, undisturbed)
