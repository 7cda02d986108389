"""How the numbers of claims are written."""

from __future__ import annotations

DIGITS = {"points": (2, True), "%": (1, False), "R": (2, True), "z": (2, True), "×": (2, False)}
"""Unit -> digits after the point, and whether a sign is always shown. Other numbers have three or four significant
digits."""

SILENT = ("R", "z")
"""Units that only choose the digits."""


def number_text(value: float, unit: str) -> str:
    """A number with the digits that its unit deserves, and a true minus; a dash for none."""
    if value != value:
        return "–"
    digits, always = DIGITS.get(unit, (None, False))
    size = abs(value)
    plain = ",.0f" if size >= 1000 else ".4g" if size >= 1 else ".3g"
    text = f"{size:{plain}}" if digits is None else f"{size:.{digits}f}"
    sign = "" if float(text.replace(",", "")) == 0 else "−" if value < 0 else "+" if always else ""
    return sign + text


def interval_text(value: float, low: float, high: float, unit: str) -> str:
    """`−0.31 [−1.90, +1.28] points`, `×0.85 [0.81, 0.90]`."""
    if value != value:
        return "–"
    interval = "" if low != low else f" [{number_text(low, unit)}, {number_text(high, unit)}]"
    if unit == "×":
        return "×" + number_text(value, unit) + interval
    return number_text(value, unit) + interval + ("" if unit in SILENT or not unit else f" {unit}")
