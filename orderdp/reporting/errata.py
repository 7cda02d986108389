"""The paper's errors: `errata.csv` has the words, `corrections` computes every number in them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from orderdp.reporting.corrections import CORRECTIONS
from orderdp.reporting.sheets import Block, Entry, Sheet

ERRATA = Path(__file__).with_name("errata.csv")
"""id, where in the paper, printed, right, because, function: texts name values of the function in braces, with their
format."""


def errata(settings: Mapping[str, Any]) -> pd.DataFrame:
    """Every error with its numbers.

    Args:
        settings: of the experiment: n, s and q of the paper's default split.

    Returns:
        One row per error: id, where, printed, right, because, `how` ("computed: <function>" or "by reading").
    """
    with ERRATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return pd.DataFrame([_row(row, settings) for row in rows])


def _row(row: dict[str, str], settings: Mapping[str, Any]) -> dict[str, str]:
    values = CORRECTIONS[row["function"]](settings)
    how = "by reading" if row["function"] == "nothing" else f"computed: {row['function']}"
    return {
        "id": row["id"],
        "where": row["where"],
        **{key: row[key].format(**values) for key in ("printed", "right", "because")},
        "how": how,
    }


def errata_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet of texts."""
    columns = ["where", "printed", "right", "because", "how"]
    rows = tuple(
        tuple(map(Entry, row)) for row in table[columns].fillna("").itertuples(index=False)
    )  # empty texts come back from a CSV as NaN
    return [
        Sheet(
            title=f"{len(table)} slips in the paper, with what is right",
            columns=("Where", "Printed", "Right", "Because", "How it is known"),
            blocks=(Block("", rows),),
            notes=(
                "Every number is computed when this table is made: printed ones from the printed formula or table, right ones by the named function of this project.",
            ),
            text=True,
        )
    ]
