"""The paper's claims: `claims.csv` lists them, `statistics` computes the numbers, `verdicts` decides on them."""

from orderdp.reporting.claims.listed import CLAIMS, FIELDS, Claim, load_claims
from orderdp.reporting.claims.verdicts import COLUMNS, STABLE, UNCHECKED, decide, evaluate, stability

__all__ = [
    "CLAIMS",
    "COLUMNS",
    "FIELDS",
    "STABLE",
    "UNCHECKED",
    "Claim",
    "decide",
    "evaluate",
    "load_claims",
    "stability",
]
