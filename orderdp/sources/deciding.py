"""Which sources decide a result, and their digests: the part of a fingerprint that stands for code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache

from orderdp.sources import text
from orderdp.sources.code import digest
from orderdp.sources.registered import registry

Entry = tuple[str, str, str]
"""(subpackage, registry variable, registered name), for example `("pruning", "PRUNERS", "orderdp")`."""

# Where each kind of job enters the code that decides its result. `training/run.py` is not followed as a whole: it
# carries a run's data to the engine and the engine's numbers to the disk, and an edit there should not retrain
# everything.
RUN = ("orderdp.training.engine", "orderdp.training.process", "orderdp.datasets.load")
PROXY = ("orderdp.coreset_jobs.run_proxy",)
SELECTION = ("orderdp.coreset_jobs.run_coresets", "orderdp.training.run.read_coreset")
DIAGNOSIS = ("orderdp.diagnose",)
STUDY = ("orderdp.study",)

NOT_DECIDING = {
    # It validates, and hands on what was validated: that resolved spec is hashed itself, so that an edit of a message
    # retrains nothing.
    "orderdp.spec",
    # It describes jobs; what it says of one is its spec, its sources and its name, all of which are in the fingerprint
    # already.
    "orderdp.grid.cells",
    # It only looks for raw files. What is found must have the checksum that the data set's module states.
    "orderdp.datasets.search",
}
"""Sources that jobs import and whose text is in no fingerprint. Everything else that a job imports is."""


@cache
def closure(start: str) -> frozenset[str]:
    """A piece of source and every piece of ours that it uses, directly or not, less `NOT_DECIDING`."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        piece = todo.pop()
        if piece not in seen and piece not in NOT_DECIDING:
            seen.add(piece)
            todo += text.uses(piece)
    return frozenset(seen)


@cache
def digests(*entries: Entry) -> dict[str, str]:
    """Digests of the sources that decide a run: the engine, the reading of data, and the modules of the run's data set,
    model and method.

    Args:
        entries: what the run takes from registries, for example `("pruning", "PRUNERS", "orderdp")`.

    Returns:
        Piece of source, a module or one definition of a module -> first 16 hex digits of a sha256 over its code,
        without comments, docstrings and formatting; and for each entry `PRUNERS[orderdp]` -> what is registered.
    """
    return _digests(RUN, entries)


@cache
def proxy_digests(*entries: Entry) -> dict[str, str]:
    """The same for the proxy of a static selection, on a data set and a network given as in :func:`digests`."""
    return _digests(PROXY, entries)


@cache
def diagnosis_digests(*entries: Entry) -> dict[str, str]:
    """The same for what is measured of a run, with its data set and network given as in :func:`digests`."""
    return _digests(DIAGNOSIS, entries)


@cache
def coreset_digests(method: Entry) -> dict[str, str]:
    """The same for the choice of a coreset from a proxy's evidence, by a method given as in :func:`digests`."""
    return _digests(SELECTION, [method])


@cache
def study_digests(dataset: Entry) -> dict[str, str]:
    """The same for a study of theorems, on a data set given as in :func:`digests`."""
    return _digests(STUDY, [dataset])


def _digests(starts: Iterable[str], entries: Iterable[Entry]) -> dict[str, str]:
    found = set().union(*map(closure, starts))
    used = {}
    for package, variable, name in entries:
        used[f"{variable}[{name}]"] = entry = ".".join(registry(package, variable)[name])
        found = found.union(*map(closure, text.pieces(entry)))
    return {piece: digest(piece) for piece in sorted(found)} | used


@cache
def reporting_digest() -> str:
    """One digest over the reporting code, the theory that it computes with and the published numbers: what decides a
    report beside the runs. Over their bytes: a report is made again in seconds."""
    folders = [text.PACKAGE / "reporting", text.PACKAGE / "theory"]
    files = [
        p
        for folder in folders
        for p in sorted(folder.rglob("*"))
        if p.suffix in {".py", ".csv", ".css", ".j2"}
    ]
    content = b"\0".join(p.read_bytes().replace(b"\r\n", b"\n") for p in files)
    return hashlib.sha256(content).hexdigest()[:16]
