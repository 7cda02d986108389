"""The folders of finished jobs: sealed with the checksums of their files, and read only as long as these fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orderdp.files import finite, write_json

SUMMARY = "summary.json"
"""The file that a job writes last. Its presence says that the job's other files are complete."""
STATUSES = ("finished", "diverged")
REMOVABLE = (".pt", "samples.npz")
"""Files with these endings, weights and the histories of single samples, may be removed from a finished run, to save
room. No table or figure is made from them."""


class DamagedRun(ValueError):
    """A finished job whose files are not those that it wrote."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(
            f"{folder} is damaged: {why}. Nothing is made from it. `python -m orderdp gc --damaged --delete` removes"
            " such folders, and then `snakemake --cores all` makes what was in them again."
        )
        self.why = why


def finish(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Writes a job's summary, which ends it; returns its content.

    Args:
        folder: with all other files of the job. Temporary files of processes that were killed are removed from it.
        summary: what it holds beside the size and the checksum of each file (`files`) and its own checksum (`seal`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.tmp"):
        left.unlink()
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != SUMMARY:
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path.read_bytes())}
    content = json.loads(json.dumps(finite(dict(summary) | {"files": files})))
    content["seal"] = _seal(content)
    write_json(folder / SUMMARY, content)
    return dict(content)


def is_finished(runs: Path, name: str) -> bool:
    """Whether a job's last file is there."""
    return (runs / name / SUMMARY).exists()


def read_summary(runs: Path, name: str) -> dict[str, Any] | None:
    """Content of a job's summary; None while there is none: the job is not finished.

    Raises:
        DamagedRun: it is not whole, or of another job.
    """
    path = runs / name / SUMMARY
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedRun(path.parent, f"{SUMMARY} cannot be read ({error.strerror})") from None
    try:
        summary = json.loads(content)
        whole = summary["seal"] == _seal(summary)
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise DamagedRun(path.parent, f"{SUMMARY} is not as it was written")
    if summary["job"] != name:
        raise DamagedRun(path.parent, f"it holds the results of {summary['job']}")
    if summary["status"] not in STATUSES:
        raise DamagedRun(path.parent, f"its status is {summary['status']!r}, which is none of {', '.join(STATUSES)}")
    return dict(summary)


def read_file(runs: Path, name: str, file: str) -> bytes:
    """A file of a finished job.

    Raises:
        FileNotFoundError: the job is not finished, or the file was removed to save room.
        DamagedRun: the file is not the one that the job wrote.
    """
    summary, path = read_summary(runs, name), runs / name / file
    if summary is None or (not path.exists() and file.endswith(REMOVABLE)):
        raise FileNotFoundError(f"{path} is missing. Make it: python -m orderdp run {name}")
    return _checked(path, summary)


def _checked(path: Path, summary: Mapping[str, Any]) -> bytes:
    written = summary["files"].get(path.name)
    if written is None:
        raise DamagedRun(path.parent, f"{path.name} is none of its files")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedRun(path.parent, f"{path.name} cannot be read ({error.strerror})") from None
    if _sha256(content) != written["sha256"]:
        raise DamagedRun(path.parent, f"{path.name} is not as it was written")
    return content


def damaged(runs: Path, names: Iterable[str], *, contents: bool = False) -> dict[str, str]:
    """Finished jobs that are damaged -> why.

    Args:
        runs: folder of results.
        names: of jobs, finished or not.
        contents: compare the checksums of all files, too, which reads them. Else only names, sizes and statuses.
    """
    found = {}
    for name in names:
        try:
            summary = read_summary(runs, name)
            for file, written in ({} if summary is None else summary["files"]).items():
                path = runs / name / file
                if not path.exists() and file.endswith(REMOVABLE):
                    continue
                if not path.is_file() or path.stat().st_size != written["bytes"]:
                    raise DamagedRun(path.parent, f"{file} is missing or of another size")
                if contents:
                    _checked(path, {"files": {file: written}})
        except DamagedRun as error:
            found[name] = error.why
    return found


def _seal(summary: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in summary.items() if key != "seal"}
    return _sha256(json.dumps(rest, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
