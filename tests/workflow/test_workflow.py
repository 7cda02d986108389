"""What runs, what reruns and what does not: the workflow itself at a tiny scale."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.workflow.conftest import ROOT, Project, copy_project


def names(project: Project) -> list[str]:
    return sorted(path.parent.name for path in project.folder.glob("runs/*/summary.json"))


def test_end_to_end(finished):
    runs = [json.loads(path.read_text()) for path in finished.folder.glob("runs/*/summary.json")]
    assert len(runs) == 4
    assert {run["status"] for run in runs} == {"finished"}
    assert (finished.folder / "reports/quick/index.html").stat().st_size > 5000
    assert not any((finished.folder / ".work").glob("*/checkpoint.pt"))


def test_a_second_run_does_nothing(finished):
    assert finished.planned() == (set(), set())
    assert "Nothing to be done" in finished.snakemake().stderr


def test_a_new_seed_trains_that_seed_only(project):
    params = project.params()
    params["scales"]["quick"]["seeds"] = [0, 1]
    project.write_params(params)
    jobs, rules = project.planned()
    assert len(jobs) == 4
    assert all("-s1-" in job for job in jobs)
    assert rules == {"artifact_table2", "page"}
    params["scales"]["quick"]["seeds"] = [0]
    project.write_params(params)
    assert project.planned() == (set(), set())


def test_a_new_ratio_trains_its_runs_only(project):
    params = project.params()
    params["experiments"]["table2"]["grid"][1]["prune_ratios"] = [0.5, 0.7, 0.9]
    project.write_params(params)
    jobs, _ = project.planned()
    assert [job.split("-p")[1][:2] for job in jobs] == ["90"]


def test_a_hyper_parameter_of_one_method_retrains_that_method(project):
    params = project.params()
    params["methods"]["ucb"]["options"]["variance_weight"] = 2.0
    project.write_params(params)
    jobs, rules = project.planned()
    assert len(jobs) == 1
    assert "-ucb-" in jobs.pop()
    assert rules == {"artifact_table2", "page"}
    why = project.run("python", "-m", "orderdp", "plan").stdout
    assert "method.options.variance_weight 1.0 -> 2.0" in why


@pytest.mark.parametrize(
    ("file", "methods"),
    [
        ("pruning/ucb.py", {"ucb"}),
        ("training/optim.py", {"full", "orderdp", "ucb"}),
        ("models/resnet.py", set()),
        ("planning/plan.py", set()),
    ],
)
def test_editing_a_source_retrains_what_it_decides(project, file, methods):
    path = project.folder / "orderdp" / file
    before = path.read_bytes()
    path.write_bytes(before + b"\nEDITED = True\n")
    jobs, _ = project.planned()
    assert {job.split("-")[2] for job in jobs} == methods
    path.write_bytes(before)
    assert project.planned() == (set(), set())


def test_editing_reports_retrains_nothing(project):
    path = project.folder / "orderdp/reporting/items/table02.py"
    path.write_text(path.read_text() + "\n# edited\n")
    jobs, rules = project.planned()
    assert jobs == set()
    assert rules == {"artifact_table2", "artifact_table10", "page"}


def test_an_experiment_of_ones_own_trains_without_a_table(project):
    """On a workload that this scale alone has, with no entry in the report's registry and no caption."""
    params = project.params()
    params["workloads"]["mine"] = params["workloads"]["digits-resnet8"]
    params["scales"]["quick"]["substitutes"]["mine"] = "mine"
    grid = [{"methods": ["random"], "prune_ratios": [0.5]}]
    params["experiments"]["mine"] = {"title": "Mine", "reproduces": "Mine", "workloads": ["mine"], "grid": grid}
    project.write_params(params)
    project.snakemake()
    assert project.planned() == (set(), set())
    assert "no table or figure is made of them" in project.run("python", "-m", "orderdp", "plan").stdout
    assert "Reports and runs agree" in project.run("python", "-m", "orderdp", "verify").stdout
    assert len([job for job in names(project) if "-random-" in job]) == 1


def test_lost_runs_are_trained_again_and_their_tables_remade(project):
    """Though the tables are there, as they are in a fresh clone: they were made from other runs."""
    shutil.rmtree(project.folder / "runs" / names(project)[0])
    jobs, rules = project.planned()
    assert len(jobs) == 1
    assert rules == {"artifact_table2", "page"}


def test_a_copy_with_other_file_times_has_nothing_to_do(project):
    shutil.rmtree(project.folder / ".snakemake")
    files = [
        path
        for part in ("data", "runs", "reports", "orderdp")
        for path in (project.folder / part).rglob("*")
        if path.is_file()
    ]
    for seed in range(2):
        random.Random(seed).shuffle(files)
        for age, path in enumerate(files):
            os.utime(path, (1.6e9 + 100 * age, 1.6e9 + 100 * age))
        assert project.planned() == (set(), set())


