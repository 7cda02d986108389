"""What every kind of job has in common: a name, a fingerprint, what it needs, and a folder of results."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from orderdp.files import write_json
from orderdp.jobs.finished import finish, is_finished
from orderdp.spec import Strict


class Interrupted(Exception):
    """SIGTERM or SIGINT arrived. The job saved its state and can go on from there."""


class Resources(NamedTuple):
    """What a job takes of the machine."""

    seconds: float
    """Estimated duration on the devices that it takes."""
    memory_mb: float = 4000
    gpus: int = 1
    """0 for a job that computes on the CPU only."""
    cpus: int = 2
    alone: bool = False
    """Whether no other job may use its devices meanwhile, because its durations are compared."""


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Execution:
    """Where and how a job runs. Nothing of this may change a result, so nothing of it is in a fingerprint."""

    data: Path = Path("data")
    """Folder of prepared data sets."""
    runs: Path = Path("runs")
    """Folder of results."""
    work: Path = Path(".work")
    """Folder of runs in training."""
    device: str | None = None
    """"cuda", "mps" or "cpu"; the best one present when None."""
    threads: int | None = None
    """CPU threads; torch's own choice when None."""
    workers: int | None = None
    """Loader processes that decode photographs; one per processor, at most 16, when None."""
    micro_batch: int | None = None
    """Samples of a rank that go through the network at a time; gradients of a larger batch add up. All when None."""
    compiled: bool = False
    """Whether torch compiles the network."""
    captured: bool = True
    """Whether a GPU repeats steps as a whole (a CUDA graph), where that is possible."""
    sharing: int = 1
    """Jobs that may compute on the same device at a time, this one included."""
    say: Callable[[str], None] = _print
    """Receives a line about what happens."""


@dataclass(frozen=True)
class Job:
    """One unit of work whose results are in `runs/<name>/`.

    A kind of job is a subclass in a module of this package, with a line in `orderdp.jobs.KINDS`. It states what its
    spec is, which code decides its results, and how it runs. Jobs are made when the Snakefile is parsed, so the modules
    of this package import torch and the like inside `run` only.
    """

    kind: ClassVar[str]
    Spec: ClassVar[type[Strict]]
    """Model of `spec`."""
    intermediate: ClassVar[bool] = False
    """Whether only other jobs read its results. It then runs only when a missing job needs it."""
    by_experiment: ClassVar[bool] = False
    """Whether an experiment of params.yaml may name one by `job: {kind: ..., ...}`, see :meth:`of_experiment`."""

    name: str
    """Folder under `runs/`. It ends in the fingerprint."""
    fingerprint: str
    """12 hex digits that stand for everything that decides the results."""
    spec: Any
    """What to compute, an instance of `Spec`."""
    sources: Mapping[str, str]
    """Piece of source -> checksum, for the code that decides the results."""

    @classmethod
    def of_experiment(cls, experiment: str, spec: Any) -> Self:
        """The job that an experiment names by its spec."""
        return cls.named(experiment, spec, cls.code(spec))

    @classmethod
    def named(cls, stem: str, spec: Any, sources: Mapping[str, str], **more: Any) -> Self:
        """A job with the name `<stem>-<fingerprint>`; `more` are fields of its kind."""
        digits = fingerprint(cls.kind, spec, sources)
        return cls(f"{stem}-{digits}", digits, spec, sources, **more)

    @classmethod
    def code(cls, spec: Any) -> dict[str, str]:
        """Checksums of the code that decides the results of a spec."""
        raise NotImplementedError

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the jobs whose results it reads."""
        return ()

    @property
    def dataset(self) -> str | None:
        """The prepared data set that it reads."""
        return None

    def resources(self) -> Resources:
        """What it takes of the machine, estimated."""
        raise NotImplementedError

    def compute(self, out: Path, execution: Execution) -> Mapping[str, Any]:
        """Writes the job's files, except spec.json and summary.json, into its folder.

        Returns:
            What the summary holds beside the job's name, its status and its times.
        """
        raise NotImplementedError

    def run(self, execution: Execution) -> None:
        """Computes the job and writes its folder, the summary last. A finished job does nothing.

        Raises:
            Interrupted: the job was stopped by a signal and can go on.
        """
        if is_finished(execution.runs, self.name):
            return
        started, out = time.time(), execution.runs / self.name
        write_json(out / "spec.json", self.record())
        more = self.compute(out, execution)
        head = {"job": self.name, "kind": self.kind, "status": "finished", "started": started, "ended": time.time()}
        finish(out, head | dict(more))

    def record(self) -> dict[str, Any]:
        """The job as plain values: the content of spec.json, from which :func:`orderdp.jobs.from_record` makes it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": self.kind} | values | {"spec": self.spec.plain(), "sources": dict(self.sources)}


def fingerprint(kind: str, spec: Strict, sources: Mapping[str, str]) -> str:
    """First 12 hex digits of a sha256 over everything that decides a job's results.

    Args:
        kind: of job.
        spec: what to compute.
        sources: checksums of the code that computes it, from :func:`orderdp.code_fingerprint.code_checksums`. The
            data set's own checksums are part of its source file.
    """
    text = kind + spec.canonical() + json.dumps(sources, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
