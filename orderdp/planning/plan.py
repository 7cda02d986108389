"""What would run and why; what is left over; whether the reports still belong to the runs."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orderdp.grid import Grid
from orderdp.jobs import Job, is_finished
from orderdp.jobs.costs import FAST_GPU, Calibration, data_mb, facts, is_measured, key, run_mb, seconds
from orderdp.jobs.finished import DamagedRun, damaged, read_summary
from orderdp.jobs.train import Train

UNSHOWN = "orderdp/reporting/registry.py has no entry for it"


class Earlier:
    """Finished runs that lie here, by the readable part of their names. The folder is listed once, a spec is read when
    it is asked for."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.names: dict[str, list[str]] = defaultdict(list)
        for entry in os.scandir(runs) if runs.is_dir() else ():
            self.names[entry.name.rpartition("-")[0]].append(entry.name)

    def reason(self, job: Job) -> str:
        """Why a job that is not finished has to run, compared with the newest run of the same readable name."""
        records = [
            self.runs / name / "spec.json" for name in self.names[job.name.rpartition("-")[0]] if name != job.name
        ]
        if not (records := [path for path in records if path.exists()]):
            return "no run yet"
        now = job.record()
        try:
            record: dict[str, Any] = json.loads(max(records, key=lambda path: path.stat().st_mtime).read_text())
            record = {"spec": record["spec"], "sources": record["sources"]}
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            return "no run yet whose spec.json can be read"
        edited = sorted(
            k for k in now["sources"] | record["sources"] if now["sources"].get(k) != record["sources"].get(k)
        )
        changed = sorted(_differences("", record["spec"], now["spec"]))
        return "; ".join(
            ([f"changed: {', '.join(changed)}"] if changed else [])
            + ([f"edited: {', '.join(edited)}"] if edited else [])
        )


