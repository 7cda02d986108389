"""The examples in the docstrings of the library run, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

from orderdp import compat, coresets, pruning, theory

PUBLIC = [
    (package.__name__, name)
    for package in (pruning, coresets, theory)
    for name in package.__all__
    if inspect.isclass(getattr(package, name)) or inspect.isfunction(getattr(package, name))
]
MODULES = [compat.__name__] + [
    module.name
    for package in (pruning, coresets, theory)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize(("package", "name"), PUBLIC)
def test_every_public_class_and_function_has_an_example(package, name):
    text = inspect.getdoc(getattr(importlib.import_module(package), name))
    assert text and ">>> " in text, f"{package}.{name} needs an Example in its docstring"


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
