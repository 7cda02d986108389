"""The registries and what they register, read from text: names, options, literal facts."""

from __future__ import annotations

import ast
from contextlib import suppress
from functools import cache
from typing import Any

from orderdp.code_fingerprint.syntax import bound, imported, origin, source

TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
CONTRACT = ("orderdp.pruning.base", "Pruner")
"""Its `at_ratio` hands the ratio to the constructor, so that it adds no option of its own."""


@cache
def registry(package: str, variable: str) -> dict[str, tuple[str, str]]:
    """The literal registry of a subpackage, read from its text.

    Args:
        package: subpackage, for example `"pruning"`.
        variable: the registry's name in its `__init__.py`, for example `"PRUNERS"`.

    Returns:
        registered name -> (module that defines the entry, name of the entry in it).

    Raises:
        LookupError: the package has no such dict, or an entry of it is not the name of something.

    Example: `registry("pruning", "PRUNERS")["ucb"] == ("orderdp.pruning.ucb", "UCB")`.
    """
    init = f"orderdp.{package}"
    found = {}
    for key, value in _literal(init, variable):
        where = _meant(init, value)
        if where is None:
            raise LookupError(f"{source(init)}: the entry {key!r} of {variable} must be a plain name")
        found[key] = where
    return found


@cache
def reported() -> frozenset[str]:
    """Names of the experiments of which a table or a figure is made, see `orderdp.reporting.registry.MODULES`."""
    return frozenset(key for key, _ in _literal("orderdp.reporting.registry", "MODULES"))


def _literal(module: str, variable: str) -> list[tuple[str, ast.expr]]:
    for node in bound(module).get(variable, []):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return [(str(key.value), value) for key, value in pairs if isinstance(key, ast.Constant)]
    raise LookupError(f"{source(module)} defines no literal dict '{variable}'")


@cache
def options(module: str, entry: str) -> dict[str, bool]:
    """Options that a registered class or function accepts: name -> whether it has a default.

    Of a function these are its keyword-only arguments. Of a class they are those of its constructor and, where that
    takes `**options`, of its base's; and those of `at_ratio`, its own or inherited, because `params.yaml` may use
    either form.

    Raises:
        LookupError: the module defines no such class or function.

    Example: `options("orderdp.pruning.random", "RandomPruning")` has `prune_ratio`, `rescale` and `seed`.
    """
    node = _definition(module, entry)
    if isinstance(node, ast.FunctionDef):
        return _keywords(node)
    if not isinstance(node, ast.ClassDef):
        raise LookupError(f"{module} defines no class or function '{entry}'")
    own = _constructor(module, node)
    at_ratio = _inherited(module, node, "at_ratio")
    extra = {} if at_ratio is None else _keywords(at_ratio, positional=2)  # (cls, n, prune_ratio, *, ...)
    return own | {name: True for name in extra if name not in own}


@cache
def accepted(module: str, entry: str) -> dict[str, tuple[Any, ...]]:
    """Option -> the types and literal values that its annotation allows: `int`, `float`, `bool`, `str`, None, and what
    is in `Literal[...]`; `object` for an annotation of another kind.

    Example: `accepted("orderdp.coresets.prototypes", "prototypes")["keep"] == ("hard", "easy")`.
    """
    node = _definition(module, entry)
    if isinstance(node, ast.FunctionDef):
        places = [(module, node)]
    elif isinstance(node, ast.ClassDef):
        places = [(where, method) for where, method in _methods(module, node, ("__init__", "at_ratio"))]
    else:
        return {}
    found: dict[str, tuple[Any, ...]] = {}
    for where, function in places:
        for argument in (*function.args.args, *function.args.kwonlyargs):
            if argument.annotation is not None:
                found.setdefault(argument.arg, tuple(_allowed(where, argument.annotation)))
    return found


def _methods(module: str, node: ast.ClassDef, names: tuple[str, ...]) -> list[tuple[str, ast.FunctionDef]]:
    """(module, definition) of these methods of a class and of its bases, the nearest first."""
    own = [(module, method) for name in names if (method := _method(node, name)) is not None]
    return own + [pair for where, base in _bases(module, node) for pair in _methods(where, base, names)]


