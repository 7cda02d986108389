"""All results on one page: `results/index.md`, written again from the tables whenever one changes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.measuring import MACHINE, MEASURED
from orderdp.files import write

SPEED_UPS = {"engine", "gpu"}
"""Where a goal is the least ratio hoped for; elsewhere it is the largest."""


def write_summary(folder: Path, names: list[str]) -> None:
    """Writes the page over the benchmarks that have a table in the folder."""
    parts = ["# Results\n\nWritten by `python -m benchmarks`. `../README.md` explains each line."]
    parts += [section(name, pd.read_csv(folder / f"{name}.csv")) for name in names if (folder / f"{name}.csv").exists()]
    write(folder / "index.md", "\n\n".join(parts) + "\n")


def section(name: str, frame: pd.DataFrame) -> str:
    """One benchmark: machine, figure, and a line per ratio."""
    keys = [column for column in frame.columns if column not in (*MEASURED, *MACHINE)]
    first = frame.iloc[0]
    where = (
        f"{first['cpu']}, {first['cores']} cores, threads {first['threads']}, load {first['load']}, "
        f"torch {first['torch']}"
    )
    lines = [f"## {name}", "", f"`python -m benchmarks {name}` on {where}.", "", f"![{name}]({name}.png)", ""]
    lines += ["| " + " | ".join([*keys, "ratio", "quartiles", "goal"]) + " |", "|---" * (len(keys) + 3) + "|"]
    for _, row in frame.iterrows():
        low, high = row.get("ratio_low"), row.get("ratio_high")
        quartiles = f"{low:.4g} to {high:.4g}" if pd.notna(low) and pd.notna(high) else ""
        cells = [shown(row[key]) for key in keys] + [shown(row["ratio"]), quartiles, goal(name, row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(value: object) -> str:
    """A number without a needless fraction; nothing for a missing value."""
    if not isinstance(value, float):
        return str(value)
    return "" if value != value else f"{value:.10g}"


def goal(name: str, row: pd.Series) -> str:
    """The goal, and whether the median meets it."""
    wanted = row.get("goal")
    if wanted is None or pd.isna(wanted):
        return ""
    met = row["ratio"] >= wanted if name in SPEED_UPS else row["ratio"] <= wanted
    return f"{'at least' if name in SPEED_UPS else 'at most'} {wanted:g}: {'met' if met else 'missed'}"
