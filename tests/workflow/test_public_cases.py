"""Losses that people reported in public of Snakemake and DVC, tried on a tiny project. Each test names the report."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from tests.workflow.conftest import ROOT, Project, lose_a_run

pytestmark = pytest.mark.slow


def checksums(project: Project) -> dict[str, str]:
    """File of a run -> checksum."""
    paths = [path for path in sorted(project.folder.glob("runs/*/*")) if path.is_file()]
    return {str(path.relative_to(project.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def marker(project: Project, kind: str, output: str) -> None:
    """Leaves a file in which Snakemake keeps what it knows of an output, as a crash leaves it."""
    folder = project.folder / ".snakemake" / kind
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath(base64.b64encode(output.encode()).decode()).write_text('{"external_jobid": null}74"}')


def test_what_a_failed_job_keeps_is_not_taken_for_finished(project):
    """snakemake#3808: with `--keep-incomplete`, the files of a failed job counted as complete in the next call."""
    name = lose_a_run(project)
    images = project.folder / "data/digits/train_images.npy"
    whole = images.read_bytes()
    images.write_bytes(whole[:-10])
    assert project.snakemake("--keep-incomplete", check=False).returncode == 1
    images.write_bytes(whole)
    assert name in project.planned()[0]
    project.snakemake()
    assert project.planned() == (set(), set())


def test_marks_of_a_crash_stop_nothing_and_lose_nothing(project):
    """snakemake#1318, #828, #1497 and LightconeResearch/lightcone-cli#214: after a killed job, every call ended with
    IncompleteFilesException until files in `.snakemake` were removed by hand. snakemake#358 and #1342: half a file of
    JSON there ended it with a JSONDecodeError."""
    before = checksums(project)
    lost = lose_a_run(project)
    outputs = [f"runs/{lost}/summary.json", *list(before)[:3], "reports/quick/tables/table2.csv", "data/digits"]
    for output in outputs:
        marker(project, "incomplete", output)
        marker(project, "metadata", output)
    project.snakemake()
    assert project.planned() == (set(), set())
    after = checksums(project)
    assert after.keys() == before.keys()
    assert {path: after[path] for path in before if lost not in path} == {
        path: checksum for path, checksum in before.items() if lost not in path
    }


def test_parameters_outlive_a_killed_snakemake_and_every_command(project):
    """snakemake#748: the configuration was empty after two workflows in a folder and a forced end."""
    names = ("params.yaml", "Snakefile", "dvc.yaml")
    before = [(project.folder / name).read_bytes() for name in names]
    lose_a_run(project)
    for words in (("plan",), ("report",), ("track",), ("verify",), ("gc", "--delete")):
        project.run("python", "-m", "orderdp", *words, check=False)
    project.snakemake(ORDERDP_NO_TRACKING="0")
    assert [(project.folder / name).read_bytes() for name in names] == before


def test_of_a_remote_that_lost_a_file_everything_else_is_pulled(project, tmp_path):
    """dvc#3596, #1969 and #1476: a file that the remote had lost leaves the clone without any data. `docs/workflow.md`
    says how the other runs are pulled, and Snakemake makes the one that lacks a file."""

    def git(folder: Project, *words: str) -> None:
        folder.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words)

    git(project, "init", "-q", "-b", "main")
    project.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    project.run("dvc", "commit", "-f")
    project.run("dvc", "push")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "all")
    (run,) = project.folder.glob("runs/*-ucb-*")
    number = hashlib.md5((run / "history.csv").read_bytes()).hexdigest()
    (tmp_path / "store/files/md5" / number[:2] / number[2:]).unlink()
    clone = Project(tmp_path / "clone")
    project.run("git", "clone", "-q", str(project.folder), str(clone.folder))
    assert clone.run("dvc", "pull", check=False).returncode and not (clone.folder / "runs").exists()
    page = (ROOT / "docs/workflow.md").read_text()
    loop, remove, make = re.findall(r"```bash\n(for run in .*)\n(.*)\n(.*)\n```", page)[0]
    clone.run("bash", "-c", loop, check=False)  # of the last run, it says what is missing
    before = checksums(clone)
    assert len({path.split("/")[1] for path in before}) == 4 and f"runs/{run.name}/history.csv" not in before
    said = clone.run("python", "-m", "orderdp", "verify", check=False)
    assert said.returncode == 1 and run.name in said.stdout + said.stderr
    clone.run(*remove.split())
    assert clone.planned()[0] == {run.name}
    clone.run(*make.split())
    after = checksums(clone)
    assert {path: after[path] for path in before if run.name not in path} == {
        path: checksum for path, checksum in before.items() if run.name not in path
    }
