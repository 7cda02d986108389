"""Clocks that jump, and files with dates of other clocks: no training is lost to a date."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from functools import partial

from tests.faults.children import Child, command, job
from tests.faults.count import Count, Fault
from tests.faults.undisturbed import Undisturbed

DAY_S = 86400.0


def faults(undisturbed: Undisturbed, seed: int = 0) -> Iterator[Fault]:
    """Jumps under jobs and under the tracker; dates of every kind of file."""
    rng = random.Random(seed)
    for number, (name, each) in enumerate(sorted(undisturbed.grid.jobs.items())):
        yield Fault(f"clock under {name}", partial(of_job, undisturbed, each.record(), number))
    for number in range(6):
        yield Fault("clock under the tracker", partial(of_tracker, undisturbed, number))
    for folder in ("runs", "data", "reports", "orderdp", "."):
        for days in (-20000, -1, 1 / 72, 1, 20000, None):
            shift = partial(rng.uniform, -900, 900) if days is None else partial(float, days)
            yield Fault(f"dates of {folder}", partial(of_dates, undisturbed, folder, shift))


def jumping(seed: int) -> None:
    """The clock of this process jumps by up to ten years at each look, to and fro."""
    rng, right = random.Random(seed), time.time
    time.time = lambda: max(0.0, right() + rng.choice((0.0, -1.0, 1.0, -DAY_S, DAY_S, -3650 * DAY_S, 3650 * DAY_S)))


def of_job(undisturbed: Undisturbed, record: dict[str, object], seed: int, count: Count) -> None:
    """A job runs while the clock jumps."""
    name = str(record["name"])
    shutil.rmtree(undisturbed.folder / "runs" / name)
    status, output = Child(undisturbed.folder, job, record, prepare=partial(jumping, seed)).end()
    count.read(f"{name}, jumping clock", output)
    count.expect(status == 0, f"{name}, jumping clock", f"it ended with {status}: {output[-500:]}")
    undisturbed.again(count, f"{name}, jumping clock", name)
    for words in (("plan",), ("report", "--only", "table2")):
        status, output = Child(undisturbed.folder, command, *words).end()
        count.read(f"{name}, jumping clock, {words[0]}", output)
        count.expect(status == 0, f"{name}, jumping clock", f"{words[0]}: {output[-500:]}")


def of_tracker(undisturbed: Undisturbed, seed: int, count: Count) -> None:
    """MLflow is filled while the clock jumps."""
    for path in undisturbed.folder.glob("mlflow.db*"):
        path.unlink()
    for _ in range(2):
        status, output = Child(undisturbed.folder, command, "track", prepare=partial(jumping, seed)).end()
        count.read("tracker, jumping clock", output)
        count.expect(status == 0, "tracker, jumping clock", f"it ended with {status}: {output[-500:]}")
    undisturbed.tracked(count, "tracker, jumping clock")


def of_dates(undisturbed: Undisturbed, part: str, shift: partial[float], count: Count) -> None:
    """All files of a folder have other dates. Nothing is to be done; what is missing is made, and nothing else."""
    where, folder = f"dates of {part} by {shift}", undisturbed.folder
    before = {path: path.stat().st_mtime_ns for path in (folder / part).rglob("*") if path.is_file()}
    now = time.time()
    for path in before:
        moment = max(1.0, now + shift() * DAY_S)
        os.utime(path, (moment, moment))
    planned = undisturbed.project.run("snakemake", "-n", check=False)
    output = planned.stdout + planned.stderr
    count.read(where, output)
    count.expect("Nothing to be done" in output, where, f"work was planned: {output[-1500:]}")
    for path, moment_ns in before.items():
        os.utime(path, ns=(moment_ns, moment_ns))
    undisturbed.compare(count, where)
