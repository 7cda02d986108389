"""Writes the description of a data set of one's own into `params.yaml`, and leaves every other line as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orderdp.files import write
from orderdp.grid.reading import read
from orderdp.spec import SpecError

SECTION = re.compile(r"^datasets:[ \t]*(\{\}|null|~)?[ \t]*(#.*)?$", re.MULTILINE)
HEADING = "# Data sets of one's own, as `python -m orderdp dataset add` describes them.\ndatasets:\n"


def describe(path: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Adds an entry under `datasets`, in place of one of the same name.

    Args:
        path: of the parameter file.
        name: of the data set.
        entry: what `orderdp.grid.params.OwnDataset` takes, as plain values.

    Raises:
        SpecError: the file cannot be read, or its section is written in another way.
    """
    present = read(path).get("datasets") or {}
    text = path.read_text(encoding="utf-8")
    if name in present:
        text, count = re.subn(rf"(?m)^  {re.escape(name)}:[ \t]*(#.*)?\n(    .*\n|\n)*", "", text, count=1)
        if count == 0:
            raise SpecError(f"{path}: the entry '{name}' under 'datasets' is not written as the command writes it")
    # JSON is YAML in which no text can be read as a number.
    lines = [f"    {key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in entry.items()]
    added = f"  {name}:\n" + "".join(lines)
    if found := SECTION.search(text):
        comment = f"  {found[2]}" if found[2] else ""
        text = f"{text[: found.start()]}datasets:{comment}\n{added}{text[found.end() :].removeprefix(chr(10))}"
    elif present:
        raise SpecError(f"{path}: 'datasets' is not a block with a line for each entry. Write it so")
    else:
        text = f"{text.rstrip()}\n\n{HEADING}{added}"
    write(path, text)
