"""A table laid out for readers, and how it becomes Markdown or LaTeX; `templates/sheet.html.j2` makes HTML of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orderdp.files import write

if TYPE_CHECKING:
    import pandas as pd

LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}"},
    **{">": r"\textgreater{}", "±": r"$\pm$", "ε": r"$\varepsilon$", "−": "$-$", "–": "--", "÷": r"$\div$"},
    **{"×": r"$\times$", "Δ": r"$\Delta$", "≥": r"$\geq$", "≤": r"$\leq$", "→": r"$\rightarrow$"},
}


@dataclass(frozen=True)
class Entry:
    """One cell of a sheet."""

    text: str
    best: bool = False
    muted: bool = False


@dataclass(frozen=True)
class Block:
    """Rows under one heading."""

    heading: str
    rows: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True)
class Sheet:
    """A table for readers.

    The first column holds names. `spans` are the group headings above the columns: text and how many columns each
    covers; empty where there are none. `notes` are printed below. `text`: cells hold sentences, which may break over
    lines.
    """

    title: str
    columns: tuple[str, ...]
    blocks: tuple[Block, ...]
    spans: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    text: bool = False


def muted(texts: Iterable[str]) -> tuple[Entry, ...]:
    """A cell for each text, in the background: what the paper prints."""
    return tuple(Entry(text, muted=True) for text in texts)


def number(value: float, digits: int) -> str:
    """`41.2`, or a dash for a value that is missing."""
    return "–" if value != value else f"{value:.{digits}f}"


def signed(value: float, digits: int) -> str:
    """A difference with its sign, and a true minus. Zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("−" if value < 0 else "+") + text


def with_error(value: float, error: float, digits: int) -> str:
    """`97.1 ± 0.3`; the value alone if its error is unknown; a dash if the value is."""
    return number(value, digits) + ("" if value != value or error != error else f" ± {error:.{digits}f}")


def duration_text(seconds: float) -> str:
    """`3.1 s`, `12.0 min`, `21.1 h`."""
    size, unit = (1, "s") if seconds < 120 else (60, "min") if seconds < 7200 else (3600, "h")
    return "–" if seconds != seconds else f"{seconds / size:.1f} {unit}"


def markdown(sheet: Sheet) -> str:
    """GitHub's tables: one header line, so that a group heading's first words are repeated in front of each of its
    columns."""
    groups = [text.split(" (")[0] for text, span in sheet.spans for _ in range(span)] or [""] * len(sheet.columns)
    header = [f"{group}: {column}" if group else column for group, column in zip(groups, sheet.columns, strict=True)]
    lines = [f"**{_pipe(sheet.title)}**", "", _line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    for block in sheet.blocks:
        if block.heading:
            lines.append(_line([f"*{block.heading}*", *[""] * (len(header) - 1)]))
        lines += [_line([f"**{e.text}**" if e.best else e.text for e in row]) for row in block.rows]
    notes = [*(f"{text}." for text, _ in sheet.spans if " (" in text), *sheet.notes]
    return "\n".join([*lines, *(line for note in notes for line in ("", note))]) + "\n"


def _pipe(text: str) -> str:
    return text.replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_pipe(cell) for cell in cells) + " |"


def escape_latex(text: str) -> str:
    """Text with LaTeX's special characters, and those of the report outside of ASCII, written out."""
    return "".join(LATEX.get(character, character) for character in text)


def latex(sheet: Sheet) -> str:
    """A `table` environment; needs the package booktabs."""
    width = len(sheet.columns)
    lines = [
        "% needs \\usepackage{booktabs,graphicx}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{escape_latex(sheet.title)}}}",
        "\\resizebox{\\linewidth}{!}{%",
    ]
    column = f"p{{{1.6 / width:.2f}\\linewidth}}" if sheet.text else "r"
    lines += [f"\\begin{{tabular}}{{l{column * (width - 1)}}}", "\\toprule"]
    if sheet.spans:
        first, rules, cells = 1, [], []
        for text, span in sheet.spans:
            cells.append(f"\\multicolumn{{{span}}}{{c}}{{{escape_latex(text)}}}")
            rules += [f"\\cmidrule(lr){{{first}-{first + span - 1}}}"] if text else []
            first += span
        lines += [" & ".join(cells) + r" \\", "".join(rules)]
    lines += [" & ".join(map(escape_latex, sheet.columns)) + r" \\"]
    for block in sheet.blocks:
        lines.append("\\midrule")
        if block.heading:
            lines.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{escape_latex(block.heading)}}}}} \\\\")
        for row in block.rows:
            lines.append(
                " & ".join(f"\\textbf{{{escape_latex(e.text)}}}" if e.best else escape_latex(e.text) for e in row)
                + r" \\"
            )
    lines += ["\\bottomrule", "\\end{tabular}}"]
    lines += [f"\\par\\smallskip\\footnotesize {escape_latex(note)}" for note in sheet.notes]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Writes a table of data. Ten digits: more than any number here means, fewer than differ between machines."""
    write(path, frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
