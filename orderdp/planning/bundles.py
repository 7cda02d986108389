"""Bundles: missing jobs that share a process, and so pay for its start once.

A bundle is one job of Snakemake and one submission to a cluster. Light: the Snakefile calls this at every parse.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orderdp.files import write_json
from orderdp.grid import Grid
from orderdp.jobs import Job, from_record, is_finished
from orderdp.jobs.finished import DamagedRun, damaged


@dataclass(frozen=True)
class Bundle:
    """Jobs that run in one process, one after another, or several at once on one GPU."""

    name: str
    jobs: tuple[Job, ...]

    def renamed(self) -> Bundle:
        """The same jobs under the next number: `train-3f2a91bc-2`."""
        stem, _, number = self.name.rpartition("-")
        return replace(self, name=f"{stem}-{int(number) + 1}" if len(number) < 8 else f"{self.name}-2")

    @property
    def seconds(self) -> float:
        """Estimated duration of all of them, one after another."""
        return sum(job.resources().seconds for job in self.jobs)

    @property
    def gpus(self) -> int:
        """GPUs that it takes, the same for each of its jobs."""
        return self.jobs[0].resources().gpus

    def at_once(self, wanted: int) -> int:
        """How many of its jobs run at a time: one if they must have their device to themselves."""
        return 1 if self.jobs[0].resources().alone else min(wanted, len(self.jobs))

    def minutes(self, attempt: int, at_once: int = 1, most: int | None = None) -> int:
        """Time limit on a cluster: twice the estimate and five, times the attempt. The estimate may be wrong; then the
        next attempt goes on where the last one was ended.

        Args:
            attempt: from 1.
            at_once: jobs at a time, if they may share.
            most: what the partition allows; None for any number.
        """
        asked = attempt * (5 + math.ceil(2 * self.seconds / self.at_once(at_once) / 60))
        return asked if most is None else min(asked, most)

    def memory_mb(self, attempt: int, at_once: int = 1) -> int:
        """Megabytes of main memory, to the next 1000, and half as much again for every further attempt."""
        largest = sorted((job.resources().memory_mb for job in self.jobs), reverse=True)[: self.at_once(at_once)]
        return math.ceil((1 + attempt) / 2 * sum(largest) / 1000) * 1000

    def cpus(self, at_once: int = 1) -> int:
        """Processors."""
        return max(job.resources().cpus for job in self.jobs) * self.at_once(at_once)

    def save(self, folder: Path) -> None:
        """Writes the jobs to `<folder>/<name>.json`, so that a process which runs them need not expand params.yaml."""
        write_json(folder / f"{self.name}.json", {"jobs": [job.record() for job in self.jobs]})


def saved(path: Path) -> Bundle:
    """The bundle that :meth:`Bundle.save` wrote."""
    try:
        return Bundle(path.stem, tuple(map(from_record, json.loads(path.read_text())["jobs"])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no plan of a bundle ({type(error).__name__}: {error}). Snakemake writes them"
        ) from None


def missing(grid: Grid, runs: Path, experiments: Collection[str] | None = None) -> dict[str, Job]:
    """The jobs of a scale that have to run: those that are not finished, but of the intermediate ones only those that
    another missing job needs.

    Args:
        grid: of the scale.
        runs: folder of results.
        experiments: names of tables and figures; only jobs that these need. Those of the whole scale when None.

    Raises:
        ValueError: finished jobs are damaged.
    """
    if found := damaged(runs, grid.jobs):
        name, why = next(iter(found.items()))
        more = f" So are {len(found) - 1} more, which `python -m orderdp plan` names." if len(found) > 1 else ""
        raise ValueError(f"{DamagedRun(runs / name, why)}{more}")
    unfinished = {name: job for name, job in grid.jobs.items() if not is_finished(runs, name)}
    wanted = {name for name, job in unfinished.items() if not job.intermediate}
    if experiments is not None:
        wanted &= {name for experiment in experiments for name in grid.experiments[experiment].jobs}
    for job in reversed(unfinished.values()):
        if job.name in wanted:
            wanted.update(job.needs)
    return {name: job for name, job in unfinished.items() if name in wanted}


def bundled(jobs: Mapping[str, Job], minutes: float) -> list[Bundle]:
    """Groups missing jobs into bundles, whose jobs are of one kind, take the same devices and wait for nothing of each
    other.

    The first seed of everything comes first, then the second: whatever is finished when the work is stopped can be
    compared.

    Args:
        jobs: name -> job, each before those that need it.
        minutes: estimated duration of a bundle. A job that takes longer is a bundle alone.
    """
    depth: dict[str, int] = {}
    alike: dict[tuple[object, ...], list[Job]] = {}
    for name, job in jobs.items():
        depth[name] = 1 + max((depth[needed] for needed in job.needs if needed in depth), default=-1)
        resources = job.resources()
        devices = (resources.gpus, resources.cpus, resources.alone)
        alike.setdefault((depth[name], job.kind, *devices), []).append(job)
    made = [bundle for group in alike.values() for bundle in _cut(sorted(group, key=_seed), 60 * minutes)]
    return sorted(made, key=lambda bundle: _seed(bundle.jobs[0]))


def _seed(job: Job) -> int:
    """Of a run; 0 for jobs that have none of their own."""
    return getattr(job.spec, "seed", 0)


def _cut(group: list[Job], limit_s: float) -> list[Bundle]:
    """Cuts a group into bundles of about equal duration, none longer than the limit unless by a single job."""
    total = sum(job.resources().seconds for job in group)
    share = total / max(1, math.ceil(total / limit_s))
    bundles: list[list[Job]] = [[]]
    spent = 0.0
    for job in group:
        seconds = job.resources().seconds
        if bundles[-1] and spent + seconds > share * (1 + 1e-9):
            bundles.append([])
            spent = 0.0
        bundles[-1].append(job)
        spent += seconds
    return [Bundle(_name(jobs), tuple(jobs)) for jobs in bundles]


def _name(jobs: Sequence[Job]) -> str:
    """`train-3f2a91bc`: the same for the same jobs."""
    names = " ".join(job.name for job in jobs)
    return f"{jobs[0].kind}-{hashlib.sha256(names.encode()).hexdigest()[:8]}"
