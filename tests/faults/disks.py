"""A full disk, a disk that cannot be written, folders of somebody else: each command says in words what is wrong, and
finishes when that is mended. Needs root, for a small file system of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.faults.children import Child, command, job
from tests.faults.count import Count, Fault
from tests.faults.kills import finishes
from tests.faults.undisturbed import Undisturbed
from tests.workflow.conftest import Project

ROOM_MB = 64
SPACES_KB = (0, 4, 12, 40, 120, 400)
"""What is left on the disk."""
NOBODY = 65534
REASONS = ("No space left", "Read-only file system", "Permission denied", "is full", "readonly", "unable to open")

Task = tuple[str, Callable[..., int], tuple[object, ...], Callable[[Path], None]]
"""(name, function, its arguments, what to remove before, so that there is something to make)."""


def possible() -> bool:
    """Whether this user may make file systems."""
    return os.getuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


def faults(undisturbed: Undisturbed) -> Iterator[Fault]:
    """Every kind of writing, with little room, on a disk that is read-only, and as a user who may not write."""
    if not possible():
        print("disks: left out, because only root can make small disks")
        return
    for task in tasks(undisturbed):
        for space_kb in SPACES_KB:
            yield Fault(f"{task[0]} with {space_kb} kB", partial(of_full, undisturbed, task, space_kb))
        yield Fault(f"{task[0]} read-only", partial(of_read_only, undisturbed, task))
        yield Fault(f"{task[0]} as nobody", partial(of_foreign, undisturbed, task))
    for space_kb in (30, 300):
        yield Fault(f"snakemake with {space_kb} kB", partial(of_snakemake, undisturbed, space_kb))


def tasks(undisturbed: Undisturbed) -> list[Task]:
    """Everything that writes."""

    def without(*patterns: str) -> Callable[[Path], None]:
        def remove(folder: Path) -> None:
            for pattern in patterns:
                for path in folder.glob(pattern):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

        return remove

    jobs: list[Task] = [
        (each.kind, job, (each.record(),), without(f"runs/{each.name}")) for each in undisturbed.one_of_each_kind()
    ]
    return [
        *jobs,
        ("prepare", command, ("prepare", "--dataset", "digits"), without("data/digits/manifest.json")),
        ("report --only", command, ("report", "--only", "table2"), without("reports/*/tables/table2.*")),
        ("report --page", command, ("report", "--page"), without("reports/*/index.html")),
        ("track", command, ("track",), without("mlflow.db*", "mlartifacts", ".work/tracked-*")),
        ("track, some more", command, ("track",), without("reports/*/claims.md", ".work/tracked-*")),
    ]


@contextlib.contextmanager
def small_disk(undisturbed: Undisturbed) -> Iterator[Path]:
    """A copy of the project on a small file system."""
    disk = undisturbed.folder.parent / "disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m,mode=0755", "tmpfs", disk], check=True)
    try:
        shutil.copytree(undisturbed.folder, disk / "project", ignore=shutil.ignore_patterns("orderdp", ".git", ".dvc"))
        yield disk / "project"
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def filled(folder: Path, space_kb: int) -> Path:
    """A file that leaves so much room."""
    ballast = folder.parent / "ballast"
    stat = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, stat.f_bavail * stat.f_frsize - 1024 * space_kb)
    return ballast


def of_full(undisturbed: Undisturbed, task: Task, space_kb: int, count: Count) -> None:
    """A command meets a disk with little room."""
    name, function, arguments, remove = task
    where = f"{name} with {space_kb} kB"
    with small_disk(undisturbed) as folder:
        remove(folder)
        ballast = filled(folder, space_kb)
        told(count, where, *Child(folder, function, *arguments, log=undisturbed.folder.parent).end())
        ballast.unlink()
        mended(count, undisturbed, where, folder, task)


def of_read_only(undisturbed: Undisturbed, task: Task, count: Count) -> None:
    """A command meets a disk that cannot be written."""
    name, function, arguments, remove = task
    with small_disk(undisturbed) as folder:
        remove(folder)
        subprocess.run(["mount", "-o", "remount,ro", folder.parent], check=True)
        told(count, f"{name} read-only", *Child(folder, function, *arguments, log=undisturbed.folder.parent).end())
        subprocess.run(["mount", "-o", "remount,rw", folder.parent], check=True)
        mended(count, undisturbed, f"{name} read-only", folder, task)


def of_foreign(undisturbed: Undisturbed, task: Task, count: Count) -> None:
    """A command is called by a user who may read everything and write nothing."""
    name, function, arguments, remove = task
    with small_disk(undisturbed) as folder:
        remove(folder)
        child = Child(folder, function, *arguments, log=undisturbed.folder.parent, prepare=become_nobody)
        told(count, f"{name} as nobody", *child.end())
        mended(count, undisturbed, f"{name} as nobody", folder, task)


def become_nobody() -> None:
    """Gives up root's rights."""
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def told(count: Count, where: str, status: int, output: str) -> None:
    """Either there was enough room, or the command failed and said why."""
    count.read(where, output)
    said = any(reason in output for reason in REASONS)
    count.expect(status == 0 or said, where, f"it ended with {status} and did not say why: {output[-800:]}")


def mended(count: Count, undisturbed: Undisturbed, where: str, folder: Path, task: Task) -> None:
    """The same command finishes, and all is as it was."""
    status, output = Child(folder, task[1], *task[2], log=undisturbed.folder.parent).end()
    count.read(f"{where}, again", output)
    count.expect(status == 0, where, f"again it ended with {status}: {output[-800:]}")
    undisturbed.compare(count, where, folder)
    left = [path for base in ("runs", "data", "reports") for path in (folder / base).rglob("*.tmp")]
    count.expect(not left, where, f"left over: {left}")


def of_snakemake(undisturbed: Undisturbed, space_kb: int, count: Count) -> None:
    """The disk fills up under Snakemake, twice. With room, one call makes everything."""
    with small_disk(undisturbed) as folder:
        for name in ("runs", "reports", ".work", "mlflow.db"):
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.copytree(undisturbed.folder / "orderdp", folder / "orderdp")
        small = Project(folder)
        ballast = filled(folder, space_kb)
        for _ in range(2):
            done = small.run("snakemake", "--cores", "2", check=False, ORDERDP_NO_TRACKING="0")
            told(count, f"snakemake with {space_kb} kB", done.returncode, done.stdout + done.stderr)
        ballast.unlink()
        finishes(count, undisturbed, f"snakemake with {space_kb} kB", small)
