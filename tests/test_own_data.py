"""One's own data in the workflow, without Python: added by a command, described in params.yaml, trained on."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from orderdp import grid as grids
from orderdp.__main__ import main
from orderdp.jobs.costs import facts
from tests.datasets.test_own import folders

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with parameters and a data set of three classes beside it."""
    (tmp_path / "project").mkdir()
    shutil.copy(ROOT / "params.yaml", tmp_path / "project")
    folders(tmp_path / "pets", count=24)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def add(project, name="pets", path="pets", *more):
    return main(["dataset", "add", name, str(project / path), *more])


def use(name):
    """Table 7 trains on the data set at the quick scale."""
    path = Path("params.yaml")
    workload = f"workloads:\n  mine: {{dataset: {name}, model: resnet8, model_options: {{width: 8}}, recipe: digits}}\n"
    text = path.read_text().replace("workloads:\n", workload, 1)
    path.write_text(re.sub(r"(?m)^(      cifar10-resnet50-adamw): .*$", r"\1: mine", text, count=1))


def test_a_data_set_is_added_planned_trained_and_prepared_again(project, capsys):
    before = Path("params.yaml").read_text()
    assert add(project) == 0
    said = capsys.readouterr().err
    assert "folders of images, train and test: 3 classes" in said and "described under 'datasets'" in said
    after = Path("params.yaml").read_text()
    added = re.search(r"(?m)^  pets:\n(    .*\n)+", after)[0]
    assert after.replace(added, "") == before  # comments and all
    described = yaml.safe_load(after)["datasets"]["pets"]
    assert described["classes"] == ["cat", "dog", "owl"] and described["path"] == str(project / "pets")
    use("pets")
    grid = grids.load("params.yaml", "quick")
    run = next(
        run for run in grid.runs.values() if run.spec.dataset.name == "pets" and run.spec.method.name == "orderdp"
    )
    assert facts(run.spec.dataset)["n_train"] == 72
    assert not any("DATASETS" in source for source in run.sources) and "orderdp.datasets.own" in str(run.sources)
    assert main(["run", run.name, "--scale", "quick", "--device", "cpu"]) == 0
    summary = json.loads(Path("runs", run.name, "summary.json").read_text())
    assert summary["n"] == 72 and summary["classes"] == 3
    shutil.rmtree("data/pets")
    assert main(["prepare", "--dataset", "pets"]) == 0
    shutil.rmtree(Path("runs", run.name))
    assert main(["run", run.name, "--scale", "quick", "--device", "cpu"]) == 0
    again = json.loads(Path("runs", run.name, "summary.json").read_text())
    assert again["test_accuracy"] == summary["test_accuracy"] and again["train_loss"] == summary["train_loss"]


def test_other_files_are_another_data_set(project):
    add(project)
    use("pets")
    names = {run.name for run in grids.load("params.yaml", "quick").runs.values() if run.spec.dataset.name == "pets"}
    (project / "pets/train/cat/0.png").unlink()
    assert main(["prepare", "--dataset", "pets"]) == 2
    before = Path("params.yaml").read_text()
    assert add(project, "pets", "pets", "--replace") == 0
    after = Path("params.yaml").read_text().splitlines()
    different = [pair for pair in zip(before.splitlines(), after, strict=True) if pair[0] != pair[1]]
    assert {line.split(":")[0].strip() for pair in different for line in pair} <= {"n_train", "mean", "std", "digest"}
    other = {run.name for run in grids.load("params.yaml", "quick").runs.values() if run.spec.dataset.name == "pets"}
    assert len(other) == len(names) > 0 and not names & other


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("digits", "pets", "There is a data set 'digits' already"),
        ("pets", "nothing", "is not there. Name the folder"),
        ("p/../ets", "pets", "datasets.p/../ets"),
    ],
)
def test_what_cannot_be_added_leaves_everything_as_it_was(project, capsys, name, path, message):
    before = Path("params.yaml").read_bytes()
    assert add(project, name, path) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
    assert Path("params.yaml").read_bytes() == before and not Path("data").exists()


def test_a_name_is_given_once_and_a_second_data_set_stands_beside_the_first(project, capsys):
    assert add(project) == 0 and add(project) == 2
    assert "There is a data set 'pets' already" in capsys.readouterr().err
    assert add(project, "small", "pets", "--size", "8") == 0
    own = grids.load("params.yaml", "quick").own
    assert (own["pets"].shape, own["small"].shape) == ((3, 12, 12), (3, 8, 8))


def test_a_share_out_of_range_is_refused(project, capsys):
    with pytest.raises(SystemExit):
        add(project, "pets", "pets", "--holdout", "0.7")
    assert "must be a number in (0, 0.5]. Got '0.7'" in capsys.readouterr().err
