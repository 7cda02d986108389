"""Reads the package's own source text: which names are registered, which files decide a run's result.

Nothing is imported, so the Snakefile can know all names and fingerprints without paying for torch.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
ENGINE = "orderdp.training.engine"
STUDY = "orderdp.theory.experiments"
PROXY = "orderdp.training.proxy"
DIAGNOSIS = "orderdp.training.diagnosis"
SELECTION = "orderdp.coresets.choosing"

# Their effect reaches the fingerprint by another way (the resolved spec), so that an edit of a docstring retrains nothing.
NOT_DECIDING = {"orderdp.spec"}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _file(module: str) -> Path | None:
    """The file of a module of ours; None for packages (their `__init__` is a registry, never a decider) and for others' modules."""
    if module.split(".")[0] != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return path if path.is_file() else None


def _imports(path: Path) -> dict[str, str]:
    """Name -> module it is imported from, for every `from orderdp... import name` anywhere in the file."""
    found = {}
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found[alias.asname or alias.name] = submodule if _file(submodule) else node.module
    return found


@cache
def registry(package: str, variable: str) -> dict[str, tuple[str, str]]:
    """The literal registry of a subpackage, read from its text.

    Args:
        package: subpackage, for example `"pruning"`.
        variable: the registry's name in its `__init__.py`, for example `"PRUNERS"`.

    Returns:
        registered name -> (module that defines the entry, name of the entry in it).
    """
    init = PACKAGE / package / "__init__.py"
    imports = _imports(init)
    for node in _tree(init).body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == variable and isinstance(node.value, ast.Dict):  # type: ignore[union-attr]
            entries = zip(node.value.keys, node.value.values, strict=True)  # type: ignore[union-attr]
            return {key.value: (imports[value.id], value.id) for key, value in entries}  # type: ignore[union-attr,attr-defined,misc]
    raise LookupError(f"{init} defines no literal dict '{variable}'")


@cache
def options(module: str, entry: str) -> dict[str, bool]:
    """Options that a registered class or function accepts: name -> whether it has a default.

    For a pruner these are the options of `at_ratio` where the class defines its own, of the constructor otherwise; both are unions
    here because `params.yaml` may use either form.
    """
    path = _file(module)
    assert path is not None, module
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef) and node.name == entry:
            return _keywords(node)
        if isinstance(node, ast.ClassDef) and node.name == entry:
            methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
            base = next((b.id for b in node.bases if isinstance(b, ast.Name)), None)
            inherited = {}
            if base and base in (imports := _imports(path)) and _file(imports[base]):
                inherited = options(imports[base], base)
            own = _keywords(methods["__init__"]) if "__init__" in methods else inherited
            extra = {}
            if "at_ratio" in methods:  # (cls, n, prune_ratio, *, ...)
                extra = _keywords(methods["at_ratio"]) | {a.arg: False for a in methods["at_ratio"].args.args[2:]}
            return own | {key: True for key in extra if key not in own}
    raise LookupError(f"{module} defines no {entry}")


@cache
def facts(module: str, entry: str) -> dict[str, Any]:
    """Literal keyword arguments of the call that makes a registered object, for example `n_train` of a data set; none where it is made
    in another way."""
    path = _file(module)
    assert path is not None, module
    found = {}
    for node in _tree(path).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == entry and isinstance(node.value, ast.Call):  # type: ignore[union-attr]
            for keyword in node.value.keywords:  # type: ignore[union-attr]
                if keyword.arg is not None:
                    with suppress(ValueError):
                        found[keyword.arg] = ast.literal_eval(keyword.value)
    return found


def _keywords(function: ast.FunctionDef) -> dict[str, bool]:
    arguments = function.args
    return {a.arg: default is not None for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)}


@cache
def closure(module: str) -> frozenset[str]:
    """The module and every module of ours that it imports, directly or not."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = _file(name)
        if name in seen or name in NOT_DECIDING or path is None:
            continue
        seen.add(name)
        todo += _imports(path).values()
    return frozenset(seen)


@cache
def _digest(module: str) -> str:
    path = _file(module)
    assert path is not None, module
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()[:16]


@cache
def digests(*entries: tuple[str, str, str]) -> dict[str, str]:
    """Digests of the sources that decide a run: the engine and the modules of the run's data set, model and method.

    Args:
        entries: (subpackage, registry variable, registered name), for example `("pruning", "PRUNERS", "orderdp")`.

    Returns:
        module -> first 16 hex digits of the sha256 of its text with LF line ends.
    """
    return _digests(ENGINE, entries)


@cache
def proxy_digests(*entries: tuple[str, str, str]) -> dict[str, str]:
    """The same for the proxy of a static selection, on a data set and a network given as in :func:`digests`."""
    return _digests(PROXY, entries)


@cache
def diagnosis_digests(*entries: tuple[str, str, str]) -> dict[str, str]:
    """The same for what is measured of a run, with its data set and network given as in :func:`digests`."""
    return _digests(DIAGNOSIS, entries)


@cache
def coreset_digests(method: tuple[str, str, str]) -> dict[str, str]:
    """The same for the choice of a coreset from a proxy's evidence, by a method given as in :func:`digests`."""
    return _digests(SELECTION, [method])


@cache
def study_digests(dataset: tuple[str, str, str]) -> dict[str, str]:
    """The same for a study of theorems, on a data set given as in :func:`digests`."""
    return _digests(STUDY, [dataset])


def _digests(module: str, entries: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    modules = set(closure(module))
    for package, variable, name in entries:
        modules |= closure(registry(package, variable)[name][0])
    return {found: _digest(found) for found in sorted(modules)}


@cache
def reporting_digest() -> str:
    """One digest over the reporting code, the theory that it computes with and the published numbers: what decides a report beside the
    runs."""
    folders = [PACKAGE / "reporting", PACKAGE / "theory"]
    files = [p for folder in folders for p in sorted(folder.rglob("*")) if p.suffix in {".py", ".csv", ".css", ".html", ".js"}]
    text = b"\0".join(p.read_bytes().replace(b"\r\n", b"\n") for p in files)
    return hashlib.sha256(text).hexdigest()[:16]
