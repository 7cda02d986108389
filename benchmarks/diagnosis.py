"""(g) What measurements cost a run: its wall time with its weights kept at the recorded epochs over that without.

The time of a run is that of all that a job does after its imports: reading the data, training, evaluating, writing
files. The measurements themselves are another job. Further rows have its time over that of the run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measuring import compared, in_turn
from benchmarks.workload import ROOT
from orderdp import datasets, grid
from orderdp.jobs import Execution, Job

KEYS = ("scale", "method", "prune_ratio", "thing", "epochs", "recorded")
GOAL = 1.10
DEFAULTS: dict[str, Any] = {
    "scale": "quick",
    "runs": [["infobatch", 0.4], ["orderdp", 0.4], ["infobatch", 0.7], ["orderdp", 0.7]],
    "repeats": 15,
}
TINY: dict[str, Any] = {"runs": [["orderdp", 0.7]], "repeats": 2}


def run(scale: str, runs: Sequence[tuple[str, float]], repeats: int) -> Iterator[dict[str, Any]]:
    """Two rows per method and ratio of table 11."""
    laid_out = grid.load(ROOT / "params.yaml", scale)
    table11 = laid_out.experiments["table11"]
    rows = {(row.method, row.prune_ratio): row for row in table11.rows}
    diagnoses = dict(zip(table11.runs, table11.diagnoses, strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        for method, ratio in runs:
            kept = laid_out.runs[rows[method, ratio].run]
            spec, diagnosis = kept.spec, laid_out.jobs[diagnoses[kept.name]]
            if not (data := Path(scratch, "data") / spec.dataset.name).exists():
                datasets.prepare(spec.dataset.name, data)
            where = {"scale": scale, "method": method, "prune_ratio": ratio}
            where |= {"epochs": spec.recipe.epochs, "recorded": len(spec.record_at)}
            times = _times(kept, diagnosis, Path(scratch), repeats)
            yield where | {"thing": "run that is measured"} | compared(times["kept"], times["plain"], GOAL)
            yield where | {"thing": "measuring it"} | compared(times["measuring"], times["plain"])


def _times(kept: Job, diagnosis: Job, scratch: Path, repeats: int) -> dict[str, Any]:
    plain = replace(kept, name=f"{kept.name}-plain", spec=kept.spec.model_copy(update={"diagnostics": ()}))
    rounds = {"kept": 0, "plain": 0, "measuring": 0}

    def run(name: str, job: Job, folder: str) -> None:
        rounds[name] += 1  # a finished job does nothing
        runs = scratch / f"{diagnosis.fingerprint}-{folder}-{rounds[folder]}"
        job.run(Execution(scratch / "data", runs, scratch / "work", threads=1))

    return in_turn(
        {
            "plain": lambda: run("plain", plain, "plain"),
            "kept": lambda: run("kept", kept, "kept"),
            "measuring": lambda: run("measuring", diagnosis, "kept"),
        },
        repeats,
    )
