"""All results on one page, `results/index.md`, and those that have a goal by kind of CPU, `results/goals.md`: written
again from the tables whenever one changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.measuring import MACHINE, MEASURED
from orderdp.files import write

SPEED_UPS = {"engine", "gpu"}
"""Where a goal is the least ratio hoped for; elsewhere it is the largest."""


def write_summary(folder: Path, names: list[str]) -> None:
    """Writes the page over the benchmarks that have a table in a folder of a kind of CPU."""
    found = {
        name: {path.parent.name: pd.read_csv(path) for path in sorted(folder.glob(f"*/{name}.csv"))} for name in names
    }
    parts = ["# Results\n\nWritten by `python -m benchmarks`. `../README.md` explains each line."]
    for name, tables in found.items():
        if tables:
            parts.append("\n\n".join([f"## {name}", *(section(name, kind, table) for kind, table in tables.items())]))
    write(folder / "index.md", "\n\n".join(parts) + "\n")
    write(folder / "goals.md", "# Goals by kind of CPU\n\n" + goals(found) + "\n")


def goals(found: Mapping[str, Mapping[str, pd.DataFrame]]) -> str:
    """A table of the lines that have a goal, with a column for each kind of CPU.

    Args:
        found: benchmark -> kind of CPU -> its table.
    """
    kinds = sorted({kind for tables in found.values() for kind in tables})
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for name, tables in found.items():
        told = _telling(list(tables.values()))
        for kind, frame in tables.items():
            for _, row in frame.iterrows():
                if aim := goal(name, row):
                    wanted, verdict = aim
                    thing = ", ".join(f"{key.replace('_', ' ')} {shown(row[key])}" for key in told)
                    cells = lines.setdefault((name, thing, wanted), {})
                    cells[kind] = f"{row['ratio']:.4g} ({verdict})"
    rows = [[*line, *(cells.get(kind, "not measured") for kind in kinds)] for line, cells in lines.items()]
    heads = ["benchmark", "of", "goal", *kinds]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *rows))


def _telling(frames: Sequence[pd.DataFrame]) -> list[str]:
    """The first keys that are enough to tell the rows of a table apart: those behind them may be measured."""
    if not frames:
        return []
    every = pd.concat(frames)
    told: list[str] = []
    for key in _keys(every):
        if not any(frame.duplicated(told).any() if told else len(frame) > 1 for frame in frames):
            break
        if every[key].nunique(dropna=False) > 1:
            told.append(key)
    return told


def _keys(frame: pd.DataFrame) -> list[str]:
    """A benchmark's own columns."""
    return [column for column in frame.columns if column not in (*MEASURED, *MACHINE)]


def section(name: str, kind: str, frame: pd.DataFrame) -> str:
    """One benchmark on one kind of CPU: machine, figure, and a line per ratio."""
    keys = _keys(frame)
    first = frame.iloc[0]
    where = (
        f"{first['cpu']}, {first['vectors']}, {first['cores']} cores, threads {first['threads']}, "
        f"load {first['load']}, torch {first['torch']}"
    )
    picture = f"![{name} on {first['vectors']}]({kind}/{name}.png)"
    lines = [f"`python -m benchmarks {name}` on {where}.", "", picture, ""]
    lines += ["| " + " | ".join([*keys, "ratio", "quartiles", "goal"]) + " |", "|---" * (len(keys) + 3) + "|"]
    for _, row in frame.iterrows():
        low, high = row.get("ratio_low"), row.get("ratio_high")
        quartiles = f"{low:.4g} to {high:.4g}" if pd.notna(low) and pd.notna(high) else ""
        cells = [shown(row[key]) for key in keys] + [shown(row["ratio"]), quartiles, ": ".join(goal(name, row) or ())]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(value: object) -> str:
    """A number without a needless fraction; nothing for a missing value."""
    if not isinstance(value, float):
        return str(value)
    return "" if value != value else f"{value:.10g}"


def goal(name: str, row: pd.Series) -> tuple[str, str] | None:
    """The goal in words, and whether the median met or missed it; None for a line without one."""
    wanted = row.get("goal")
    if wanted is None or pd.isna(wanted):
        return None
    met = row["ratio"] >= wanted if name in SPEED_UPS else row["ratio"] <= wanted
    return f"{'at least' if name in SPEED_UPS else 'at most'} {wanted:g}", "met" if met else "missed"
