"""Which sources decide a result, and their checksums: the part of a fingerprint that stands for code.

The import graph is our own and not grimp's, because that knows modules only. To it, whoever imports a name from the
package `orderdp.pruning` imports every pruner, so that an edit of one method would train the runs of all others
again.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Sequence
from functools import cache

from orderdp.code_fingerprint import syntax
from orderdp.code_fingerprint.registries import registry
from orderdp.code_fingerprint.syntax import body

Entry = tuple[str, str, str]
"""(subpackage, registry variable, registered name), for example `("pruning", "PRUNERS", "orderdp")`."""

NOT_DECIDING = {
    # It validates and hands on what was validated. The resolved spec is hashed itself, so an edit of a message
    # retrains nothing.
    "orderdp.spec",
    # It only looks for raw files. The files it finds must have the checksum that the data set's module states.
    "orderdp.datasets.search",
}
"""Sources that jobs import and whose text is in no fingerprint. Everything else that a job imports is in it."""


@cache
def closure(start: str) -> frozenset[str]:
    """A piece of source and every piece of ours that it uses, directly or not, less `NOT_DECIDING`."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        piece = todo.pop()
        if piece not in seen and piece not in NOT_DECIDING:
            seen.add(piece)
            todo += syntax.uses(piece)
    return frozenset(seen)


@cache
def code_checksums(starts: tuple[str, ...], entries: tuple[Entry, ...]) -> dict[str, str]:
    """Checksums of the sources that decide a job.

    Args:
        starts: where the job enters the code that decides its result: modules, or definitions such as
            `orderdp.datasets.load`.
        entries: what the job takes from registries.

    Returns:
        Piece of source (a module, or one definition of a module) -> first 16 hex digits of a sha256 over its code,
        without comments, docstrings and formatting. And for each entry, `PRUNERS[orderdp]` -> what is registered.
    """
    reached = set().union(*map(closure, starts))
    used = {}
    for package, variable, name in entries:
        used[f"{variable}[{name}]"] = entry = ".".join(registry(package, variable)[name])
        reached = reached.union(*map(closure, syntax.pieces(entry)))
    return {piece: checksum(piece) for piece in sorted(reached)} | used


@cache
def reporting_checksum() -> str:
    """One checksum over the reporting code, the theory that it computes with and the published numbers: what decides a
    report beside the runs. It covers the bytes of the files, because a report is made again in seconds."""
    folders = [syntax.PACKAGE / "reporting", syntax.PACKAGE / "theory"]
    suffixes = {".py", ".csv", ".css", ".html", ".j2", ".js"}
    files = [p for folder in folders for p in sorted(folder.rglob("*")) if p.suffix in suffixes]
    content = b"\0".join(p.read_bytes().replace(b"\r\n", b"\n") for p in files)
    return hashlib.sha256(content).hexdigest()[:16]


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
