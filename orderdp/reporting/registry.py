"""Experiment -> its tables and figures, and the functions that make them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orderdp.files import write
from orderdp.reporting import (
    curves,
    errata,
    imagenet,
    kept,
    layouts,
    lossless,
    phases,
    ranks,
    results,
    sheets,
    statics,
    style,
    subsets,
    tables,
    theorems,
    toy_table,
    tradeoffs,
    usage,
    variants,
)
from orderdp.reporting.sheets import write_csv

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as MatplotlibFigure

READERS: dict[str, Callable[..., Any]] = {
    "results": results.collect,
    "pretrainings": results.pretrainings,
    "histories": results.histories,
    "selections": results.selections,
    "diagnostics": results.diagnostics,
    "profiles": results.profiles,
    "study": results.study,
    "settings": results.settings,
    "costs": subsets.costs,
    "overlaps": subsets.overlaps,
}
"""What an artifact may read -> the function of `results.py` that gives it."""


@dataclass(frozen=True)
class Table:
    """A table: `data` takes the frames named in `reads`; `layout` arranges its result for readers."""

    name: str
    title: str
    reads: tuple[str, ...]
    data: Callable[..., pd.DataFrame]
    layout: Callable[[pd.DataFrame], list[sheets.Sheet]]
    folder = "tables"
    kinds = ("csv", "md", "tex")

    def write(self, data: pd.DataFrame, stem: Path, footer: str) -> None:
        """Writes `<stem>.csv`, `.md` and `.tex`."""
        write_csv(stem.with_suffix(".csv"), data)
        pages = self.layout(data)
        write(stem.with_suffix(".md"), "\n".join(map(sheets.markdown, pages)) + f"\n{footer}\n")
        write(stem.with_suffix(".tex"), "\n".join(map(sheets.latex, pages)))


@dataclass(frozen=True)
class Figure:
    """A figure: `data` takes the frames named in `reads`; `draw` takes its result and a footer."""

    name: str
    title: str
    reads: tuple[str, ...]
    data: Callable[..., pd.DataFrame]
    draw: Callable[[pd.DataFrame, str], MatplotlibFigure]
    folder = "figures"
    kinds = ("csv", "png", "pdf")

    def write(self, data: pd.DataFrame, stem: Path, footer: str) -> None:
        """Writes `<stem>.csv` (the numbers drawn), `.png` and `.pdf`."""
        write_csv(stem.with_suffix(".csv"), data)
        style.save(self.draw(data, footer), stem)


def _ranks(
    number: int, data: Callable[..., pd.DataFrame], draw: Callable[[pd.DataFrame, str], MatplotlibFigure]
) -> Figure:
    return Figure(f"figure{number}", f"Figure {number}", ("settings",), data, draw)


def _usage(number: int, place: int, last: bool = False) -> Figure:
    return Figure(f"figure{number}", f"Figure {number}", ("selections",), usage.usage_at(place, last), usage.draw_usage)


def _time(number: int, place: int, last: bool = False) -> Figure:
    data = curves.time_to_accuracy(place, last)
    return Figure(f"figure{number}", f"Figure {number}", ("results", "histories"), data, curves.draw_time_to_accuracy)


ARTIFACTS: dict[str, tuple[Table | Figure, ...]] = {
    "table1": (
        Table("table1", "Table 1", ("results", "costs"), statics.table1, statics.table1_sheets),
        Figure("table1_accuracy", "Table 1 as curves", ("results", "costs"), statics.table1, statics.draw_accuracy),
        Figure("table1_cost", "Cost of Table 1's methods", ("results", "costs"), statics.table1, statics.draw_cost),
        Figure(
            "table1_overlap", "Overlap of Table 1's coresets", ("overlaps",), statics.overlap_data, statics.draw_overlap
        ),
    ),
    "table2": (Table("table2", "Table 2", ("results",), tables.table2, layouts.table2_sheets),),
    "table3": (Table("table3", "Table 3", ("results",), imagenet.table3, imagenet.table3_sheets),),
    "table4": (Table("table4", "Table 4", ("results",), imagenet.table4, imagenet.table4_sheets),),
    "table5": (Table("table5", "Table 5", ("results", "pretrainings"), imagenet.table5, imagenet.table5_sheets),),
    "table6": (Table("table6", "Table 6", ("results",), lossless.table6, lossless.table6_sheets),),
    "table7": (Table("table7", "Table 7", ("results",), lossless.table7, lossless.table7_sheets),),
    "table9": (Table("table9", "Table 9", ("results", "histories"), tables.table9, layouts.table9_sheets),),
    "figure1": (Figure("figure1", "Figure 1", ("results", "histories"), curves.figure1, curves.draw_figure1),),
    "figure3": (Figure("figure3", "Figure 3", ("results",), tradeoffs.figure3, tradeoffs.draw_figure3),),
    "figure4": (Figure("figure4", "Figure 4", ("results",), tradeoffs.figure4, tradeoffs.draw_figure4),),
    # One figure per prune ratio of the grid, ascending; the last shows any that are left.
    "figures9_11": (_usage(9, 0), _usage(10, 1), _usage(11, 2, last=True)),
    "figures5_8": (
        _ranks(5, ranks.figure5, ranks.draw_figure5),
        _ranks(6, ranks.figure6, ranks.draw_figure6),
        _ranks(7, ranks.figure7, ranks.draw_figure7),
        _ranks(8, ranks.figure8, ranks.draw_figure8),
    ),
    "table8": (Table("table8", "Table 8", ("results", "histories"), phases.table8, phases.table8_sheets),),
    "table10": (Table("table10", "Table 10", ("settings",), toy_table.table10, toy_table.table10_sheets),),
    "table11": (
        Table("table11", "Table 11", ("results", "diagnostics"), phases.table11, phases.table11_sheets),
        Table("kept", "What is kept", ("results", "diagnostics"), kept.kept_table, kept.kept_sheets),
        Figure(
            "kept",
            "What is kept",
            ("results", "histories", "diagnostics", "profiles"),
            kept.kept_figure,
            kept.draw_kept,
        ),
    ),
    "theory": (
        Table("theorems", "The theorems", ("study",), theorems.theorems, theorems.theorem_sheets),
        Figure("theorems", "The theorems", ("study",), theorems.theorem_curves, theorems.draw_theorems),
    ),
    "errata": (Table("errata", "Errata", ("settings",), errata.errata, errata.errata_sheets),),
    "figures12_13": (_time(12, 0), _time(13, 1, last=True)),
    "variants": (
        Table("variants", "Table of variants", ("results",), variants.variants, variants.variant_sheets),
        Figure("variants_accuracy", "Figure of variants", ("results",), variants.variants, variants.draw_variants),
    ),
}
"""Experiment of `params.yaml` -> what is made of it."""


def artifacts_of(experiment: str) -> tuple[Table | Figure, ...]:
    """The tables and figures of an experiment; none of an experiment that only trains, such as a user's own."""
    return ARTIFACTS.get(experiment, ())


def paths(artifact: Table | Figure) -> dict[str, Path]:
    """Kind ("csv", "md", ...) -> file of an artifact, relative to the report's folder."""
    return {kind: Path(artifact.folder) / f"{artifact.name}.{kind}" for kind in artifact.kinds}
