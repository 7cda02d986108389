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
OPTIMIZER: TypeAdapter[Any] = TypeAdapter(OptimizerSpec)


class Recipes:
    """The recipes of a parameter file. What is wrong with one is a problem of the recipe, said once, and not of its
    users."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.problems: dict[str, None] = {}
        self.broken: set[str] = set()
        self.made: dict[tuple[str, float | None, int | None], RecipeSpec | None] = {}
        wrong = [optimizer for name, optimizer in params.optimizers.items() if self._check_optimizer(name, optimizer)]
        for name, recipe in params.recipes.items():
            if (error := _error(recipe)) is not None:
                self.broken.add(name)
                for path, text in problems(error, recipe):
                    if path[:1] != ("optimizer",) or recipe["optimizer"] not in wrong:
                        self.problems[f"{_dotted('recipes', name, *path)}: {text}"] = None

    def _check_optimizer(self, name: str, optimizer: Mapping[str, Any]) -> bool:
        """Whether an optimizer is wrong; notes its problems."""
        try:
            OPTIMIZER.validate_python(optimizer)
        except ValidationError as error:
            for path, text in problems(error, optimizer):
                self.problems[f"{_dotted('optimizers', name, *path)}: {text}"] = None
            return True
        return False

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
            for path, text in problems(error, merged):
                if _is_in(merged, path) and not _is_in(workload.overrides, path):
                    self.problems[self._misfit(name, path, text)] = None
                else:
                    self.problems[f"{_dotted('workloads', name, 'overrides', *path)}: {text}"] = None
            return None
        changes = {"match_steps_at": match_steps_at} | ({} if epochs is None else {"epochs": epochs})
        return RecipeSpec.model_validate(merged | changes)

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