def _allowed(module: str, node: ast.expr) -> list[Any]:
    if isinstance(node, ast.BinOp):
        return _allowed(module, node.left) + _allowed(module, node.right)
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, ast.Name) and node.id in TYPES:
        return [TYPES[node.id]]
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal":
        return (
            list(ast.literal_eval(node.slice)) if isinstance(node.slice, ast.Tuple) else [ast.literal_eval(node.slice)]
        )
    where = _meant(module, node) if isinstance(node, ast.Name) else None
    alias = None if where is None else _definition(*where)
    if where is not None and isinstance(alias, ast.Assign | ast.AnnAssign) and alias.value is not None:
        return _allowed(where[0], alias.value)
    return [object]


@cache
def needs(module: str, entry: str) -> frozenset[str]:
    """What a coreset's function needs of a proxy, as the decorator says where it is defined; empty if it is not literal
    there."""
    node = _definition(module, entry)
    for call in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
        for keyword in call.keywords if isinstance(call, ast.Call) else ():
            if keyword.arg == "needs" and isinstance(keyword.value, ast.Tuple):
                return frozenset(ast.literal_eval(keyword.value))
    return frozenset()


@cache
def facts(module: str, entry: str) -> dict[str, Any]:
    """Literal keyword arguments of the call that makes a registered object, for example `n_train` of a data set; none
    where it is made in another way."""
    node = _definition(module, entry)
    found: dict[str, Any] = {}
    if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
        for keyword in node.value.keywords:
            if keyword.arg is not None:
                with suppress(ValueError):
                    found[keyword.arg] = ast.literal_eval(keyword.value)
    return found


def _definition(module: str, name: str) -> ast.stmt | None:
    return bound(module).get(name, [None])[-1] if source(module) is not None else None


def _bases(module: str, node: ast.ClassDef) -> list[tuple[str, ast.ClassDef]]:
    """(module, definition) of the bases that are ours."""
    found = []
    for base in node.bases:
        where = _meant(module, base.value if isinstance(base, ast.Subscript) else base)
        definition = None if where is None else _definition(*where)
        if where is not None and isinstance(definition, ast.ClassDef):
            found.append((where[0], definition))
    return found


def _meant(module: str, node: ast.expr) -> tuple[str, str] | None:
    """Where that is defined which a name, or an attribute of a name, means in a module; None for other expressions."""
    if isinstance(node, ast.Name):
        if node.id == "orderdp":  # `import orderdp.pruning` names a module of the package, but binds the package
            return "", node.id
        return origin(imported(module).get(node.id, f"{module}.{node.id}"))
    outer = _meant(module, node.value) if isinstance(node, ast.Attribute) else None
    return None if outer is None else origin(".".join([*filter(None, outer), node.attr]))  # type: ignore[attr-defined]


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == name), None)


def _constructor(module: str, node: ast.ClassDef) -> dict[str, bool]:
    own = _method(node, "__init__")
    if own is None:
        return next((found for where, base in _bases(module, node) if (found := _constructor(where, base))), {})
    found = _keywords(own, positional=2)  # (self, n, ...)
    if own.args.kwarg is not None:
        for where, base in _bases(module, node):
            found |= {name: default for name, default in _constructor(where, base).items() if name not in found}
    return found


def _inherited(module: str, node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """The method that a class has under a name, of its own or from a base, but not from the contract."""
    if (module, node.name) == CONTRACT:
        return None
    found = [_method(node, name), *(_inherited(where, base, name) for where, base in _bases(module, node))]
    return next((method for method in found if method is not None), None)


def _keywords(function: ast.FunctionDef, positional: int | None = None) -> dict[str, bool]:
    """Keyword-only arguments, and those that may come by position after the first so many; none of these without a
    number."""
    arguments = function.args
    named = arguments.args if positional is not None else []
    defaults = [False] * (len(named) - len(arguments.defaults)) + [True] * len(arguments.defaults)
    found = {a.arg: default for a, default in list(zip(named, defaults, strict=False))[positional:]}
    return found | {
        a.arg: value is not None for a, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }
