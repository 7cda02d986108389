"""The checksum of a piece of source: of its code, not of its text."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Sequence
from functools import cache

from orderdp.code_fingerprint.syntax import body


@cache
def checksum(piece: str) -> str:
    """First 16 hex digits of a sha256 over what a piece says to the interpreter.

    Comments, docstrings, blank lines, line breaks, quotes and redundant parentheses do not count. The same under every
    version of Python that reads the text: `ast.dump` and `ast.unparse` are not, as fields come and go.
    """
    return _checksum(tuple(body(piece)[1]))


@cache
def _checksum(nodes: tuple[ast.stmt, ...]) -> str:
    words: list[str] = []
    _write(list(nodes), words.append)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _write(node: object, say: Callable[[str], object]) -> None:
    if isinstance(node, ast.AST):
        say(node.__class__.__name__)
        values = node.__dict__
        for field in node._fields:
            value = values.get(field)
            # What is absent is not written, so that a field which only newer versions know changes nothing. `kind` is
            # the u of u"", and not every version keeps the empty format of f"{x:}".
            if value is None or value == [] or field == "kind" or (field == "format_spec" and not value.values):
                continue
            say(field)
            if field == "values" and isinstance(node, ast.JoinedStr):
                value = _joined(value)
            _write(value, say)
        say(".")
    elif node.__class__ is list:
        say("[")
        for item in node:  # type: ignore[attr-defined]
            if not _is_text(item):
                _write(item, say)
        say("]")
    else:
        say(ascii(node))


def _joined(parts: Sequence[ast.expr]) -> list[object]:
    """The parts of an f-string, its constant texts joined: versions differ in where they cut them, and in whether they
    keep empty ones."""
    found: list[object] = []
    for part in parts:
        if not isinstance(part, ast.Constant):
            found.append(part)
        elif found and isinstance(found[-1], str):
            found[-1] += str(part.value)
        elif part.value:
            found.append(part.value)
    return found


def _is_text(node: object) -> bool:
    """A statement that is nothing but a text: the docstring of a module, a class, a function or an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
