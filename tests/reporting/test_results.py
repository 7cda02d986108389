import json

import numpy as np
import pandas as pd
import pytest

from orderdp.jobs.finished import DamagedRun
from orderdp.reporting import results
from orderdp.reporting.results import Runs, collect, histories, selections


def test_every_use_of_a_cell_is_a_row(made):
    results = collect(made.grid, made.runs)
    assert len(results) == sum(len(experiment.rows) for experiment in made.grid.experiments.values())
    assert set(results["status"]) == {"finished", "diverged", "not run"}
    row = results[(results["method"] == "orderdp") & (results["seed"] == 1)].iloc[0]
    summary = json.loads((made.runs / row["run"] / "summary.json").read_text())
    assert row["test_accuracy"] == summary["test_accuracy"]
    assert row["realised_prune_ratio"] == summary["prune_ratio"]
    assert row["time_s"] == pytest.approx(summary["selection_s"] + summary["training_s"])
    assert (row["prune_ratio"], row["explore"], row["workload"]) == (0.3, 0.85, "digits-resnet8")
    assert row["stands_for"] == "cifar10-resnet18,cifar100-resnet18"


def test_what_is_missing_has_no_numbers(made):
    results = collect(made.grid, made.runs, ["table2"])
    missing = results[results["status"] == "not run"]
    assert len(missing) == 1 and missing[["test_accuracy", "time_s", "diverged_epoch"]].isna().all(axis=None)
    assert (results[results["status"] == "diverged"]["diverged_epoch"] == 2).all()


def test_histories_carry_coordinates_and_time(made):
    long = histories(made.grid, made.runs, ["figure1"])
    assert set(long["method"]) == {"full", "infobatch", "orderdp"}
    run = long[(long["method"] == "orderdp") & (long["seed"] == 0)]
    assert list(run["epoch"]) == [1, 2, 3, 4]
    assert run["time_s"].iloc[-1] == pytest.approx((run["selection_s"] + run["training_s"]).sum())
    assert (run["prune_ratio"] == 0.7).all() and run["epoch_prune_ratio"].between(0.69, 0.71).all()
    assert long[long["method"] == "full"]["prune_ratio"].isna().all()


def test_selections_count_samples_per_usage(made):
    counts = selections(made.grid, made.runs, ["figures9_11"])
    for cell, part in counts.groupby("run"):
        usage = np.load(made.runs / cell / "selection.npz")["usage"]
        assert list(part["uses"]) == list(range(usage.max() + 1))
        assert dict(zip(part["uses"], part["samples"], strict=True)) == {
            u: int((usage == u).sum()) for u in range(usage.max() + 1)
        }
        assert part["expected_uses"].iloc[0] == usage.mean()


def test_nothing_run_gives_empty_tables(made, tmp_path):
    assert (collect(made.grid, tmp_path)["status"] == "not run").all()
    assert histories(made.grid, tmp_path).empty and selections(made.grid, tmp_path).empty


def test_each_file_is_read_once(made, monkeypatch):
    runs, read = Runs(made.runs), []
    reading = results.read_file
    monkeypatch.setattr(results, "read_file", lambda *args: read.append(args[1:]) or reading(*args))
    first = histories(made.grid, runs)
    once = len(read)
    pd.testing.assert_frame_equal(histories(made.grid, runs), first)
    assert once == len(read) == len(set(read)) == len(list(made.runs.glob("*/history.csv")))


def test_histories_are_those_of_each_file_alone(made):
    """Twin: one file after the other, for each use of its run."""
    together = histories(made.grid, made.runs)
    parts = []
    for row in (row for experiment in made.grid.experiments.values() for row in experiment.rows):
        path = made.runs / row.run / "history.csv"
        if path.exists():
            part = pd.read_csv(path).rename(columns={"prune_ratio": "epoch_prune_ratio"})
            part["time_s"] = (part["selection_s"] + part["training_s"]).cumsum()
            parts.append(part.assign(experiment=row.experiment, run=row.run, seed=row.seed))
    want = pd.concat(parts, ignore_index=True)
    pd.testing.assert_frame_equal(together[list(want.columns)], want, check_dtype=False)


def test_a_half_copied_run_is_an_error(made, tmp_path):
    cell = made.grid.experiments["figure1"].runs[0]
    (tmp_path / cell).mkdir()
    (tmp_path / cell / "summary.json").write_text((made.runs / cell / "summary.json").read_text())
    with pytest.raises(DamagedRun, match=r"history\.csv cannot be read \(No such file"):
        histories(made.grid, tmp_path, ["figure1"])
