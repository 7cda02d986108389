"""Static selection in the workflow: proxy, coresets, runs, table, each in its turn and once."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.workflow.conftest import Project, copy_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table1(tmp_path_factory) -> Project:
    """A project with Table 1 alone: five runs. Not to be changed: take `project`."""
    project = copy_project(tmp_path_factory.mktemp("static") / "project")
    params = project.params()
    params["experiments"] = {
        "table1": {
            "title": "Static pruning methods", "reproduces": "Table 1", "workloads": ["cifar10-resnet18"],
            "grid": [{"methods": ["full"]},
            {"methods": ["herding", "glister", "craig", "orderdp"], "prune_ratios": [0.5]}],
        }
    }  # fmt: skip
    protocol = {"overrides": {"epochs": 2}, "models": 1, "early_epochs": [1], "deepfool": {"iterations": 2}}
    params["scales"]["quick"] |= {"coresets": {"proxy": protocol}, "early_epochs": {}}
    project.write_params(params)
    project.snakemake()
    return project


@pytest.fixture
def project(table1, tmp_path) -> Project:
    return table1.copy(tmp_path)


def folder(project, kind):
    (found,) = project.folder.glob(f"runs/{kind}-*")
    return found


def test_runs_train_on_what_was_chosen(table1):
    coresets = np.load(folder(table1, "coresets") / "coresets.npz")
    for run in table1.folder.glob("runs/digits-*-static-*"):
        spec = json.loads((run / "spec.json").read_text())["spec"]
        name = next(
            key
            for key in coresets
            if key.startswith(f"{spec['coreset']['method']}-p50-s0-") and not key.endswith(".weights")
        )
        usage = np.load(run / "selection.npz")["usage"]
        assert usage.sum() == 2 * len(coresets[name]) == 2 * round(0.5 * len(usage))
        assert (usage[coresets[name]] == 2).all()
    assert sum(key.endswith(".weights") for key in coresets) == 1  # CRAIG's
    held_out = np.load(folder(table1, "proxy") / "proxy_outputs.npz")["split_held_out"]
    glister = next(key for key in coresets if key.startswith("glister"))
    assert not np.isin(coresets[glister], held_out).any()


def test_nothing_is_left_to_do_to_verify_or_to_collect(table1):
    assert table1.planned() == (set(), set())
    assert "agree" in table1.run("python", "-m", "orderdp", "verify").stdout
    assert "Every run belongs" in table1.run("python", "-m", "orderdp", "gc").stdout
    assert "5 finished, 0 to train" in table1.run("python", "-m", "orderdp", "plan").stdout
    assert "CRAIG" in (table1.folder / "reports/quick/index.html").read_text()


def test_another_method_chooses_again_and_trains_that_method_only(project):
    params = project.params()
    params["experiments"]["table1"]["grid"][1]["methods"].append("margin")
    project.write_params(params)
    jobs, rules = project.planned()
    assert [job.split("-static-")[1][:6] for job in jobs if "static" in job] == ["margin"]
    assert {job.split("-")[0] for job in jobs} == {"coresets", "digits"}
    assert rules == {"artifact_table1", "page"}


def test_a_changed_protocol_trains_proxy_and_static_runs(project):
    params = project.params()
    params["coresets"]["proxy"]["validation"] = 0.2
    project.write_params(params)
    jobs, rules = project.planned()
    assert len([job for job in jobs if "-static-" in job]) == 3
    assert {job.split("-")[0] for job in jobs} == {"proxy", "coresets", "digits"}
    assert not any("-full-" in job or "-orderdp-" in job for job in jobs)
    assert rules == {"artifact_table1", "page"}


def test_lost_outputs_of_a_proxy_are_not_missed_until_something_is_to_be_chosen(project):
    shutil.rmtree(folder(project, "proxy"))
    assert project.planned() == (set(), set())
    shutil.rmtree(folder(project, "coresets"))
    jobs, rules = project.planned()
    assert {job.split("-")[0] for job in jobs} == {"proxy", "coresets"}
    assert rules == {"artifact_table1", "page"}


def test_verify_notices_other_coresets(project):
    path = folder(project, "coresets") / "costs.csv"
    path.write_text(path.read_text().replace("herding", "hrding"))
    done = project.run("python", "-m", "orderdp", "verify", check=False)
    assert done.returncode == 1
    assert "costs.csv of the run coresets-digits" in done.stdout


def test_every_job_is_listed_with_its_state_and_its_reason(project):
    lost = folder(project, "coresets")
    shutil.rmtree(lost)
    listed = dict(
        line.split("  ", 1) for line in project.run("python", "-m", "orderdp", "plan", "--jobs").stdout.splitlines()
    )
    assert {name.split("-")[0] for name in listed} == {"proxy", "coresets", "digits"}
    assert listed.pop(lost.name) != "finished"
    assert set(listed.values()) == {"finished"}


def test_a_runs_usage_becomes_a_coreset(table1, tmp_path):
    (run,) = table1.folder.glob("runs/*-orderdp-*")
    table1.run(
        "python",
        "-m",
        "orderdp",
        "coreset",
        "--from-run",
        str(run),
        "--prune-ratio",
        "0.7",
        "--out",
        str(tmp_path / "kept.npy"),
    )
    kept, usage = np.load(tmp_path / "kept.npy"), np.load(run / "selection.npz")["usage"]
    assert len(kept) == round(0.3 * len(usage)) == len(set(kept.tolist()))
    assert usage[kept].min() >= np.delete(usage, kept).max()
