"""Several processes at once, and processes that get too little memory."""

from __future__ import annotations

import contextlib
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mlflow import MlflowClient

from tests.faults.children import Child, command, job
from tests.faults.count import Count, Fault
from tests.faults.kills import finishes, start
from tests.faults.undisturbed import Undisturbed

MEMORY_MB = (50, 150, 400)
"""What a process may take, beside what it has when it begins."""
DATABASE, THEIRS = "sqlite:///mlflow.db", "theirs"
TRAINERS, STEPS = 16, 60
"""How many trainers of somebody else log at once, and how many values each."""


def faults(undisturbed: Undisturbed) -> Iterator[Fault]:
    """Two trainers of one job, two of each command, two Snakemakes; too little memory for each kind of job."""
    for name in sorted(undisturbed.grid.jobs):
        yield Fault(f"two of {name}", partial(of_jobs, undisturbed, name))
    pairs = (
        ("report", "report"), ("prepare", "prepare"), ("track", "track"), ("report", "track"), ("verify", "report"),
        ("gc", "report"), ("plan", "gc"),
    )  # fmt: skip
    for pair in pairs:
        yield Fault(" and ".join(pair), partial(of_commands, undisturbed, pair))
    yield Fault("sixteen trainers that log, and the tracker", partial(of_trainers_that_log, undisturbed))
    for _ in range(2):
        yield Fault("two snakemakes", partial(of_snakemakes, undisturbed))
    for each in undisturbed.one_of_each_kind():
        for memory_mb in MEMORY_MB:
            yield Fault(f"{each.kind} in {memory_mb} MB", partial(of_memory, undisturbed, each.name, memory_mb))


def of_jobs(undisturbed: Undisturbed, name: str, count: Count) -> None:
    """Two processes run the same job."""
    shutil.rmtree(undisturbed.folder / "runs" / name)
    record = undisturbed.grid.jobs[name].record()
    for status, output in [child.end() for child in [Child(undisturbed.folder, job, record) for _ in range(2)]]:
        count.read(f"two of {name}", output)
        count.expect(status == 0, f"two of {name}", f"one ended with {status}: {output[-500:]}")
    undisturbed.again(count, f"two of {name}", name)


def of_commands(undisturbed: Undisturbed, pair: tuple[str, str], count: Count) -> None:
    """Two commands at once, on a folder that lacks what they make."""
    where = " and ".join(pair)
    options = {"prepare": ("--dataset", "digits")}
    if "report" in pair:
        shutil.rmtree(undisturbed.folder / "reports")
    if "track" in pair:
        undisturbed.remove_store()
    for word, child in [(word, Child(undisturbed.folder, command, word, *options.get(word, ()))) for word in pair]:
        status, output = child.end()
        count.read(where, output)
        stale = word == "verify"  # while the report is made, it says so
        count.expect(status == 0 or stale, where, f"{word} ended with {status}: {output[-500:]}")
    for words in (("report",), ("track",), ("verify",)):
        status, output = Child(undisturbed.folder, command, *words).end()
        count.read(f"{where}, then {words[0]}", output)
        count.expect(status == 0, where, f"then {words[0]} ended with {status}: {output[-500:]}")
    undisturbed.compare(count, where)
    undisturbed.tracked(count, where)


def of_trainers_that_log(undisturbed: Undisturbed, count: Count) -> None:
    """Sixteen trainers of somebody else log into the SQLite file in which the tracker makes the whole experiment."""
    where = "sixteen trainers that log, and the tracker"
    undisturbed.remove_store()
    Child(undisturbed.folder, begins).end()
    trainers = [Child(undisturbed.folder, logs) for _ in range(TRAINERS)]
    at_work = True
    while at_work:
        at_work = any(trainer.process.is_alive() for trainer in trainers)
        status, output = Child(undisturbed.folder, command, "track").end()
        count.read(where, output)
        count.expect(status == 0, where, f"the tracker ended with {status}: {output[-500:]}")
    for trainer in trainers:
        status, output = trainer.end()
        count.expect(status == 0, where, f"a trainer could not log: {output[-500:]}")
    undisturbed.tracked(count, where, others=TRAINERS)
    theirs = (
        "select run_uuid from runs join experiments using (experiment_id) "
        f"where experiments.name = '{THEIRS}' and status = 'FINISHED'"
    )
    with contextlib.closing(sqlite3.connect(undisturbed.folder / "mlflow.db")) as store, store:
        logged = store.execute(
            f"select count(distinct step) from metrics where run_uuid in ({theirs}) group by run_uuid"
        ).fetchall()
        store.execute(f"update runs set lifecycle_stage = 'deleted' where run_uuid in ({theirs})")
    count.expect(logged == [(STEPS,)] * TRAINERS, where, f"the trainers' runs have {logged} of {STEPS} values")


def begins() -> int:
    """Makes the database and the trainers' experiment in it."""
    MlflowClient(DATABASE).create_experiment(THEIRS)
    return 0


def logs() -> int:
    """A trainer that logs a value at a time, as MLflow's documentation shows it."""
    client = MlflowClient(DATABASE)
    run = client.create_run(client.get_experiment_by_name(THEIRS).experiment_id)
    for step in range(STEPS):
        client.log_metric(run.info.run_id, "loss", 1 / (1 + step), step=step)
    client.set_terminated(run.info.run_id)
    return 0


def of_snakemakes(undisturbed: Undisturbed, count: Count) -> None:
    """The second one refuses, and the first one makes everything."""
    for name in ("runs", "reports"):
        shutil.rmtree(undisturbed.folder / name)
    both = [start(undisturbed.project, "snakemake", "--cores", "1") for _ in range(2)]
    ended = sorted(process.wait(timeout=300) for process in both)
    count.expect(ended == [0, 1], "two snakemakes", f"they ended with {ended}")
    finishes(count, undisturbed, "two snakemakes")


def of_memory(undisturbed: Undisturbed, name: str, memory_mb: int, count: Count) -> None:
    """A job gets too little memory. Either it manages, or it says so; with enough, it comes out the same."""
    where = f"{name} in {memory_mb} MB"
    shutil.rmtree(undisturbed.folder / "runs" / name)
    record = undisturbed.grid.jobs[name].record()
    status, output = Child(undisturbed.folder, job, record, prepare=partial(limited, memory_mb)).end()
    count.read(where, output)
    count.expect(status in (0, 134, 139) or "memory" in output.lower(), where, f"it did not say why: {output[-500:]}")
    undisturbed.again(count, where, name)


def limited(memory_mb: int) -> None:
    """Limits what this process may take from now on."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
