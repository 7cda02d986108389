"""One run of every workload of the scale that `make reproduce` trains, on CPUs with and without AVX-512."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orderdp import grid as grids
from tests.training.test_memory_format import AVX2

ROOT = Path(__file__).parents[2]
QUICK = grids.load(ROOT / "params.yaml", "quick")

TRAIN = """
import sys
from pathlib import Path
from orderdp import grid as grids
from orderdp.jobs import Execution
params, data, out = map(Path, sys.argv[1:4])
jobs = grids.load(params, "quick").jobs
for name in sys.argv[4:]:
    jobs[name].run(Execution(data, out, out / "work", threads=1))
"""


def runs() -> dict[str, list[str]]:
    """Workload -> one run of it with OrderDP, or with the full data where it has none, behind the run whose weights it
    starts from."""
    rows = [row for experiment in QUICK.experiments.values() for row in experiment.rows if row.label_noise == 0]
    chosen = {row.workload: row.run for method in ("full", "orderdp") for row in rows if row.method == method}
    return {workload: [name for name in (QUICK.runs[run].starts_from, run) if name] for workload, run in chosen.items()}


@pytest.mark.slow
@pytest.mark.parametrize("environment", [AVX2, {}], ids=["without AVX-512", "as it is"])
def test_every_workload_of_the_quick_scale_trains(data, tmp_path, environment):
    names = list(dict.fromkeys(name for run in runs().values() for name in run))
    assert {QUICK.runs[name].spec.dataset.name for name in names} == {"digits"}
    command = [sys.executable, "-c", TRAIN, str(ROOT / "params.yaml"), str(data), str(tmp_path), *names]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    for name in names:
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert summary["status"] == "finished"
        assert summary["test_accuracy"] is None or summary["test_accuracy"] > 50


def test_no_workload_of_the_quick_scale_is_left_out():
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert set(runs()) == {name for name in params["scales"]["quick"]["substitutes"].values() if name}