@pytest.mark.slow
@pytest.mark.parametrize("ahead_s", [20 * 60, -20 * 60, 400 * 86400])
def test_no_training_is_lost_to_a_date(project, ahead_s):
    """snakemake#3254 and #3261: with inputs dated ahead of the clock, each training was finished and then deleted."""
    lost = project.folder / "runs" / names(project)[0]
    shutil.rmtree(lost)
    date = time.time() + ahead_s
    for path in project.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path, (date, date))
    project.snakemake()
    assert lost.joinpath("summary.json").exists() and project.planned() == (set(), set())
    assert project.run("python", "-m", "orderdp", "verify").returncode == 0


@pytest.mark.slow
def test_clone_and_pull_has_nothing_to_do_and_experiments_train_what_changed(project, tmp_path):
    def git(folder, *arguments):
        Project(folder).run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments)

    git(project.folder, "init", "-q", "-b", "main")
    project.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    git(project.folder, "add", "-A")
    git(project.folder, "commit", "-qm", "params")
    before = names(project)
    project.run("dvc", "repro")
    assert names(project) == before
    again = project.run("dvc", "repro").stdout
    assert again.count("didn't change, skipping") == 3
    git(project.folder, "add", "-A")
    git(project.folder, "commit", "-qm", "runs")
    project.run("dvc", "push")
    clone = Project(tmp_path / "clone")
    project.run("git", "clone", "-q", str(project.folder), str(clone.folder))
    clone.run("dvc", "pull")
    assert clone.planned() == (set(), set())
    clone.run("git", "config", "user.name", "t")
    clone.run("git", "config", "user.email", "t@example.org")
    clone.run("dvc", "exp", "run", "-S", "scales.quick.seeds=[0,7]")
    assert len(set(names(clone)) - set(before)) == 4
    assert all("-s7-" in name for name in set(names(clone)) - set(before))


@pytest.mark.slow
def test_kill_9_of_snakemake_then_the_same_command(tmp_path):
    project = copy_project(tmp_path / "project")
    params = project.params()
    params["workloads"]["digits-resnet8"]["overrides"]["epochs"] = 40
    project.write_params(params)
    path = f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"
    first = subprocess.Popen(
        ["snakemake", "runs", "--cores", "2"], cwd=project.folder, start_new_session=True, stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(project.folder), "ORDERDP_NO_TRACKING": "1"},
    )  # fmt: skip
    for _ in range(600):
        if any(project.folder.glob(".work/*/status.json")):
            break
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)  # its trainers live on as orphans
    first.wait()
    project.snakemake("runs")
    assert len(names(project)) == 4
    assert project.planned("runs") == (set(), set())


@pytest.mark.slow
def test_waiting_jobs_run_as_planned_when_the_parameters_are_edited(tmp_path):
    """snakemake#268: the jobs that waited failed, because they were not in the edited grid."""
    project = copy_project(tmp_path / "project")
    project.snakemake("data")
    params = project.params()
    params["workloads"]["digits-resnet8"]["overrides"]["epochs"] = 30
    project.write_params(params)
    environment = {"PYTHONPATH": str(project.folder), "ORDERDP_NO_TRACKING": "1"}
    path = f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"
    running = subprocess.Popen(
        ["snakemake", "runs", "--cores", "1"], cwd=project.folder, stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": path, **environment},
    )  # fmt: skip
    for _ in range(600):
        if any(project.folder.glob(".work/*/status.json")):
            break
        time.sleep(0.1)
    params["workloads"]["digits-resnet8"]["overrides"]["epochs"] = 31
    project.write_params(params)
    assert running.wait() == 0
    assert len(names(project)) == 4 and all("-e30-" in name for name in names(project))


@pytest.mark.slow
def test_a_diverging_run_is_recorded_and_the_rest_goes_on(project):
    params = project.params()
    params["workloads"]["digits-resnet8"]["overrides"]["schedule"] = {"max_lr": 1e30}
    project.write_params(params)
    project.snakemake()
    status = [json.loads(path.read_text())["status"] for path in project.folder.glob("runs/*/summary.json")]
    assert status.count("diverged") == 4
    assert "diverged" in (project.folder / "reports/quick/index.html").read_text()


def test_a_damaged_data_file_is_refused_by_name(project):
    path = project.folder / "data/digits/train_images.npy"
    path.write_bytes(path.read_bytes()[:-10])
    shutil.rmtree(project.folder / "runs" / names(project)[0])
    done = project.snakemake("runs", check=False)
    assert done.returncode != 0
    assert "train_images.npy is damaged" in done.stdout + done.stderr


