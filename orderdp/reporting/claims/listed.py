"""The paper's claims as they are listed: one row of `claims.csv` each."""

from __future__ import annotations

import csv
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orderdp.reporting.claims.statistics import STATISTICS

CLAIMS = Path(__file__).with_name("claims.csv")
FIELDS = ("id", "topic", "where", "statement", "experiments", "rule", "statistic", "arguments")


@dataclass(frozen=True)
class Claim:
    """A row of `claims.csv`."""

    id: str
    topic: str
    where: str
    """In the paper."""
    statement: str
    """In the words of this project."""
    experiments: tuple[str, ...]
    """Names in `params.yaml`; empty for claims that arithmetic decides."""
    rule: str
    """In words: which number, which interval, what makes it supported or contradicted."""
    statistic: str
    """Name in STATISTICS."""
    arguments: dict[str, Any]


def load_claims(path: Path = CLAIMS) -> list[Claim]:
    """Reads and checks the claims.

    Raises:
        ValueError: naming every problem found: columns, ids, statistics or arguments that do not fit.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != FIELDS:
            raise ValueError(
                f"{path} must have the columns {', '.join(FIELDS)}. Got {', '.join(reader.fieldnames or ())}."
            )
        rows = list(reader)
    problems: list[str] = []
    claims = [_claim(row, problems) for row in rows]
    ids = [claim.id for claim in claims]
    problems += [
        f"the id {name!r} occurs {ids.count(name)} times" for name in dict.fromkeys(ids) if ids.count(name) > 1
    ]
    if problems:
        raise ValueError(f"{path}: " + "; ".join(problems) + ".")
    return claims


def _claim(row: dict[str, str], problems: list[str]) -> Claim:
    name = row["id"]
    problems += [
        f"{name!r} has no {field}"
        for field in FIELDS
        if field not in ("experiments", "arguments") and not (row[field] or "").strip()
    ]
    try:
        arguments = yaml.safe_load(row["arguments"] or "{}")
    except yaml.YAMLError as error:
        problems.append(f"the arguments of {name!r} are not YAML: {error}")
        arguments = {}
    if not isinstance(arguments, dict):
        problems.append(f"the arguments of {name!r} must be a mapping {{name: value}}. Got {row['arguments']!r}")
        arguments = {}
    if row["statistic"] not in STATISTICS:
        problems.append(f"{name!r} names an unknown statistic {row['statistic']!r}. Known: {', '.join(STATISTICS)}")
    else:
        try:
            inspect.signature(STATISTICS[row["statistic"]]).bind({}, **arguments)
        except TypeError as error:
            problems.append(f"the arguments of {name!r} do not fit {row['statistic']}: {error}")
    fields = {key: row[key] for key in ("id", "topic", "where", "statement", "rule", "statistic")}
    return Claim(**fields, experiments=tuple(row["experiments"].split()), arguments=arguments)
