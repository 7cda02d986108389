"""Parts of pages that are made from the code and from measured files, so that no text and no number stands twice."""

from __future__ import annotations

import argparse
import ast
import csv
import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
RESULTS = "benchmarks/results"


def table(heads: list[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(str(cell)) for cell in line) + " |" for line in lines)


def first_line(docstring: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    if not docstring:
        raise ValueError("An entry of a registry has no docstring.")
    return " ".join(inspect.cleandoc(docstring).split("\n\n")[0].split())


def pruners() -> str:
    """Every dynamic method, and the two that have no epochs of fixed length to register."""
    from orderdp.pruning import PRUNERS, StreamingOrderDP

    rows = [(f"`{name}`", _api("pruning", pruner), first_line(pruner.__doc__)) for name, pruner in PRUNERS.items()]
    return table(
        ["name", "class", "what it trains on"],
        [*rows, ("", _api("pruning", StreamingOrderDP), first_line(StreamingOrderDP.__doc__))],
    )


def scores() -> str:
    """What may take the place of the loss."""
    from orderdp.pruning.scores import SCORES

    return table(["name", "score"], [(f"`{name}`", first_line(score.__doc__)) for name, score in SCORES.items()])


def schedules() -> str:
    """Prune ratios over training."""
    from orderdp.pruning.schedules import SCHEDULES

    return table(
        ["name", "prune ratio"], [(f"`{name}`", first_line(schedule.__doc__)) for name, schedule in SCHEDULES.items()]
    )


def coresets() -> str:
    """Every static method, with its family."""
    from orderdp.coresets import CORESETS

    rows = [
        (f"`{name}`", method.__module__.rpartition(".")[2].replace("_", " "), first_line(method.__doc__))
        for name, method in CORESETS.items()
    ]
    return table(["name", "family", "what it keeps"], rows)


def models() -> str:
    """Every network."""
    from orderdp.models import MODELS

    return table(["name", "network"], [(f"`{name}`", first_line(builder.__doc__)) for name, builder in MODELS.items()])


def datasets() -> str:
    """Every data set, with the facts that its entry states."""
    from orderdp.datasets import DATASETS

    rows = []
    for name, data in DATASETS.items():
        text = first_line(importlib.import_module(type(data).__module__).__doc__)
        rows.append((f"`{name}`", text, f"{data.n_train:,} / {data.n_test:,}", data.classes))
    return table(["name", "data", "training / test", "classes"], rows)


def integrations() -> str:
    """Every name of `orderdp.integrations`, read without importing the library that it serves."""
    from orderdp.integrations import MODULES

    rows = []
    for name, module in sorted(MODULES.items(), key=lambda item: item[::-1]):
        tree = ast.parse((ROOT / f"orderdp/integrations/{module}.py").read_text(encoding="utf-8"))
        node = next(n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name)
        rows.append(
            (
                f"`{module}`",
                f"[`{name}`](api/integrations.md#orderdp.integrations.{module}.{name})",
                first_line(ast.get_docstring(node)),
            )
        )
    return table(["library", "name", "what it does"], rows)


def settings() -> str:
    """What a user of another library's trainer may set, from the tests that show what becomes of it."""
    tree = ast.parse((ROOT / "tests/integrations/settings.py").read_text(encoding="utf-8"))
    rows = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith(("in_force_", "refused_")):
            (call,) = node.decorator_list
            assert isinstance(call, ast.Call)
            library, *names = (ast.literal_eval(argument) for argument in call.args)
            what = "in force" if node.name.startswith("in_force_") else "refused"
            rows.append((library, ", ".join(names), what, " ".join((ast.get_docstring(node) or "").split())))
    return table(["library", "setting", "with a pruner", ""], rows)


def commands() -> str:
    """Every command with its options, as its grammar has them."""
    from orderdp.__main__ import COMMANDS, parser

    parts = []
    for name in COMMANDS:
        (choices,) = (action for action in parser(name)._actions if isinstance(action, argparse._SubParsersAction))
        sub = choices.choices[name]
        options = [action for action in sub._actions if not isinstance(action, argparse._HelpAction)]
        rows = [
            (f"`{', '.join(o.option_strings) or o.metavar}`", _values(o), (o.help or "") % {"default": o.default})
            for o in options
        ]
        parts.append(f"## {name}\n\n{sub.description}\n\n" + table(["option", "takes", ""], rows))
    return "\n\n".join(parts)


def members(module: str) -> str:
    """Places for the docstrings of what a module makes public, in the order in which it imports them; registries have
    tables of their own."""
    package = importlib.import_module(module)
    order = {name: place for place, name in enumerate(vars(package))}
    public = [name for name in package.__all__ if not isinstance(vars(package).get(name), dict)]
    return "\n\n".join(f"::: {_home(package, name)}" for name in sorted(public, key=lambda name: order.get(name, 0)))


def change() -> str:
    """What OrderDP changes in the plain example, as a diff of the loop without it and with it; their first lines, which
    name them, are left out."""
    before, after = (
        (ROOT / "examples" / name).read_text(encoding="utf-8").splitlines()[2:]
        for name in ("plain_before.py", "plain.py")
    )
    return "\n".join(["```diff", *list(difflib.unified_diff(before, after, n=99, lineterm=""))[3:], "```"])


def text(path: str) -> str:
    """A file of the project, without its title."""
    return (ROOT / path).read_text(encoding="utf-8").partition("\n")[2].strip()


def results() -> str:
    """The benchmarks' results as they lie here, by kind of CPU: table, what all its rows share, and the figure."""
    files = sorted((ROOT / RESULTS).glob("*/*.csv"), key=lambda path: (path.stem, path.parent.name))
    if not files:
        return f"No results lie in `{RESULTS}` of the checkout that this page was built from."
    drawn = {path.with_suffix(".csv"): f"![{_title(path)}]({place(path)})" for path in figures()}
    return "\n\n".join(
        f"### {_title(path)}\n\n`{path.relative_to(ROOT)}`\n\n{_csv(path)}\n\n{drawn.get(path, '')}".rstrip()
        for path in files
    )


def figures() -> list[Path]:
    """Pictures of results whose table is there."""
    return [path for path in sorted((ROOT / RESULTS).glob("*/*.png")) if path.with_suffix(".csv").exists()]


def place(figure: Path) -> str:
    """Where a picture of results lies in the site, seen from the pages."""
    return f"results/{figure.parent.name}/{figure.name}"


def _title(path: Path) -> str:
    return f"{path.stem.replace('_', ' ').capitalize()}, {path.parent.name.upper()}"


def _cell(text: str) -> str:
    parts = text.replace("|", "\\|").replace("\n", " ").split("`")
    return "`".join(part if inside % 2 else part.replace("<", "&lt;") for inside, part in enumerate(parts))


def _csv(path: Path) -> str:
    """A table of the file; columns in which all rows agree (the machine, the versions) become a sentence above it."""
    with path.open(encoding="utf-8", newline="") as file:
        heads, *rows = csv.reader(file)
    shared = [len(rows) > 1 and len(set(values)) == 1 for values in zip(*rows, strict=True)]
    said = [
        f"{head.replace('_', ' ')} {_number(cell)}"
        for head, cell, same in zip(heads, rows[0], shared, strict=True)
        if same and cell
    ]
    kept = [[cell for cell, same in zip(line, shared, strict=True) if not same] for line in (heads, *rows)]
    lines = table([head.replace("_", " ") for head in kept[0]], [map(_number, line) for line in kept[1:]])
    return f"All rows: {'; '.join(said)}.\n\n{lines}" if said else lines


def _number(cell: str) -> str:
    """A measured number with four digits; anything else as it is."""
    try:
        return cell if cell.lstrip("-").isdigit() else f"{float(cell):.4g}"
    except ValueError:
        return cell


def _api(page: str, thing: type) -> str:
    return f"[`{thing.__name__}`](api/{page}.md#{thing.__module__}.{thing.__name__})"


def _home(package: ModuleType, name: str) -> str:
    """Where a public name is defined, so that links to it have one form; without importing a library for it."""
    if hasattr(package, "MODULES"):
        return f"{package.__name__}.{package.MODULES[name]}.{name}"
    thing = getattr(package, name)
    return f"{thing.__module__}.{thing.__qualname__}"


def _values(option: argparse.Action) -> str:
    if option.nargs == 0:
        return ""
    return (
        ", ".join(f"`{choice}`" for choice in option.choices)
        if option.choices
        else f"`{option.metavar or option.dest.upper()}`"
    )


GENERATED: dict[str, Callable[..., str]] = {
    "pruners": pruners,
    "scores": scores,
    "schedules": schedules,
    "coresets": coresets,
    "models": models,
    "datasets": datasets,
    "integrations": integrations,
    "settings": settings,
    "commands": commands,
    "members": members,
    "change": change,
    "text": text,
    "results": results,
}
