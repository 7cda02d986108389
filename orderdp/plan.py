"""What would run and why; what is left over; whether the reports still belong to the runs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from orderdp.grid import Cell, Grid


def finished(runs: Path, cell: str) -> bool:
    """Whether a run's last file is there."""
    return (runs / cell / "summary.json").exists()


def reason(cell: Cell, runs: Path) -> str:
    """Why a cell that is not finished has to run: compared with finished runs of the same readable name."""
    stem = cell.name.removesuffix(cell.fingerprint)
    others = [path for path in sorted(runs.glob(f"{stem}*/spec.json")) if path.parent.name != cell.name]
    if not others:
        return "no run yet"
    latest = max(others, key=lambda path: path.stat().st_mtime)
    record: dict[str, Any] = json.loads(latest.read_text())
    mine = cell.record()
    edited = sorted(k for k in mine["sources"] | record["sources"] if mine["sources"].get(k) != record["sources"].get(k))
    changed = sorted(_differences("", record["spec"], mine["spec"]))
    return "; ".join(
        ([f"changed: {', '.join(changed)}"] if changed else []) + ([f"edited: {', '.join(edited)}"] if edited else [])
    )


def _differences(key: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old | new:
            yield from _differences(f"{key}.{name}" if key else name, old.get(name), new.get(name))
    elif old != new:
        yield f"{key} {old!r} -> {new!r}"


def describe(grid: Grid, runs: Path) -> str:
    """The plan as text: counts per experiment, reasons, and a cost estimate from the runs that exist."""
    missing = [cell for name, cell in grid.cells.items() if not finished(runs, name)]
    lines = [f"Scale {grid.scale}: {len(grid.cells)} runs, {len(grid.cells) - len(missing)} finished, {len(missing)} to train."]
    for experiment in grid.experiments.values():
        todo = sum(not finished(runs, cell) for cell in experiment.cells)
        lines.append(f"  {experiment.name:<14} {experiment.reproduces:<24} {len(experiment.cells):>4} runs, {todo:>4} to train")
    for why, count in Counter(reason(cell, runs) for cell in missing).most_common():
        lines.append(f"Because of {why}: {count}")
    if missing:
        lines.append(estimate(grid, missing, runs))
    return "\n".join(lines)


def estimate(grid: Grid, missing: Iterable[Cell], runs: Path) -> str:
    """Seconds that the missing runs would take, from finished runs of the same data set and network."""
    rates: dict[tuple[str, str], list[float]] = {}
    for path in runs.glob("*/summary.json"):
        summary, record = json.loads(path.read_text()), json.loads((path.parent / "spec.json").read_text())
        if "cell" not in record:  # a study, a proxy or coresets
            continue
        key = (str(record["spec"]["dataset"]), str(record["spec"]["model"]))
        rates.setdefault(key, []).append((summary["ended"] - summary["started"]) / record["spec"]["recipe"]["epochs"])
    seconds, unknown = 0.0, 0
    for cell in missing:
        spec = cell.spec.plain()
        known = sorted(rates.get((str(spec["dataset"]), str(spec["model"])), []))
        if known:
            seconds += known[len(known) // 2] * cell.spec.recipe.epochs
        else:
            unknown += 1
    text = f"Estimated training time, one run after another, without start-up: {seconds:,.0f} s"
    return text + (f", and {unknown} runs of a kind that has not run here yet." if unknown else ".")


def leftovers(grids: Iterable[Grid], runs: Path, work: Path) -> list[Path]:
    """Run folders, finished or begun, that no scale's grid asks for."""
    wanted = {name for grid in grids for name in grid.folders}
    folders = [path for base in (runs, work) if base.is_dir() for path in sorted(base.iterdir()) if path.is_dir()]
    return [path for path in folders if path.name not in wanted and any((path / f).exists() for f in ("spec.json", "status.json"))]


def collect_garbage(grids: Iterable[Grid], runs: Path, work: Path, delete: bool) -> str:
    """Lists leftovers with their sizes, and deletes them if told to."""
    lines = []
    for path in leftovers(grids, runs, work):
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        lines.append(f"{'deleted' if delete else 'unused '} {size / 1e6:8.2f} MB  {path}")
        if delete:
            shutil.rmtree(path)
    if not lines:
        return "Every run belongs to a grid."
    return "\n".join(lines) + ("" if delete else f"\n{len(lines)} folders. Run again with --delete to remove them.")
