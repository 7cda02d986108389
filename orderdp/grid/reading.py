"""Reading `params.yaml`: YAML without what is easily read otherwise than it was meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from orderdp.spec import SpecError

WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
DECIMAL = re.compile(
    r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
TRUTH = re.compile(r"true|True|TRUE|false|False|FALSE")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses keys that are there twice, and numbers and truth values that YAML 1.1 reads in a way that surprises."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        first: dict[Any, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in first and isinstance(key, yaml.ScalarNode):
                raise _Refused(line, f"the key '{key.value}' is there twice, first in line {first[key.value]}")
            if isinstance(key, yaml.ScalarNode):
                first[key.value] = line
        return super().construct_mapping(node, deep)


class _Refused(Exception):
    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")


def _plain(kind: str, pattern: re.Pattern[str], remedy: str) -> None:
    """Lets the loader take a kind of scalar only where its text says what it is read as."""
    read = getattr(yaml.SafeLoader, f"construct_yaml_{kind}")

    def construct(loader: Any, node: Any) -> Any:
        value = read(loader, node)
        if not pattern.fullmatch(node.value):
            raise _Refused(node.start_mark.line + 1, f"YAML reads {node.value} as {value!r}. {remedy}")
        return value

    _Loader.add_constructor(f"tag:yaml.org,2002:{kind}", construct)


_plain("int", WHOLE, "Write the number in decimal digits, or quotes around the text")
_plain("float", DECIMAL, "Write the number in decimal digits, or quotes around the text")
_plain("bool", TRUTH, "Write true or false, or quotes around the text")
# PyYAML takes 1e-3, without a point, for a text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)

DEEPEST, MOST = 100, 100_000
"""Levels, and values when every alias is replaced by what it stands for, beyond which a file is no parameter file."""


def _refuse_bombs(text: str) -> None:
    """Refuses, before anything is built, what would take all memory or the interpreter's stack."""
    open_nodes: list[tuple[str | None, int]] = []  # (anchor, values before it)
    values, sizes = 0, dict[str, int]()
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            values += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            values += 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, values - 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = values - before
        if len(open_nodes) > DEEPEST or values > MOST:
            what = f"more than {DEEPEST} levels" if len(open_nodes) > DEEPEST else f"more than {MOST:,} values"
            line = 0 if event.start_mark is None else event.start_mark.line
            raise _Refused(line + 1, f"{what}. A parameter file has fewer")


def read(path: Path) -> dict[str, Any]:
    """The content of a parameter file.

    Raises:
        SpecError: it is not there, not a file of UTF-8 text, not YAML, or holds something twice or ambiguous; the
            message has the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path} does not exist. Run from the project's root, or name the file") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not text in UTF-8 (byte {error.start}). Save it in that encoding") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}. Name a file") from None
    try:
        _refuse_bombs(text)
        raw = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is not valid YAML: {error}") from None
    except _Refused as error:
        raise SpecError(f"{path}, {error}") from None
    except (ValueError, OverflowError, RecursionError) as error:  # such as a date that does not exist
        raise SpecError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise SpecError(f"{path} must hold a mapping at its top level")
    return raw
