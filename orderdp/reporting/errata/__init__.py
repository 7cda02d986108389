"""The paper's errors: `errata.csv` has the words; the functions here compute every number in them.

No result is typed in: printed numbers come from `published.csv` or from evaluating the printed formula, right ones from
`orderdp.theory`. A function takes the settings of the experiment and returns the values that its row's texts name.
Where a formula is shown at other sizes, they are examples, and the row states them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from orderdp.reporting.errata import formulas, tables, toy
from orderdp.reporting.errata.values import Settings, Values
from orderdp.reporting.sheets import Block, Entry, Sheet

ERRATA = Path(__file__).with_name("errata.csv")
"""id, where in the paper, printed, right, because, function (empty for what is found by reading): texts name values of
the function in braces, with their format."""

FUNCTIONS: dict[str, Callable[[Settings], Values]] = {
    name: function
    for module in (formulas, toy, tables)
    for name, function in vars(module).items()
    if getattr(function, "__module__", "") == module.__name__ and not name.startswith("_")
}
"""Name in `errata.csv` -> function: every public one of these modules."""


def errata(settings: Settings) -> pd.DataFrame:
    """Every error with its numbers.

    Args:
        settings: of the experiment: n, s and q of the paper's default split.

    Returns:
        One row per error: id, where, printed, right, because, `how` ("computed: <function>" or "by reading").
    """
    with ERRATA.open(encoding="utf-8", newline="") as file:
        return pd.DataFrame([_row(row, settings) for row in csv.DictReader(file)])


def _row(row: dict[str, str], settings: Settings) -> dict[str, str]:
    name = row["function"]
    values = FUNCTIONS[name](settings) if name else {}
    texts = {key: row[key].format(**values) for key in ("printed", "right", "because")}
    return {"id": row["id"], "where": row["where"], **texts, "how": f"computed: {name}" if name else "by reading"}


def errata_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet of texts."""
    texts = table[["where", "printed", "right", "because", "how"]].fillna("")  # empty texts come back from a CSV as NaN
    return [
        Sheet(
            title=f"{len(table)} slips in the paper, with what is right",
            columns=("Where", "Printed", "Right", "Because", "How it is known"),
            blocks=(Block("", tuple(tuple(map(Entry, row)) for row in texts.itertuples(index=False))),),
            notes=(
                "Every number is computed when this table is made: printed ones from the printed formula or table, "
                "right ones by the named function of this project.",
            ),
            text=True,
        )
    ]
