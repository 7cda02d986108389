"""Errata: errors in the paper, and the right values."""

from __future__ import annotations

from orderdp.reporting.errata import errata, errata_sheets
from orderdp.reporting.items.base import Item, Table

ITEMS = {
    "errata": Item(
        caption="""
What the paper prints, what is right, and how that is known. The numbers are computed when this page is made, by the
functions that the tests hold to slow, literal twins.
""",
        artifacts=(Table("errata", "Errata", ("settings",), errata, errata_sheets),),
    )
}
