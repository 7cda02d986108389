"""A trial from the command line to the page, in a temporary folder: resumable, cached, and true where pruning cannot
work."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orderdp import grid as grids
from orderdp.trial import project
from tests.datasets.test_own import folders

ROOT = Path(__file__).parents[2]
SHORT = ("--epochs", "1", "--ratios", "0.5", "--seeds", "3", "--budget", "none", "--device", "cpu")


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orderdp", "try", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def called(folder: Path, *words: str, code: int = 0) -> str:
    process = started(folder, *words)
    said = process.communicate(timeout=500)[0]
    assert process.returncode == code, said
    return said


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """A finished trial on folders of images of three colours."""
    base = tmp_path_factory.mktemp("pets")
    folders(base / "Pets 2", count=40)
    return base, called(base, "Pets 2", *SHORT)


@pytest.mark.slow
def test_a_trial_ends_with_a_page(pets):
    base, said = pets
    assert "folders of images, train and test: 3 classes" in said and "network: a ResNet of eight layers" in said
    assert "15 of 15 runs" in said and "This takes about" in said
    page = (base / "try-pets_2/reports/trial/index.html").read_text()
    assert "The page: try-pets_2/reports/trial/index.html" in said
    for words in ("OrderDP, 50\u00a0% pruned", "Full data, as many steps", "Suspected labels", "test_of_nothing"):
        assert (words in page) == (words != "test_of_nothing"), words
    results = pd.read_csv(base / "try-pets_2/reports/trial/results.csv")
    assert len(results) == 15 and set(results["method"]) == set(project.METHODS)
    sentence = said.split("runs\n\n")[1].splitlines()[0]
    assert sentence.replace(" %", "\u00a0%") in page


@pytest.mark.slow
def test_the_same_trial_trains_nothing_twice_and_more_seeds_join_the_old_ones(pets):
    base, _ = pets
    runs = base / "try-pets_2/runs"
    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/summary.json")}
    assert "has this trial already, and goes on with it" in called(base, "Pets 2", *SHORT)
    assert {path: path.stat().st_mtime_ns for path in runs.glob("*/summary.json")} == before
    more = ["4" if word == "3" else word for word in SHORT]
    called(base, "Pets 2", *more)
    after = {path: path.stat().st_mtime_ns for path in runs.glob("*/summary.json")}
    assert len(after) == 20 and before.items() <= after.items()


@pytest.mark.slow
def test_after_kill_9_the_same_command_goes_on(tmp_path):
    folders(tmp_path / "pets", count=40)
    words = ("pets", *SHORT, "--epochs", "60")
    process = started(tmp_path, *words)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("try-pets/.work/*/status.json")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    said = called(tmp_path, *words)
    assert "goes on with it" in said and "15 of 15 runs" in said
    assert (tmp_path / "try-pets/reports/trial/index.html").exists()


@pytest.mark.slow
def test_nothing_is_pruned_where_labels_are_random(tmp_path):
    draw = np.random.default_rng(0)
    arrays = {"train_images": draw.integers(0, 256, (300, 8, 8), np.uint8), "train_labels": draw.integers(0, 4, 300)}
    np.savez(tmp_path / "noise.npz", **arrays)
    said = called(tmp_path, "noise.npz", *SHORT)
    assert "Do not prune here. The network learned nothing" in said
    assert (
        "None: this trial recommends to train on everything."
        in (tmp_path / "try-noise/reports/trial/index.html").read_text()
    )


@pytest.mark.slow
def test_repetitions_are_to_be_left_out(tmp_path):
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 4
    arrays = {"train_images": np.repeat(images, 10, 0), "train_labels": np.repeat(labels, 10)}
    np.savez(tmp_path / "tenfold.npz", **arrays, test_images=images, test_labels=labels)
    said = called(tmp_path, "tenfold.npz", *SHORT)
    assert "360 of the 400 training samples repeat others, to the pixel." in said
    assert "an epoch is then 90 % shorter without any pruning" in said


@pytest.mark.slow
def test_a_table(tmp_path):
    draw = np.random.default_rng(0)
    label = draw.integers(0, 2, 400)
    frame = pd.DataFrame({"a": draw.normal(3.0 * label), "b": draw.normal(size=400), "sort": label})
    frame.to_csv(tmp_path / "table.csv", index=False)
    said = called(tmp_path, "table.csv", "--label", "sort", *SHORT, "--epochs", "8")
    assert "a table in CSV: 2 classes" in said and "a perceptron of two layers" in said
    page = (tmp_path / "try-table/reports/trial/index.html").read_text()
    assert "rows of a table in 2 classes" in page and "row " in page


@pytest.mark.slow
def test_large_images_are_made_smaller(tmp_path):
    draw = np.random.default_rng(0)
    for index in range(60):
        side = 70 + index
        path = tmp_path / f"photos/{'ab'[index % 2]}/{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (side, side, 3), np.uint8)).save(path)
    said = called(tmp_path, "photos", "--plan", *SHORT)
    assert "images are brought to 64 x 64 pixels" in said and "15 runs" in said
    params = grids.load(tmp_path / "try-photos/params.yaml")
    assert params.own["photos"].size == 64 and not (tmp_path / "try-photos/runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere is not there. Name the folder"),
        (["pets", "--budget", "1s"], r"--budget: the smallest trial .* takes about \d+ minutes here. Got 0.0166"),
        (["pets", "--budget", "soon"], "must be a time such as 30m, 2h or 90s, or none. Got 'soon'"),
        (["pets", "--model", "resnet1"], "There is no network 'resnet1' in torchvision or timm"),
        (["pets", "--ratios", "1"], r"must be a number in \(0, 1\). Got '1'"),
        (["pets", "--into", "full"], "full holds something else. Name another folder: --into FOLDER"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, words, message):
    folders(tmp_path / "pets", count=4)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("years of work")
    before = {path.name for path in tmp_path.iterdir()}
    said = called(tmp_path, *words, code=2)
    assert re.search(message, said) and "Traceback" not in said
    assert {path.name for path in tmp_path.iterdir()} == before
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("path", "name"), [("Pets 2", "pets_2"), ("2024.npz", "own_2024"), ("digits", "own_digits"), ("träume", "tr_ume")]
)
def test_names(path, name):
    assert project.name_of(Path(path)) == name


def test_a_damaged_record_is_planned_again(tmp_path):
    (tmp_path / project.RECORD).write_text(json.dumps({"request": 1})[:-1])
    assert project.recorded(tmp_path) is None
