"""What an item of the paper is made of: tables, figures, and the caption that explains them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from orderdp.files import write
from orderdp.reporting import sheets
from orderdp.reporting.sheets import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure


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
        from orderdp.reporting import style

        style.save(self.draw(data, footer), stem)


@dataclass(frozen=True)
class Item:
    """What is made of one experiment."""

    caption: str
    """Explains its tables and figures. Paragraphs are set apart by an empty line."""
    artifacts: tuple[Table | Figure, ...]


def paths(artifact: Table | Figure) -> dict[str, Path]:
    """Kind ("csv", "md", ...) -> file of an artifact, relative to the report's folder."""
    return {kind: Path(artifact.folder) / f"{artifact.name}.{kind}" for kind in artifact.kinds}
