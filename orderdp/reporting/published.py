"""The numbers that the paper prints, as they are printed, right or wrong.

`published.csv` has one number per line: table, row, column, value, std, unit, source.

- `table`: `table1` .. `table11`; `figure1`, `figure3`, `figure4` for numbers that the text states of a
  figure; `text` for others.
- `row`: the method, under one name everywhere. The paper's "Ours" is `OrderDP`, "Full Data" and "Full
  Dataset" are `Whole Dataset`, "Random" of table 3 is `Dynamic Random`, "Hherding" is `Herding`, and the
  Greek letter is spelt out in `epsilon-greedy`.
- `column`: `dataset/model/ratio[/qualifier=value ...][/quantity]`, see :func:`parse_column`. `ratio` is the
  prune ratio in %: `0` is the full data, `lossless` the highest ratio without loss of accuracy, `limit` the
  highest that the method can reach, `any` unsaid. The `quantity` is the accuracy where none is named.
  Examples: `CIFAR10/ResNet-18/30`, `CIFAR10/ResNet-18/30/gap`,
  `CIFAR100/ResNet-50/61/progress=30-50/gradient-norm`.
- `value`: as printed; a decimal number or a fraction such as `3/25`. A `gap` is positive where the method is
  below the full data. A quantity that ends in `-above`, `-below`, `-from` or `-to` is a bound: "over 40%" is
  `saved-above` 40.
- `std`: what the paper prints behind a plus-minus sign, or empty.
- `unit`: `%`, `points` (of %), `h`, `n*h` (node hours), `1` (a plain number).
- `source`: page and table or section.

Paper: table 9's caption says ResNet-50 where appendix D.6 says ResNet-18; here ResNet-50, because its
full-data accuracy is that of ResNet-50 in table 2. Its runs are at a real ratio of 0.61 (61), which the text
also calls 70%.
"""

from __future__ import annotations

import csv
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FILE = Path(__file__).with_name("published.csv")
QUALIFIERS = ("progress", "optimizer", "kept")
COLUMN_PARTS = ("dataset", "model", "ratio", *QUALIFIERS, "quantity")


def parse_column(column: str) -> dict[str, str]:
    """Take a column's name apart.

    Args:
        column: for example `CIFAR100/ResNet-18/40/progress=0-20/jaccard`.

    Returns:
        dataset, model, ratio, quantity, and the qualifiers that it has (progress in % of the epochs,
        optimizer, kept indices).

    Raises:
        ValueError: the name does not follow the scheme of this module.
    """
    parts = column.split("/")
    qualifiers = dict(part.split("=", 1) for part in parts[3:] if "=" in part)
    quantities = [part for part in parts[3:] if "=" not in part]
    if len(parts) < 3 or len(quantities) > 1 or not set(qualifiers) <= set(QUALIFIERS) or not all(parts):
        raise ValueError(f"The column {column!r} must be 'dataset/model/ratio[/qualifier=value ...][/quantity]'.")
    return {
        "dataset": parts[0],
        "model": parts[1],
        "ratio": parts[2],
        **qualifiers,
        "quantity": (quantities or ["accuracy"])[0],
    }


def load_published() -> pd.DataFrame:
    """All published numbers.

    Returns:
        The columns of the file, with `value` and `std` as floats (std NaN where none is printed), `printed`
        (the value's text), and one column per part of the column's name (empty string where it has no such
        part).
    """
    import pandas as pd

    frame = pd.DataFrame(_lines())
    frame["printed"] = frame["value"]
    frame["value"] = frame["value"].map(_number)
    frame["std"] = frame["std"].map(lambda text: _number(text) if text else float("nan"))
    parts = pd.DataFrame(list(frame["column"].map(parse_column)), columns=list(COLUMN_PARTS)).fillna("")
    return frame.join(parts)


def lookup(table: str, row: str, column: str) -> tuple[float, float | None] | None:
    """One published number with its deviation, for a caller that can do without.

    Args:
        table: for example `table2`.
        row: for example `OrderDP`.
        column: for example `CIFAR10/ResNet-18/30`.

    Returns:
        (value, std), std None where the paper prints none; None where the paper has no such number.
    """
    line = _index().get((table, row, column))
    if line is None:
        return None
    return _number(line["value"]), _number(line["std"]) if line["std"] else None


def value(table: str, row: str, column: str) -> float:
    """One published number.

    Args:
        table: for example `table2`.
        row: for example `OrderDP`.
        column: for example `CIFAR10/ResNet-18/30`.

    Raises:
        KeyError: the paper has no such number; the message lists the names there are at the first level that
            does not match.
    """
    found = lookup(table, row, column)
    if found is not None:
        return found[0]
    lines = _lines()
    for level, key, lines_here in (
        ("table", table, lines),
        ("row", row, [line for line in lines if line["table"] == table]),
        ("column", column, [line for line in lines if (line["table"], line["row"]) == (table, row)]),
    ):
        known = list(dict.fromkeys(line[level] for line in lines_here))
        if key not in known:
            raise KeyError(f"No published {level} {key!r} for {(table, row, column)}. Known: {', '.join(known)}.")
    raise AssertionError("unreachable: all three levels are known")


def _number(text: str) -> float:
    return float(Fraction(text))


@cache
def _lines() -> tuple[dict[str, str], ...]:
    with FILE.open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


@cache
def _index() -> dict[tuple[str, str, str], dict[str, str]]:
    return {(line["table"], line["row"], line["column"]): line for line in _lines()}