def test_a_job_that_is_not_in_the_grid_is_refused(finished):
    done = finished.run("python", "-m", "orderdp", "run", "digits-nothing-000", check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is not in the grid" in done.stderr


def test_config_takes_only_the_scale(finished):
    done = finished.run("snakemake", "-n", "--config", "seeds=3", check=False)
    assert "--config takes only 'scale'" in done.stdout + done.stderr
    done = finished.run("snakemake", "-n", "--config", "scale=huge", check=False)
    assert "unknown scale 'huge'. Known: quick, fashion, small, gpu, cifar" in done.stdout + done.stderr


def test_gc_lists_then_removes_what_no_grid_asks_for(project):
    stray = project.folder / "runs/digits-old-000000000000"
    stray.mkdir()
    (stray / "spec.json").write_text("{}")
    assert "digits-old" in project.run("python", "-m", "orderdp", "gc").stdout
    assert stray.exists()
    project.run("python", "-m", "orderdp", "gc", "--delete")
    assert not stray.exists()
    assert len(names(project)) == 4


def test_verify_notices_a_changed_run(project):
    assert project.run("python", "-m", "orderdp", "verify").returncode == 0
    path = next(project.folder.glob("runs/*/summary.json"))
    path.write_text(path.read_text() + "\n")
    done = project.run("python", "-m", "orderdp", "verify", check=False)
    assert done.returncode == 1
    assert path.parent.name in done.stdout


def test_selection_files_hold_every_checkpoint(finished):
    for path in finished.folder.glob("runs/*/selection.npz"):
        stored = np.load(path)
        assert stored["recorded_epochs"].tolist() == [1, 2]


def test_runs_without_their_data_stay_when_a_seed_is_added(project):
    """As after pulling `runs/` alone: the data is made again, and only the new seed trains."""
    shutil.rmtree(project.folder / "data")
    assert project.planned() == (set(), set())
    params = project.params()
    params["scales"]["quick"]["seeds"] = [0, 1]
    project.write_params(params)
    jobs, rules = project.planned()
    assert all("-s1-" in job for job in jobs)
    assert rules == {"prepare", "artifact_table2", "page"}


@pytest.mark.slow
def test_a_study_runs_once_and_again_when_its_numbers_change(project):
    params = project.params()
    params["experiments"]["theory"] = yaml.safe_load((ROOT / "params.yaml").read_text())["experiments"]["theory"]
    params["experiments"]["theory"]["job"] |= {"draws": 100, "warm_steps": 10, "steps": [10, 20], "seeds": [0, 1, 2]}
    project.write_params(params)
    project.snakemake()
    (study,) = project.folder.glob("runs/theory-digits-*")
    assert {path.name for path in study.iterdir()} == {
        "spec.json", "summary.json", "unbiasedness.csv", "convergence.csv", "generalization.csv",
    }  # fmt: skip
    assert project.planned() == (set(), set())
    params["experiments"]["theory"]["job"]["draws"] = 200
    project.write_params(params)
    jobs, rules = project.planned()
    assert len(jobs) == 1 and all(job.startswith("theory-digits-") for job in jobs)
    assert rules == {"artifact_theory", "page"}
    assert study.name in project.run("python", "-m", "orderdp", "gc").stdout


def test_a_computed_table_is_made_again_when_its_settings_change(project):
    params = project.params()
    params["experiments"]["table10"]["settings"]["gradients"] = [1, 2, 3, 4, 6]
    project.write_params(params)
    assert project.planned() == (set(), {"artifact_table10", "page"})


def test_claims_open_the_page_and_are_a_metric(finished):
    report = finished.folder / "reports/quick"
    page, claims = (report / "index.html").read_text(), json.loads((report / "claims.json").read_text())
    assert page.index('<section id="claims">') < page.index('<section id="headline">')
    assert sum(claims["counts"].values()) == len(claims["claims"]) > 60
    assert claims["claims"]["toy-orderdp"] == {"verdict": "contradicted", "value": 4.26}
    assert claims["claims"]["jaccard-40"]["verdict"] == "not run"
    assert "reports/${scale}/claims.json" in (finished.folder / "dvc.yaml").read_text()


def test_short_runs_share_a_process_and_each_has_its_log(finished):
    (bundle,) = finished.folder.glob("logs/bundles/train-*.log")
    lines = bundle.read_text().splitlines()
    assert sorted(line.removeprefix("finished ") for line in lines) == names(finished)
    assert {path.stem for path in finished.folder.glob("logs/jobs/*.log")} == set(names(finished))
    assert not list(finished.folder.glob(".work/bundles/*.done"))
