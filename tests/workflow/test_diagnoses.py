"""Diagnoses in the workflow: made once, from weights that the runs kept, and again without training."""

from __future__ import annotations

import csv
import shutil

import pytest

from tests.workflow.conftest import Project, copy_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table11(tmp_path_factory) -> Project:
    """A project with Table 11 alone: two runs. Not to be changed: take `project`."""
    project = copy_project(tmp_path_factory.mktemp("diagnosed") / "project")
    params = project.params()
    params["experiments"] = {
        "table11": {
            "title": "Direction of the gradient", "reproduces": "Table 11",
            "workloads": ["cifar100-resnet18-diagnostics"],
            "diagnostics": ["gradients"], "grid": [{"methods": ["infobatch", "orderdp"], "prune_ratios": [0.7]}],
        }
    }  # fmt: skip
    params["scales"]["quick"]["record_at"] = [0.5, 1.0]
    project.write_params(params)
    project.snakemake()
    return project


@pytest.fixture
def project(table11, tmp_path) -> Project:
    return table11.copy(tmp_path)


def diagnoses(project) -> set[str]:
    return {path.name for path in project.folder.glob("runs/diagnosis-*")}


def test_each_run_is_measured_at_its_checkpoints(table11):
    assert len(diagnoses(table11)) == 2
    for name in diagnoses(table11):
        rows = list(csv.DictReader((table11.folder / "runs" / name / "diagnostics.csv").open()))
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert table11.planned() == (set(), set())
    assert "agree" in table11.run("python", "-m", "orderdp", "verify").stdout
    assert "Every run belongs" in table11.run("python", "-m", "orderdp", "gc").stdout


def test_another_way_to_measure_trains_nothing(project):
    with (project.folder / "orderdp/diagnostics/gradients.py").open("a") as file:
        file.write("\nANOTHER = 1\n")
    folders, rules = project.planned()
    assert len(folders) == 2 and all(folder.startswith("diagnosis-digits") for folder in folders)
    assert not folders & diagnoses(project)
    assert rules == {"artifact_table11", "page"}


def test_a_lost_diagnosis_is_made_again_from_the_kept_weights(project):
    lost = min(diagnoses(project))
    before = (project.folder / "runs" / lost / "diagnostics.csv").read_text()
    shutil.rmtree(project.folder / "runs" / lost)
    assert project.planned() == ({lost}, {"artifact_table11", "page"})
    project.snakemake("runs")
    assert (project.folder / "runs" / lost / "diagnostics.csv").read_text() == before


def test_verify_notices_other_measurements(project):
    path = project.folder / "runs" / min(diagnoses(project)) / "diagnostics.csv"
    path.write_text(path.read_text().replace("0.", "0.0", 1))
    done = project.run("python", "-m", "orderdp", "verify", check=False)
    assert done.returncode == 1
    assert "diagnostics.csv of the run diagnosis-digits" in done.stdout
