"""Damage to files: after each, every command says what is wrong in words, nothing is made from what is damaged, and the
same commands make everything again."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from orderdp.__main__ import main
from orderdp.jobs.finished import REMOVABLE
from orderdp.tracking.tracker import _Cache
from tests.faults.count import Count, Fault
from tests.faults.undisturbed import Undisturbed


def half(path: Path, other: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path, other: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path, other: Path) -> None:
    path.write_bytes(random.Random(path.name).randbytes(path.stat().st_size + 7))


def flipped(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(bytes(content))


def swapped(path: Path, other: Path) -> None:
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


def gone(path: Path, other: Path) -> None:
    path.unlink()


def folder(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_nothing(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


Damage = Callable[[Path, Path], None]
DAMAGES: tuple[Damage, ...] = (half, empty, garbage, flipped, swapped, gone, folder, link_to_nothing)
COMMANDS = (["plan"], ["plan", "--jobs"], ["verify"], ["report", "--only", "table2"], ["report", "--page"], ["track"],
            ["gc"], ["gc", "--damaged"])  # fmt: skip


def faults(undisturbed: Undisturbed) -> Iterator[Fault]:
    """Every file of a project's results, each with every damage."""
    project = undisturbed.folder
    for pattern in ("runs/*/*", "reports/*/provenance/*", "reports/*/tables/table2.*", ".work/*.json"):
        for path in sorted(project.glob(pattern)):
            for damage in DAMAGES:
                if path.is_file() and path.stat().st_size > 1:
                    name = f"{damage.__name__} {path.relative_to(project)}"
                    yield Fault(name, lambda c, p=path, d=damage: inject(project, p, d, c))


def inject(project: Path, path: Path, damage: Damage, count: Count) -> None:
    """Damages a file, calls every command, and restores the file."""
    others = [each for each in sorted(project.glob(f"runs/*/{path.name}")) if each != path]
    other = others[0] if others else project / "params.yaml"
    kept = {each: each.read_bytes() for each in (path, other)}
    reports, saved = project / "reports", project / ".reports"
    shutil.copytree(reports, saved)
    table = {each: each.read_bytes() for each in sorted(reports.glob("*/tables/table2.*"))}
    where = f"{damage.__name__} {path.relative_to(project)}"
    if damage is swapped and (not others or kept[path] == kept[other]):
        shutil.rmtree(saved)
        return
    damage(path, other)
    weights = path.name.endswith(REMOVABLE)
    is_result = path.is_relative_to(project / "runs")
    try:
        said = {" ".join(command): call(project, command, where, count) for command in COMMANDS}
        status, _ = said["verify"]
        unfinished = path.name == "summary.json" and damage in (gone, link_to_nothing)
        proxy = path.parent.name.startswith("proxy-")  # nothing reads it any more
        if (
            is_result
            and status == 0
            and not (proxy and unfinished)
            and not (weights and damage in (gone, link_to_nothing))
        ):
            count.expect(False, where, "verify agreed")
        if is_result and not unfinished and not weights and said["gc --damaged"][1].startswith("Every finished run"):
            count.expect(False, where, "gc --damaged found nothing")
        read = is_result and path.name in ("summary.json", "history.csv", "selection.npz") and not unfinished
        if read and path not in table:
            changed = [each for each, content in table.items() if each.is_file() and each.read_bytes() != content]
            if changed:
                count.expect(False, where, f"{changed[0].name} was made from it")
    finally:
        shutil.rmtree(reports)
        saved.rename(reports)
        for each, content in kept.items():
            if each.is_symlink() or each.is_file():
                each.unlink()
            elif each.is_dir():
                shutil.rmtree(each)
            each.write_bytes(content)


def call(project: Path, command: list[str], where: str, count: Count) -> tuple[int, str]:
    """A command as the user calls it, in this process: (status, what it said)."""
    before, output = Path.cwd(), io.StringIO()
    os.chdir(project)
    _Cache.store = None
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = main(command)
    except SystemExit as error:
        status = int(error.code or 0)
    except Exception:
        status = 1
        count.read(f"{where}: {' '.join(command)}", traceback.format_exc(limit=-3))
    finally:
        os.chdir(before)
    count.read(f"{where}: {' '.join(command)}", output.getvalue())
    return status, output.getvalue()