def _differences(key: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old | new:
            yield from _differences(f"{key}.{name}" if key else name, old.get(name), new.get(name))
    elif old != new:
        yield f"{key} {old!r} -> {new!r}"


@dataclass(frozen=True)
class Estimate:
    """Seconds of every missing run, and in words what they are based on."""

    seconds: Mapping[str, float]
    basis: str

    @property
    def hours(self) -> float:
        """Of all of them, one after another on one device."""
        return sum(self.seconds.values()) / 3600


def estimate(missing: Iterable[Train], measured: Calibration | None) -> Estimate:
    """Estimates runs from a calibration, and where it has no rate from what a fast GPU was measured to do."""
    missing = list(missing)
    assumed = sum(not is_measured(run.spec, measured) for run in missing)
    basis = f"{FAST_GPU}; older cards take two to three times as long (measure this device: plan --calibrate)"
    if measured is not None and assumed < len(missing):
        when = time.strftime("%Y-%m-%d", time.localtime(measured.when))
        basis = f"what steps took on {measured.device} ({measured.name}) by {when}"
        basis += f"; {assumed} runs from {FAST_GPU}" if assumed else ""
    return Estimate({run.name: seconds(run.spec, measured) for run in missing}, basis)


def observed(grid: Grid, runs: Path) -> Calibration | None:
    """Rates of the grid's finished runs, as a calibration would have them: medians on the device of the newest; None if
    none is finished."""
    devices: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    newest: dict[tuple[str, str], float] = {}
    for run in grid.runs.values():
        summary = None
        with contextlib.suppress(DamagedRun):
            summary = read_summary(runs, run.name)
        if summary is None:
            continue
        where = (summary["environment"]["device"], summary["environment"]["device_name"])
        newest[where] = max(newest.get(where, 0.0), summary["ended"])
        tested = math.ceil(summary["epochs"] / run.spec.recipe.evaluate_every) * facts(run.spec.dataset)["n_test"]
        ranks = summary["environment"].get("ranks", 1)  # seconds of a device for each second that passes
        trained_s = summary["selection_s"] + summary["training_s"]
        devices[where][key(run.spec)].append(
            (ranks * trained_s / summary["samples"], ranks * summary["evaluation_s"] / tested)
        )
    if not newest:
        return None
    where = max(newest, key=lambda where: newest[where])
    rates = {}
    for kind, found in devices[where].items():
        training, evaluation = zip(*found, strict=True)
        rates[kind] = {"sample_s": statistics.median(training), "test_sample_s": statistics.median(evaluation)}
    return Calibration(*where, newest[where], rates)


def filling(grid: Grid, costs: Mapping[str, float]) -> list[tuple[str, float]]:
    """The order in which the report fills up fastest: next always the experiment that lacks the fewest hours.

    Args:
        grid: the experiments.
        costs: missing run -> its seconds. Runs that an experiment shares with an earlier one cost nothing again.

    Returns:
        (experiment, seconds until it is complete, counted from the start), for every experiment.
    """
    left = {name: {run for run in experiment.runs if run in costs} for name, experiment in grid.experiments.items()}
    order, clock = [], 0.0
    while left:
        lacks = {name: sum(costs[run] for run in sorted(lacking)) for name, lacking in left.items()}
        name = min(lacks, key=lambda name: lacks[name])  # the grid's own order decides between equals
        clock += lacks[name]
        order.append((name, clock))
        done = left.pop(name)
        for lacking in left.values():
            lacking -= done
    return order


def describe(grid: Grid, runs: Path, measured: Calibration | None = None) -> str:
    """The plan as text: counts per experiment, reasons, hours, disk, and when each experiment is complete."""
    missing = [run for name, run in grid.runs.items() if not is_finished(runs, name)]
    measured = measured or observed(grid, runs)
    found, earlier = estimate(missing, measured), Earlier(runs)
    lines = [
        f"Scale {grid.scale}: {len(grid.runs)} runs, {len(grid.runs) - len(missing)} finished, {len(missing)} to train."
    ]
    lines += [str(DamagedRun(runs / name, why)) for name, why in damaged(runs, grid.jobs).items()]
    for experiment in grid.experiments.values():
        todo = [run for run in experiment.runs if run in found.seconds]
        lines.append(
            f"  {experiment.name:<14} {experiment.reproduces:<24} {len(experiment.runs):>4} runs, "
            f"{len(todo):>4} to train" + (f", {_hours(sum(found.seconds[run] for run in todo))}" if todo else "")
        )
        if experiment.left_out:
            lines.append(
                f"  {'':<14} without {', '.join(experiment.left_out)}, for which scales.{grid.scale}.substitutes names "
                "nothing"
            )
        if not experiment.shown:
            lines.append(f"  {'':<14} its runs are trained, but no table or figure is made of them: {UNSHOWN}")
    if grid.differences:
        lines += [f"Different at this scale, by scales.{grid.scale}:", *(f"  {line}" for line in grid.differences)]
    for why, count in Counter(earlier.reason(run) for run in missing).most_common():
        lines.append(f"Because of {why}: {count}")
    if missing:
        kind = "CPU" if measured is not None and measured.device == "cpu" else "GPU"
        lines.append(f"Estimated: {found.hours:,.1f} {kind} hours, one run after another. Based on {found.basis}.")
    lines.append(disk(grid))
    if missing:
        lines.append(
            "The report fills up fastest in this order; `snakemake artifact_NAME` trains what one of them lacks:"
        )
        lines += [f"  {name:<14} complete after {_hours(clock)}" for name, clock in filling(grid, found.seconds)]
    return "\n".join(lines)


def listed(grid: Grid, runs: Path) -> str:
    """The names of all jobs, each with whether it is finished or why it has to run."""
    earlier = Earlier(runs)
    return "\n".join(
        f"{name}  {'finished' if is_finished(runs, name) else earlier.reason(job)}" for name, job in grid.jobs.items()
    )


def disk(grid: Grid) -> str:
    """Estimated room for all runs of a grid and its data, finished or not."""
    weights = sum(run_mb(run.spec, run.keep_models) for run in grid.runs.values())
    bare = sum(run_mb(run.spec, "none") for run in grid.runs.values())
    data = {name: data_mb(spec) for name, spec in grid.dataset_specs.items()}
    sizes = ", ".join(f"{name} {size:,.0f}" for name, size in data.items())
    return (
        f"Disk: about {weights:,.0f} MB in runs/ ({weights - bare:,.0f} of them trained weights), "
        f"{sum(data.values()):,.0f} MB of decoded images ({sizes})."
    )


def _hours(value: float) -> str:
    return f"{value / 3600:,.1f} h" if value >= 360 else f"{value / 60:,.1f} min"


def leftovers(grids: Iterable[Grid], runs: Path, work: Path) -> list[Path]:
    """Run folders, finished or begun, that no scale's grid asks for."""
    wanted = {name for grid in grids for name in grid.jobs}
    folders = [path for base in (runs, work) if base.is_dir() for path in sorted(base.iterdir()) if path.is_dir()]
    return [
        path
        for path in folders
        if path.name not in wanted and any((path / f).exists() for f in ("spec.json", "status.json"))
    ]


def collect_garbage(grids: Iterable[Grid], runs: Path, work: Path, delete: bool, damaged_only: bool = False) -> str:
    """Lists leftovers with their sizes, or the folders of finished jobs that are damaged, and deletes them if told
    to."""
    lines = []
    if damaged_only:
        wanted = dict.fromkeys(name for grid in grids for name in grid.jobs)
        found = {runs / name: why for name, why in damaged(runs, wanted, contents=True).items()}
    else:
        found = dict.fromkeys(leftovers(grids, runs, work), "no grid asks for it")
    for path, why in found.items():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        lines.append(f"{'deleted ' if delete else ''}{size / 1e6:8.2f} MB  {path}: {why}")
        if delete:
            shutil.rmtree(path)
    if not lines:
        return "Every finished run is as it was written." if damaged_only else "Every run belongs to a grid."
    return "\n".join(lines) + ("" if delete else f"\n{len(lines)} folders. Run again with --delete to remove them.")
