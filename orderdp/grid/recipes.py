"""Recipes as `params.yaml` states them, checked alone, and as workloads change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orderdp.grid.inheritance import merge
from orderdp.grid.params import Params
from orderdp.spec import OptimizerSpec, RecipeSpec, problems

NOTHING: dict[str, Any] = {"match_steps_at": None}
"""What a recipe of `params.yaml` leaves to the experiments."""
Problem = tuple[tuple[int | str, ...], str]
OPTIMIZER: TypeAdapter[Any] = TypeAdapter(OptimizerSpec)


class Recipes:
    """The recipes of a parameter file. What is wrong with one is a problem of the recipe, said once, and not of its
    users."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.problems: dict[str, None] = {}
        self.broken: set[str] = set()
        self.made: dict[tuple[str, float | None, int | None], RecipeSpec | None] = {}
        # Problems of the section `optimizers`, as they come again in the recipes that use it.
        self.of_optimizers: set[Problem] = set()
        for name, optimizer in params.optimizers.items():
            try:
                OPTIMIZER.validate_python(optimizer)
            except ValidationError as wrong:
                for path, text in problems(wrong, optimizer):
                    self.problems[f"{_dotted('optimizers', name, *path)}: {text}"] = None
                    self.of_optimizers.add((("optimizer", *path), text))
        for name, recipe in params.recipes.items():
            if (error := _error(recipe)) is not None:
                self.broken.add(name)
                for path, text in self._new(problems(error, recipe)):
                    self.problems[f"{_dotted('recipes', name, *path)}: {text}"] = None

    def _new(self, found: Iterable[Problem]) -> list[Problem]:
        """Problems that the section `optimizers` does not have itself."""
        return [problem for problem in found if problem not in self.of_optimizers]

    def of(self, name: str, match_steps_at: float | None, epochs: int | None) -> RecipeSpec | None:
        """A workload's recipe; made once, since thousands of runs share a few. None where it is wrong, and then it has
        problems."""
        point = (name, match_steps_at, epochs)
        if point not in self.made:
            self.made[point] = self._make(name, match_steps_at, epochs)
        return self.made[point]

    def _make(self, name: str, match_steps_at: float | None, epochs: int | None) -> RecipeSpec | None:
        workload = self.params.workloads[name]
        if workload.recipe not in self.params.recipes or workload.recipe in self.broken:
            return None
        merged = merge(self.params.recipes[workload.recipe], workload.overrides)
        if (error := _error(merged)) is not None:
            for path, text in self._new(problems(error, merged)):
                if _is_in(merged, path) and not _is_in(workload.overrides, path):
                    self.problems[self._misfit(name, path, text)] = None
                else:
                    self.problems[f"{_dotted('workloads', name, 'overrides', *path)}: {text}"] = None
            return None
        if not self._crop_fits(name, merged):
            return None
        changes = {"match_steps_at": match_steps_at} | ({} if epochs is None else {"epochs": epochs})
        return RecipeSpec.model_validate(merged | changes)

    def _crop_fits(self, name: str, merged: Mapping[str, Any]) -> bool:
        """Notes padding that is not smaller than the images, which cannot be reflected that far."""
        shape = self.params.facts(self.params.workloads[name].dataset).get("shape")
        padding = merged["augment"].get("crop_padding", 0)
        fits = shape is None or padding < min(shape[1:])
        if shape is not None and not fits:
            where = _dotted("workloads", name, "overrides", "augment", "crop_padding")
            self.problems[f"{where}: must be below the images' {min(shape[1:])} pixels. Got {padding}"] = None
        return fits

    def _misfit(self, name: str, path: tuple[int | str, ...], text: str) -> str:
        """What to do about a key that a workload never wrote: its recipe states it, and its changes made it wrong."""
        workload, recipes = self.params.workloads[name], self.params.recipes
        fitting = [each for each, recipe in recipes.items() if _error(merge(recipe, workload.overrides)) is None]
        remedy = f"Take a recipe that they fit ({', '.join(fitting)})" if fitting else "Take another recipe"
        where, cause = _dotted("workloads", name, "overrides", *path[:-1]), _dotted("recipes", workload.recipe, *path)
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
