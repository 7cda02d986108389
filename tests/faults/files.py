"""Damage to files: after each, every command says what is wrong in words, nothing is made from what is damaged, and the
same commands make everything again."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orderdp.__main__ import main
from orderdp.tracking.tracker import _Cache


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


@dataclass
class Count:
    """What came of the faults."""

    injected: int = 0
    lost: list[str] = field(default_factory=list)
    """Damaged content that was taken into a table or blessed, or a table that was lost."""
    tracebacks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.injected} faults injected, {len(self.lost)} results lost, {len(self.tracebacks)} tracebacks"


def faults(project: Path) -> Iterator[tuple[Path, Callable[[Path, Path], None]]]:
    """Every file of a project's results, each with every damage."""
    for pattern in ("runs/*/*", "reports/*/provenance/*", "reports/*/tables/table2.*", ".work/*.json"):
        for path in sorted(project.glob(pattern)):
            for damage in DAMAGES:
                if path.is_file() and path.stat().st_size > 1:
                    yield path, damage


def inject(project: Path, path: Path, damage: Callable[[Path, Path], None], count: Count) -> None:
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
    count.injected += 1
    weights = path.suffix == ".pt"
    is_result = path.is_relative_to(project / "runs")
    try:
        said = {" ".join(command): call(project, command, where, count) for command in COMMANDS}
        status, _ = said["verify"]
        unfinished = path.name == "summary.json" and damage in (gone, link_to_nothing)
        if is_result and status == 0 and not (weights and damage is gone):
            count.lost.append(f"{where}: verify agreed")
        if is_result and not unfinished and not weights and said["gc --damaged"][1].startswith("Every finished run"):
            count.lost.append(f"{where}: gc --damaged found nothing")
        read = is_result and path.name in ("summary.json", "history.csv", "selection.npz") and not unfinished
        if read and path not in table:
            changed = [each for each, content in table.items() if each.is_file() and each.read_bytes() != content]
            if changed:
                count.lost.append(f"{where}: {changed[0].name} was made from it")
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
        count.tracebacks.append(f"{where}: {' '.join(command)}\n{traceback.format_exc(limit=-3)}")
    finally:
        os.chdir(before)
    if "Traceback" in output.getvalue():
        count.tracebacks.append(f"{where}: {' '.join(command)}\n{output.getvalue()[-2000:]}")
    return status, output.getvalue()


def run(project: Path, most: int | None = None, seed: int = 0) -> Count:
    """All faults, or a random part of them."""
    every = list(faults(project))
    chosen = every if most is None else random.Random(seed).sample(every, min(most, len(every)))
    count = Count()
    for path, damage in chosen:
        inject(project, path, damage, count)
        print(f"\r{count}", end="", file=sys.stderr)
    return count
