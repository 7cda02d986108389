"""Recipes as `params.yaml` states them, checked alone, and as workloads change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from orderdp.grid.params import Params
from orderdp.spec import RecipeSpec, problems

NOTHING: dict[str, Any] = {"match_steps_at": None}
"""What a recipe of `params.yaml` leaves to the experiments."""


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


class Recipes:
    """The recipes of a parameter file. What is wrong with one is a problem of the recipe, said once, and not of its
    users."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.problems: dict[str, None] = {}
        self.broken: set[str] = set()
        self.made: dict[tuple[str, float | None, int | None], RecipeSpec | None] = {}
        for name, recipe in params.recipes.items():
            if (error := _error(recipe)) is not None:
                self.broken.add(name)
                for path, text in problems(error, recipe):
                    self.problems[f"{_dotted('recipes', name, *path)}: {text}"] = None

    def of(self, ours: str, match_steps_at: float | None, epochs: int | None) -> RecipeSpec | None:
        """A workload's recipe; made once, since thousands of runs share a few. None where it is wrong, and then it has
        problems."""
        point = (ours, match_steps_at, epochs)
        if point not in self.made:
            self.made[point] = self._make(ours, match_steps_at, epochs)
        return self.made[point]

    def _make(self, ours: str, match_steps_at: float | None, epochs: int | None) -> RecipeSpec | None:
        workload = self.params.workloads[ours]
        if workload.recipe not in self.params.recipes or workload.recipe in self.broken:
            return None
        merged = merge(self.params.recipes[workload.recipe], workload.overrides)
        if (error := _error(merged)) is not None:
            for path, text in problems(error, merged):
                if _is_in(merged, path) and not _is_in(workload.overrides, path):
                    self.problems[self._misfit(ours, path, text)] = None
                else:
                    self.problems[f"{_dotted('workloads', ours, 'overrides', *path)}: {text}"] = None
            return None
        changes = {"match_steps_at": match_steps_at} | ({} if epochs is None else {"epochs": epochs})
        return RecipeSpec.model_validate(merged | changes)

    def _misfit(self, ours: str, path: tuple[int | str, ...], text: str) -> str:
        """What to do about a key that a workload never wrote: its recipe states it, and its changes made it wrong."""
        workload, recipes = self.params.workloads[ours], self.params.recipes
        fitting = [name for name, recipe in recipes.items() if _error(merge(recipe, workload.overrides)) is None]
        remedy = f"Take a recipe that they fit ({', '.join(fitting)})" if fitting else "Take another recipe"
        where, cause = _dotted("workloads", ours, "overrides", *path[:-1]), _dotted("recipes", workload.recipe, *path)
        return (
            f"{where}: these changes do not fit the recipe {workload.recipe!r}, which states {cause} beside them "
            f"({text}). {remedy}, or write one under 'recipes'"
        )


def _error(recipe: Mapping[str, Any]) -> ValidationError | None:
    try:
        RecipeSpec.model_validate({**NOTHING, **recipe})
    except ValidationError as error:
        return error
    return None


def _is_in(tree: Any, path: Iterable[int | str]) -> bool:
    for part in path:
        if not (isinstance(tree, Mapping) and part in tree):
            return False
        tree = tree[part]
    return True


def _dotted(*keys: int | str) -> str:
    return ".".join(map(str, keys))
