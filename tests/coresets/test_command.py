"""`python -m orderdp select`, without the command line's frame."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch

from orderdp.coresets import CORESETS, select
from orderdp.coresets.base import HELD
from orderdp.coresets.command import add_arguments, load, run
from orderdp.files import write
from tests.coresets.conftest import OPTIONS, make_evidence


@pytest.fixture
def arrays():
    evidence = make_evidence()
    return {name: getattr(evidence, name).numpy() for name in HELD} | {"classes": np.array(3)}


@pytest.fixture
def file(tmp_path, arrays):
    np.savez(tmp_path / "evidence.npz", **arrays)
    return tmp_path / "evidence.npz"


@pytest.fixture
def trained(tmp_path):
    """A run's folder with the one array that is read of it."""
    (tmp_path / "digits-orderdp").mkdir()
    usage = np.array([3, 0, 5, 5, 1, 5, 0, 2, 5, 4], dtype=np.int32)
    np.savez(tmp_path / "digits-orderdp" / "selection.npz", usage=usage, recorded_epochs=np.array([2]))
    return tmp_path / "digits-orderdp"


def call(*words, out):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([*map(str, words), "--out", str(out)]), write)


@pytest.mark.parametrize("name", CORESETS)
def test_the_file_gives_what_the_function_gives(name, file, tmp_path):
    options = [
        word for key, value in OPTIONS.get(name, {}).items() for word in ("--option", f"{key}={json.dumps(value)}")
    ]
    text = call(
        "--evidence", file, "--method", name, "--budget", 30, "--seed", 4, *options, out=tmp_path / "made" / "core.npy"
    )
    expected = select(name, make_evidence(), [30], np.random.default_rng(4), **OPTIONS.get(name, {}))[0]
    indices = np.load(tmp_path / "made" / "core.npy")
    assert indices.dtype == np.int64 and indices.tolist() == expected.indices.tolist()
    summary = json.loads((tmp_path / "made" / "core.json").read_text())
    assert (summary["budget"], summary["samples"], summary["method"], sum(summary["classes"])) == (30, 80, name, 30)
    assert "30 of 80 samples" in text and f"classes: {summary['classes']}" in text
    weights = tmp_path / "made" / "core.weights.npy"
    assert weights.exists() == (expected.weights is not None) == ("weights" in summary)
    if expected.weights is not None:
        assert np.array_equal(np.load(weights), expected.weights.numpy())
    assert {path.suffix for path in (tmp_path / "made").iterdir()} <= {".npy", ".json"}


def test_ratio_balance_and_options(file, tmp_path):
    call(
        "--evidence", file, "--method", "prototypes", "--prune-ratio", 0.7, "--balance", "equal",
        "--option", "keep=easy", "--option", "supervised=true", out=tmp_path / "core.npy",
    )  # fmt: skip
    summary = json.loads((tmp_path / "core.json").read_text())
    assert summary["classes"] == [8, 8, 8] and summary["prune_ratio"] == pytest.approx(0.7)
    assert summary["options"] == {"keep": "easy", "supervised": True}


def test_only_what_the_method_needs(tmp_path, arrays):
    np.savez(tmp_path / "few.npz", labels=arrays["labels"].astype(np.uint8), logits=arrays["logits"])
    call("--evidence", tmp_path / "few.npz", "--method", "entropy", "--budget", 9, out=tmp_path / "core.npy")
    with pytest.raises(
        ValueError, match=r"'herding' needs the evidence 'features', float \(n, d\): what enters the last layer"
    ):
        call("--evidence", tmp_path / "few.npz", "--method", "herding", "--budget", 9, out=tmp_path / "other.npy")
    assert not (tmp_path / "other.npy").exists()


def test_number_of_classes(tmp_path, arrays):
    labels = arrays["labels"]
    for given, expected in (({"classes": 5}, 5), ({"logits": np.zeros((1, 80, 4))}, 4), ({}, 3)):
        np.savez(tmp_path / "evidence.npz", labels=labels, **given)
        evidence = load(tmp_path / "evidence.npz")
        assert evidence.classes == expected and evidence.labels.dtype == torch.int64


def test_most_used_samples_of_a_run(trained, tmp_path):
    seen = set()
    for seed in range(30):
        text = call("--from-run", trained, "--budget", 3, "--seed", seed, out=tmp_path / "core.npy")
        indices = np.load(tmp_path / "core.npy")
        assert indices.dtype == np.int64 and len(indices) == 3 and set(indices) < {2, 3, 5, 8}
        seen |= set(indices.tolist())
    assert seen == {2, 3, 5, 8}
    call("--from-run", trained, "--prune-ratio", 0.1, out=tmp_path / "core.npy")
    assert np.load(tmp_path / "core.npy")[4:8].tolist() == [9, 0, 7, 4]
    summary = json.loads((tmp_path / "core.json").read_text())
    assert summary["usage"] == {"least": 0, "most": 5, "unused": 1} and summary["run"] == "digits-orderdp"
    assert text.startswith(f"{tmp_path / 'core.npy'}: 3 of 10 samples")


MISTAKES = [
    (["--evidence", "{file}", "--budget", 9], "needs a --method. Known: random, "),
    (["--evidence", "{file}", "--method", "greedy", "--budget", 9], "Unknown coreset method 'greedy'"),
    (["--evidence", "{file}", "--method", "random", "--budget", 81], r"--budget: must be from 1 to n = 80. Got 81"),
    (["--evidence", "{file}", "--method", "random", "--budget", 2], "from 3, one for each class"),
    (
        ["--evidence", "{file}", "--method", "random", "--prune-ratio", 1.0],
        r"--prune-ratio: must be in \(0, 1\). Got 1.0",
    ),
    (["--evidence", "{file}", "--method", "random", "--budget", 9, "--seed", -1], "--seed: must be at least 0"),
    (
        ["--evidence", "{file}", "--method", "random", "--budget", 9, "--option", "colour"],
        "--option: must be NAME=VALUE. Got 'colour'",
    ),
    (
        ["--evidence", "{file}", "--method", "random", "--budget", 9, "--option", "colour=1"],
        "Unknown option 'colour' of 'random'",
    ),
    (["--evidence", "{none}", "--method", "random", "--budget", 9], "--evidence: there is no .*none.npz"),
    (["--evidence", "{text}", "--method", "random", "--budget", 9], "text.npz is no .npz file of plain arrays"),
    (["--evidence", "{array}", "--method", "random", "--budget", 9], "array.npy is no .npz file of plain arrays"),
    (
        ["--evidence", "{strange}", "--method", "random", "--budget", 9],
        "holds an unknown array 'outputs'. Known: labels, logits, ",
    ),
    (["--evidence", "{objects}", "--method", "random", "--budget", 9], "objects.npz is no .npz file of plain arrays"),
    (["--evidence", "{words}", "--method", "random", "--budget", 9], "holds 'labels' as <U1, not as numbers"),
    (["--evidence", "{bare}", "--method", "random", "--budget", 9], "bare.npz holds no 'labels'"),
    (["--evidence", "{empty}", "--method", "random", "--budget", 9], "'labels' must be int64"),
    (["--from-run", "{folder}", "--budget", 3], "--from-run: there is no .*selection.npz"),
    (["--from-run", "{run}", "--budget", 11], "--budget: must be from 1 to n = 10"),
    (
        ["--from-run", "{run}", "--budget", 3, "--method", "random"],
        "--from-run: takes the most used samples, no --method",
    ),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_mistakes_leave_nothing_behind(words, message, tmp_path, file, trained, arrays):
    places = {
        name: tmp_path / f"{name}.npz" for name in ("none", "text", "strange", "objects", "words", "bare", "empty")
    }
    places |= {"file": file, "run": trained, "folder": tmp_path, "array": tmp_path / "array.npy"}
    places["text"].write_text("labels")
    np.save(places["array"], arrays["labels"])
    np.savez(places["strange"], labels=arrays["labels"], outputs=arrays["logits"])
    np.savez(places["objects"], labels=np.array([{}, None], dtype=object))
    np.savez(places["words"], labels=np.array(["a", "b"]))
    np.savez(places["bare"], logits=arrays["logits"])
    np.savez(places["empty"], labels=np.array([], dtype=np.int64))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=message):
        call(*(str(word).format(**places) for word in words), out=tmp_path / "core.npy")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_file_of_indices_must_be_npy(file, tmp_path):
    with pytest.raises(ValueError, match=r"--out: must end in \.npy"):
        call("--evidence", file, "--method", "random", "--budget", 9, out=tmp_path / "core.txt")


def test_a_run_without_usage(tmp_path):
    np.savez(tmp_path / "selection.npz", recorded_epochs=np.array([2]))
    with pytest.raises(ValueError, match="holds no 'usage'"):
        call("--from-run", tmp_path, "--budget", 3, out=tmp_path / "core.npy")


def test_help_names_methods_and_arrays():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    text = parser.format_help()
    assert all(name in text for name in (*CORESETS, *HELD))
