"""The package's files as syntax trees: where a name is defined, and what a piece of source uses of ours.

A *piece* is what has one checksum: a module, under its own name (`orderdp.pruning.orderdp`), or one definition of a
file that as a whole decides nothing, such as a package's `__init__.py` (`orderdp.datasets.load`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@cache
def _parsed(text: str) -> ast.Module:
    # By its text, so that files which were not edited are not parsed again when others were.
    return ast.parse(text)


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def source(name: str) -> Path | None:
    """The file of a module, or the `__init__.py` of a package; None for everything else, and for what is not ours."""
    if name.split(".")[0] != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def _is_package(name: str) -> bool:
    path = source(name)
    return path is not None and path.name == "__init__.py"


def statements(module: str) -> list[ast.stmt]:
    """The statements of a module's file, or of a package's `__init__.py`."""
    path = source(module)
    assert path is not None, module
    return tree(path).body


@cache
def bound(module: str) -> dict[str, list[ast.stmt]]:
    """Name -> the statements at the top of a module or package that define it. Imported names are not among them."""
    found: dict[str, list[ast.stmt]] = {}
    for node in statements(module):
        for name in _targets(node):
            found.setdefault(name, []).append(node)
    return found


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def _imports(module: str, nodes: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    """(local name, dotted name of what is imported) for every import in the statements, in functions too."""
    for node in _below(nodes):
        if isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                yield (alias.asname or alias.name), (base if alias.name == "*" else f"{base}.{alias.name}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname or alias.name.split(".")[0]), alias.name
    path = source(module)
    if path is not None and _mentions_import(path):
        for node in (found for top in nodes for found in ast.walk(top)):
            if isinstance(node, ast.Call) and _calls_import(node) and isinstance(node.args[0], ast.Constant):
                yield "", str(node.args[0].value)


BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields in which statements hold statements."""


def _below(nodes: Sequence[ast.AST], functions: bool = True) -> Iterator[ast.AST]:
    """The statements and all that are nested in them, in order; those in functions and classes only on request."""
    for node in nodes:
        yield node
        if functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for block in BLOCKS:
                if (inner := node.__dict__.get(block)).__class__ is list:
                    yield from _below(inner, functions)


@cache
def _mentions_import(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return "import_module" in text or "__import__" in text


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    up = node.level - _is_package(module)
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


def _calls_import(node: ast.Call) -> bool:
    """Whether it calls `import_module` or `__import__`, under whatever module's name."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("import_module", "__import__") and bool(node.args)


@cache
def imported(module: str) -> dict[str, str]:
    """Local name -> dotted name of what it is imported from, for the names that a module or a package's `__init__.py`
    has at its top, those in branches such as `if TYPE_CHECKING:` among them."""
    top = _below(statements(module), functions=False)
    return dict(_imports(module, [node for node in top if isinstance(node, ast.Import | ast.ImportFrom)]))


@cache
def origin(dotted: str) -> tuple[str, str]:
    """(module, name in it) that defines what a dotted name means, however often it is re-exported on the way.

    Example: `origin("orderdp.pruning.OrderDP") == ("orderdp.pruning.orderdp", "OrderDP")`.
    """
    module, _, name = dotted.rpartition(".")
    if source(module) is None or name in bound(module):
        return module, name
    target = imported(module).get(name, dotted)
    return (module, name) if target == dotted else origin(target)


@cache
def pieces(dotted: str) -> frozenset[str]:
    """The pieces that importing a dotted name brings in; none where it is not ours.

    A module is one piece. A package brings in all that it re-exports and defines, but a name that it re-exports brings
    in the module that defines it, and no other. A registry, a literal dict of imported names in a package, brings in
    nothing: the run says which of its entries it uses.
    """
    if _is_package(dotted):
        targets = [target for _, target in _imports(dotted, statements(dotted)) if target != dotted]
        return _definitions(dotted, bound(dotted)).union(*map(pieces, targets))
    if source(dotted) is not None:
        return frozenset({dotted})
    module, name = origin(dotted)
    if (defined := f"{module}.{name}") != dotted and source(defined) is not None:
        return pieces(defined)
    if source(module) is None:
        return frozenset()
    return _definitions(module, [name]) if _is_package(module) else frozenset({module})


def _definitions(module: str, names: Iterable[str]) -> frozenset[str]:
    """The pieces of those names that a module or package defines itself, less a package's registries."""
    mine = {name: nodes for name in names if (nodes := bound(module).get(name))}
    if _is_package(module):
        mine = {name: nodes for name, nodes in mine.items() if not any(map(_is_registry, nodes))}
    return frozenset(f"{module}.{name}" for name in mine)


def _is_registry(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return isinstance(value, ast.Dict) and all(isinstance(entry, ast.Name | ast.Attribute) for entry in value.values)


def body(piece: str) -> tuple[str, Sequence[ast.stmt]]:
    """The file of a piece, as a module's or a package's name, and its statements."""
    if source(piece) is not None:
        return piece, statements(piece)
    module, _, name = piece.rpartition(".")
    return module, bound(module)[name]


@cache
def uses(piece: str) -> frozenset[str]:
    """The pieces that a piece imports, anywhere in it, and the definitions beside it that it names."""
    module, nodes = body(piece)
    found = [target for _, target in _imports(module, nodes)]
    beside: frozenset[str] = frozenset()
    if module != piece:
        names = {node.id for top in nodes for node in ast.walk(top) if isinstance(node, ast.Name)}
        found += [target for name, target in imported(module).items() if name in names]
        beside = _definitions(module, names & set(bound(module)))
    return frozenset(beside.union(*map(pieces, found))) - {piece}
