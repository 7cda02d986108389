"""What a run learned about single samples, as files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orderdp.__main__ import main
from orderdp.datasets import prepare
from orderdp.jobs import Execution
from orderdp.jobs.finished import finish
from orderdp.jobs.train import Train
from orderdp.trial.samples import joined, most_visited, suspects
from tests.training.conftest import spec


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with digits, a run that pruned and one that did not."""
    base = tmp_path_factory.mktemp("project")
    prepare("digits", base / "data/digits")
    execution = Execution(base / "data", base / "runs", base / ".work", device="cpu", threads=1)
    for method, options in (("orderdp", None), ("full", {})):
        Train(method, "0" * 12, spec(method, options), {}).run(execution)
    return base


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project)
    return project


def test_a_coreset_holds_the_samples_that_were_kept_most(here, tmp_path):
    assert main(["export", "orderdp", "--as", str(tmp_path / "a.npy")]) == 0
    kept, usage = np.load(tmp_path / "a.npy"), np.load(here / "runs/orderdp/selection.npz")["usage"]
    assert len(kept) == round(0.3 * len(usage)) and (np.diff(kept) > 0).all() and kept.dtype == np.int64
    others = np.setdiff1d(np.arange(len(usage)), kept)
    assert usage[kept].min() >= usage[others].max()
    assert main(["export", "runs/orderdp", "--as", str(tmp_path / "b.npy"), "--prune-ratio", "0.9"]) == 0
    assert len(np.load(tmp_path / "b.npy")) == round(0.1 * len(usage))


def test_of_equally_many_visits_the_harder_sample_comes_first():
    frame = pd.DataFrame({"sample": range(4), "visits": [2, 3, 2, 2], "mean_loss": [0.1, 0.2, 0.4, 0.3]})
    assert most_visited(frame, 2).tolist() == [1, 2]


@pytest.mark.parametrize(("suffix", "read"), [("parquet", pd.read_parquet), ("csv", pd.read_csv)])
def test_a_table_opens_in_pandas(here, tmp_path, suffix, read):
    assert main(["export", "orderdp", "--as", str(tmp_path / f"a.{suffix}")]) == 0
    frame = read(tmp_path / f"a.{suffix}")
    arrays = np.load(here / "runs/orderdp/samples.npz")
    assert list(frame) == ["sample", "visits", "mean_loss", "last_loss", "wrong", "forgotten", "last_answer", "label"]
    assert np.allclose(frame["mean_loss"], arrays["mean_loss"], equal_nan=True)
    assert np.array_equal(frame["label"], np.load(here / "data/digits/train_labels.npy"))


def test_a_page_of_the_hardest_and_the_easiest(here, tmp_path):
    assert main(["export", "full", "--as", str(tmp_path / "a.html")]) == 0
    page = (tmp_path / "a.html").read_text()
    assert page.count('<img src="data:image/png;base64,') == 96 and "Hardest" in page and "Easiest" in page


def test_a_picture_of_the_samples_kept_most_and_least(here, tmp_path):
    assert main(["export", "orderdp", "--as", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 500


def test_what_several_runs_noted_is_added_up(here, tmp_path):
    assert main(["export", "orderdp", "full", "--as", str(tmp_path / "a.csv")]) == 0
    usage = [np.load(here / "runs" / name / "selection.npz")["usage"] for name in ("orderdp", "full")]
    assert pd.read_csv(tmp_path / "a.csv")["visits"].tolist() == sum(usage).tolist()


def test_runs_on_different_data_are_not_added_up(here, tmp_path, capsys):
    shutil.copytree(here / "runs", tmp_path / "runs")
    path = tmp_path / "runs/other"
    (tmp_path / "runs/full").rename(path)
    summary, record = (json.loads((path / f"{name}.json").read_text()) for name in ("summary", "spec"))
    record["spec"]["dataset"]["name"] = "others"
    (path / "spec.json").write_text(json.dumps(record))
    finish(path, {key: value for key, value in summary.items() if key not in ("files", "seal")} | {"job": "other"})
    words = [str(tmp_path / "runs/orderdp"), str(path), "--as", str(tmp_path / "a.csv")]
    assert main(["export", *words]) == 2
    assert "trained on other data than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["orderdp", "--as", "a.txt"], r"--as: the ending must be one of \.npy \(a coreset\), .* Got 'a\.txt'"),
        (["nothing", "--as", "a.npy"], "runs/nothing is no finished training run"),
        (["full", "--as", "a.npy"], "Every sample was kept equally often"),
        (["full", "--as", "a.png"], "Every sample was kept equally often"),
        (["orderdp", "nothing", "--as", "a.csv"], "runs/nothing is no finished training run"),
        (["orderdp", "--as", "a.csv", "--prune-ratio", "0.5"], "--prune-ratio is of a coreset"),
    ],
)
def test_what_is_refused(here, capsys, words, message):
    assert main(["export", *words]) == 2
    said = capsys.readouterr().err
    assert pd.Series([said]).str.contains(message).all(), said
    assert not list(here.glob("a.*"))


def test_without_the_histories_it_says_what_makes_them(here, tmp_path, capsys):
    shutil.copytree(here / "runs", tmp_path / "runs")
    (tmp_path / "runs/orderdp/samples.npz").unlink()
    assert main(["export", str(tmp_path / "runs/orderdp"), "--as", str(tmp_path / "a.csv")]) == 2
    assert "samples.npz is missing" in capsys.readouterr().err


def history(visits, loss, answers):
    return pd.DataFrame(
        {
            "sample": range(3), "visits": visits, "mean_loss": loss, "wrong": [0, 1, 2], "forgotten": [0, 0, 1],
            "last_answer": answers,
        }
    )  # fmt: skip


def test_histories_of_several_seeds():
    one, other = history([2, 0, 1], [1.0, np.nan, 3.0], [0, -1, 2]), history([2, 3, 1], [2.0, 4.0, 5.0], [0, 1, 1])
    frame = joined([one, other])
    assert frame["visits"].tolist() == [4, 3, 2] and frame["mean_loss"].tolist() == [1.5, 4.0, 4.0]
    assert frame["wrong"].tolist() == [0, 2, 4] and frame["last_answer"].tolist() == [0, 1, 1]
    # No run that saw the second sample ended with its label 0; one of the runs gave the third one its label 2.
    assert suspects(frame, np.array([0, 0, 2]))["sample"].tolist() == [1]
