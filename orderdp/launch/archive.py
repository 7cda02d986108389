"""The small files of finished jobs in one archive, `reports/<scale>/runs.tar.xz`: what tables, figures and verdicts are
made from, without weights and the histories of single samples.

Runs that were trained on a machine that was only lent come home in it, and others check or extend the statistics
without training.
"""

from __future__ import annotations

import io
import lzma
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from orderdp.files import write
from orderdp.jobs import Job, is_finished
from orderdp.jobs.finished import REMOVABLE, DamagedRun, damaged

NAME = "runs.tar.xz"


def archivable(jobs: Mapping[str, Job]) -> list[str]:
    """The names of the jobs that an archive can hold: all but those that only other jobs read (proxies)."""
    return [name for name, job in jobs.items() if not job.intermediate]


def archive(jobs: Mapping[str, Job], runs: Path, path: Path) -> list[str]:
    """Writes the finished jobs of a grid, those in an older archive and those that lie here.

    Jobs that the grid no longer asks for are left out. The same jobs give the same bytes.

    Args:
        jobs: of the grid, by name.
        runs: folder of results.
        path: of the archive; one that is there is replaced.

    Returns:
        The names in it.

    Raises:
        ValueError: the older archive is damaged.
        DamagedRun: a finished job is.
    """
    wanted = archivable(jobs)
    with tempfile.TemporaryDirectory(prefix="orderdp-archive-") as scratch:
        if path.exists():
            restore(path, Path(scratch), wanted)
        here = [name for name in wanted if is_finished(runs, name)]
        for name, why in damaged(runs, here, contents=True).items():
            raise DamagedRun(runs / name, why)
        folders = {name: runs / name if name in here else Path(scratch, name) for name in sorted(wanted)}
        names = [name for name, folder in folders.items() if (folder / "summary.json").exists()]
        content = io.BytesIO()
        with (
            lzma.open(content, "wb", preset=9) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            # Files of a kind together: they are alike, which packs them best.
            files = [file for name in names for file in folders[name].iterdir() if not file.name.endswith(REMOVABLE)]
            for file in sorted(files, key=lambda file: (file.name, file.parent.name)):
                member = tarfile.TarInfo(f"{file.parent.name}/{file.name}")
                member.size = file.stat().st_size
                with file.open("rb") as stream:
                    tar.addfile(member, stream)
        write(path, content.getvalue())
    return names


def restore(path: Path, runs: Path, wanted: Iterable[str]) -> list[str]:
    """Takes jobs out of an archive. Those that are finished here stay as they are.

    Args:
        path: of the archive.
        runs: folder to put them in.
        wanted: names of jobs; others in the archive are left alone.

    Returns:
        The names of the jobs that were taken.

    Raises:
        ValueError: it is no archive of runs, or a job in it is damaged; then nothing is taken.
    """
    names = {name for name in wanted if not is_finished(runs, name)}
    runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".archive-", dir=runs) as scratch:
        try:
            with tarfile.open(path, "r:xz") as tar:
                for member in tar:
                    place = PurePosixPath(member.name)
                    if not member.isfile() or len(place.parts) != 2 or ".." in place.parts or place.is_absolute():
                        raise ValueError(f"{path} holds {member.name!r}, which is no file of a run.")
                    if place.parts[0] in names:
                        stream = tar.extractfile(member)
                        assert stream is not None
                        write(Path(scratch, *place.parts), stream.read())
        except FileNotFoundError:
            raise ValueError(f"There is no {path}. `python -m orderdp archive` writes it.") from None
        except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
            raise ValueError(f"{path} is no archive of runs ({type(error).__name__}: {error}).") from error
        taken = sorted(folder.name for folder in Path(scratch).iterdir())
        if found := damaged(Path(scratch), taken, contents=True):
            name, why = next(iter(found.items()))
            raise ValueError(f"{path}: {name} is damaged: {why}. Take the archive from its source again.")
        whole = [name for name in taken if is_finished(Path(scratch), name)]
        for name in whole:
            shutil.rmtree(runs / name, ignore_errors=True)  # of a run that was begun here
            Path(scratch, name).rename(runs / name)
    return whole
