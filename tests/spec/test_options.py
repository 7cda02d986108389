"""Options of registered pruners, read from text: they are those that Python accepts, inherited ones too."""

from __future__ import annotations

import inspect

import pytest
import torch
import yaml

from orderdp import grid as grids
from orderdp.code_fingerprint import options as options_of
from orderdp.code_fingerprint import registry
from orderdp.pruning import PRUNERS, Pruner
from orderdp.spec import SpecError
from orderdp.training.engine import build_pruner
from tests.spec.conftest import add_pruner, forget

RISING = """
from orderdp.pruning import OrderDP

class Mine(OrderDP):
    def __init__(self, n, *, sharpness, **options):
        super().__init__(n, **options)
        self.sharpness = sharpness
"""
PLANNED = """
from orderdp.pruning import OrderDP

class Planned(OrderDP):
    def __init__(self, n, *, epochs=None, **options):
        super().__init__(n, **options)
        self.epochs = epochs

class Mine(Planned):
    def __init__(self, n, sharpness, **options):
        super().__init__(n, **options)
        self.sharpness = sharpness
"""
INHERITS = "from orderdp.pruning import orderdp\n\nclass Mine(orderdp.OrderDP):\n    pass\n"
OWN = """
from orderdp.pruning.random import RandomPruning

class Mine(RandomPruning):
    def __init__(self, n, *, prune_ratio=0.5, epochs=None, seed=0):
        super().__init__(n, prune_ratio=prune_ratio, seed=seed)
        self.epochs = epochs
"""


def accepted(cls: type[Pruner]) -> set[str]:
    """The literal twin, from signatures: what the constructor takes, and `at_ratio` where it is not the contract's."""
    found: set[str] = set()
    for owner in cls.__mro__:
        if "__init__" in vars(owner):
            parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[2:]
            found |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    if cls.at_ratio.__func__ is not Pruner.at_ratio.__func__:
        parameters = list(inspect.signature(cls.at_ratio).parameters.values())[1:]
        found |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    return found


def made(content: str) -> type[Pruner]:
    """The class `Mine` of a module's text."""
    names: dict[str, type[Pruner]] = {}
    exec(content, names)
    return names["Mine"]


@pytest.mark.parametrize("name", list(PRUNERS))
def test_options_read_from_text_are_those_of_the_signatures(name):
    assert set(options_of(*registry("pruning", "PRUNERS")[name])) == accepted(PRUNERS[name])


@pytest.mark.parametrize("content", [RISING, PLANNED, INHERITS, OWN])
def test_options_of_a_subclass_are_those_of_its_signatures(read_here, content):
    add_pruner(read_here, content)
    assert set(options_of(*registry("pruning", "PRUNERS")["mine"])) == accepted(made(content))


def grid_with(folder, options):
    """The grid of a copy whose Table 2 has the pruner `mine` at 70 %."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["methods"]["mine"] = {"label": "Mine", "name": "mine", "options": options}
    params["experiments"]["table2"]["grid"] = [{"methods": ["mine"], "prune_ratios": [0.7]}]
    params["scales"]["quick"]["experiments"].pop("table2", None)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False))
    forget()
    return grids.load(path)


ORDERDP = {"initial_score": 3.0, "hard_fraction": 1, "trim": 0, "smoothing": 1}


@pytest.mark.parametrize(
    ("content", "options", "epochs"),
    [
        (RISING, {"sharpness": 2.0, **ORDERDP}, None),
        (PLANNED, {"sharpness": 2.0, **ORDERDP}, 10),
        (INHERITS, ORDERDP, None),
        (OWN, {}, 10),
    ],
)
def test_a_subclass_works_in_the_parameters_as_in_python(read_here, monkeypatch, content, options, epochs):
    add_pruner(read_here, content)
    run = next(run for run in grid_with(read_here, options).runs.values() if run.spec.method.name == "mine")
    monkeypatch.setitem(PRUNERS, "mine", made(content))
    spec = run.spec.model_copy(update={"recipe": run.spec.recipe.model_copy(update={"epochs": 10})})
    pruner = build_pruner(spec, 100)
    assert len(pruner.select(0).indices) == 30
    assert getattr(pruner, "epochs", None) == epochs
    assert getattr(pruner, "sharpness", None) == options.get("sharpness")
    assert getattr(pruner, "initial_score", None) == options.get("initial_score")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ORDERDP, r"methods\.mine\.options\.sharpness: missing: Mine takes this option"),
        ({"sharpness": 1}, r"methods\.mine\.options\.hard_fraction: missing: Mine takes this option"),
        ({"sharpness": 1, **ORDERDP, "epochs": 3}, r"methods\.mine\.options\.epochs: unknown option of Mine"),
        (
            {"sharpness": 1, **ORDERDP, "sharpnes": 3},
            r"methods\.mine\.options\.sharpnes: unknown option of Mine\. Known: .*hard_fraction",
        ),
    ],
)
def test_a_wrong_option_of_a_subclass_is_named(read_here, options, message):
    add_pruner(read_here, RISING)
    with pytest.raises(SpecError, match=message):
        grid_with(read_here, options)


def test_infobatch_does_the_same_with_epochs_that_it_does_not_need():
    """The engine gives them to every constructor that takes them, also where nothing is annealed."""
    losses = torch.rand(100)
    kept = []
    for epochs in (None, 7):
        pruner = PRUNERS["infobatch"](100, prune_ratio=0.5, epochs=epochs)
        pruner.begin_epoch(0)
        pruner.observe(torch.arange(100), losses)
        kept.append([pruner.select(epoch).indices.tolist() for epoch in (1, 6, 9)])
    assert kept[0] == kept[1]
