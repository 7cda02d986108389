"""Which module makes the tables and figures of an experiment. A new one needs its module and a line here."""

from __future__ import annotations

import importlib

from orderdp.reporting.items.base import Figure, Item, Table

MODULES: dict[str, str] = {
    "table1": "table01",
    "table2": "table02",
    "table3": "table03_05",
    "table4": "table03_05",
    "table5": "table03_05",
    "table6": "table06_07",
    "table7": "table06_07",
    "table8": "table08_11",
    "table9": "table09",
    "table10": "table10",
    "table11": "table08_11",
    "figure1": "figure01",
    "figure3": "figure03_04",
    "figure4": "figure03_04",
    "figures5_8": "figure05_08",
    "figures9_11": "figure09_11",
    "figures12_13": "figure12_13",
    "theory": "theory",
    "errata": "errata",
    "variants": "variants",
}
"""Experiment -> its module in `orderdp.reporting.items`, whose `ITEMS` has it. Only modules that are needed are
imported."""


def item_of(experiment: str) -> Item | None:
    """What is made of an experiment; None of one that only trains, such as a user's own.

    Raises:
        LookupError: the module does not define it, or without a caption.
    """
    if experiment not in MODULES:
        return None
    module = importlib.import_module(f"orderdp.reporting.items.{MODULES[experiment]}")
    item: Item | None = module.ITEMS.get(experiment)
    if item is None or not item.caption.strip():
        missing = f"ITEMS[{experiment!r}]" if item is None else f"a caption of {experiment!r}"
        raise LookupError(f"{module.__file__} needs {missing}, since orderdp/reporting/registry.py names it")
    return item


def artifacts_of(experiment: str) -> tuple[Table | Figure, ...]:
    """The tables and figures of an experiment; none of one that only trains."""
    item = item_of(experiment)
    return () if item is None else item.artifacts
