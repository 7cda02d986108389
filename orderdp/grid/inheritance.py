"""`based_on` in params.yaml: an entry that states its differences from another one of its section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings are merged; anything else is replaced, as is a mapping that changes its `name`: it is another
    thing."""
    if changes.get("name", base.get("name")) != base.get("name"):
        return dict(changes)
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


class Inheritance:
    """A parameter file as it was read, and the same with every `based_on` and every optimizer's name filled in.

    Attributes:
        filled: the content without `based_on`; what is malformed is left as it was, for the validation to name.
        problems: lines, each with its key, about bases and optimizers that are unknown.
        bases: dotted key of an entry -> that of the entry which it is based on.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.filled: dict[str, Any] = dict(raw)
        self.problems: list[str] = []
        self.bases: dict[str, str] = {}
        self._fill("optimizers")
        # Before recipes inherit: one that names an optimizer takes nothing of another recipe's.
        for where, recipe in self._recipes():
            if "optimizer" in recipe:
                recipe["optimizer"] = self._optimizer(where, recipe["optimizer"])
        self._fill("recipes")
        self._fill("methods")

    def own(self, lines: Iterable[str]) -> list[str]:
        """Those of these problems that an entry did not inherit: what is wrong with a base is said of the base only."""
        every = list(lines)
        return [line for line in every if not any(base in every for base in self._of_bases(line))]

    def _of_bases(self, line: str) -> Iterator[str]:
        for entry, base in self.bases.items():
            if line.startswith(f"{entry}.") or line.startswith(f"{entry}:"):
                yield base + line.removeprefix(entry)

    def _fill(self, section: str) -> None:
        """Fills in what the entries of a section are based on."""
        if isinstance(self.filled.get(section), Mapping):
            self.filled[section] = {name: self._entry(section, name, ()) for name in self.filled[section]}

    def _entry(self, section: str, name: str, users: tuple[str, ...]) -> Any:
        entries = self.filled[section]
        entry = entries[name]
        if not isinstance(entry, Mapping) or "based_on" not in entry:
            return dict(entry) if isinstance(entry, Mapping) else entry
        key, base = f"{section}.{name}", entry["based_on"]
        changes = {each: value for each, value in entry.items() if each != "based_on"}
        if not isinstance(base, str) or base not in entries:
            self.problems.append(f"{key}.based_on: unknown name {base!r}. Known: {', '.join(entries)}")
            return changes
        if base in (name, *users):
            self.problems.append(f"{key}.based_on: {base!r} is based on {name!r} itself")
            return changes
        self.bases[key] = f"{section}.{base}"
        first = self._entry(section, base, (name, *users))
        return merge(first, changes) if isinstance(first, Mapping) else changes

    def _recipes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(dotted key, content) of everything that may hold an optimizer; the content is a copy, to be filled in."""
        for path in self._recipe_paths():
            place: Any = self.filled
            for key in path[:-1]:
                place[key] = dict(place[key])
                place = place[key]
            place[path[-1]] = dict(place[path[-1]])
            yield ".".join(path), place[path[-1]]

    def _recipe_paths(self) -> list[tuple[str, ...]]:
        named: list[tuple[str, ...]] = [("recipes", name) for name in _mapping(self.filled, "recipes")]
        named += [("workloads", name, "overrides") for name in _mapping(self.filled, "workloads")]
        named += [("coresets", "proxy", "overrides")]
        scales = _mapping(self.filled, "scales")
        named += [("scales", name, "coresets", "proxy", "overrides") for name in scales]
        return [path for path in named if isinstance(_found(self.filled, path), Mapping)]

    def _optimizer(self, where: str, value: Any) -> Any:
        """An optimizer that is given by its name under `optimizers`, or by that and its differences, as a mapping."""
        base = value if isinstance(value, str) else value.get("based_on") if isinstance(value, Mapping) else None
        if base is None:
            return value
        optimizers = _mapping(self.filled, "optimizers")
        if not isinstance(base, str) or base not in optimizers:
            self.problems.append(f"{where}.optimizer: unknown name {base!r}. Known: {', '.join(optimizers)}")
            return value
        if isinstance(value, str) or not isinstance(optimizers[base], Mapping):
            return optimizers[base]
        return merge(optimizers[base], {key: each for key, each in value.items() if key != "based_on"})


def _mapping(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}


def _found(tree: Any, path: Iterable[str]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree
