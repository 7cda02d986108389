"""Whether a command line that a page shows would be understood, asked of the grammars of those who would read it;
nothing is run."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from orderdp import __main__ as command_line
from orderdp import grid as grids

ROOT = Path(__file__).parents[2]


class NotUnderstood(AssertionError):
    """What the page says cannot be typed."""


def lines(text: str) -> list[str]:
    """The commands of a block: continued lines joined, comments left out, `&&` split."""
    joined = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    return [part.strip() for line in joined if line and not line.startswith("#") for part in line.split("&&")]


def check(line: str) -> None:
    """Raises NotUnderstood, with the reason."""
    words = [word for word in shlex.split(line, comments=True) if word != "--help"]
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # settings for the one command
        words.pop(0)
    for start, checker in CHECKERS.items():
        known = start.split()
        if words[: len(known)] == known:
            return checker(words[len(known) :])
    raise NotUnderstood(
        f"No grammar here knows `{line}`. Known commands: {', '.join(CHECKERS)}; "
        "mark its block `<!-- not run: ... -->`."
    )


def _orderdp(words: list[str]) -> None:
    if len(words) == 1:  # a command that is spoken of
        return _known("command of orderdp", words[0], command_line.COMMANDS)
    args = _parsed(command_line.parser(words[0] if words else None), words)
    if scale := getattr(args, "scale", None):
        _known("scale", scale, _grid().scales)
    if args.command == "report" and args.only:
        _known("experiment", args.only, _grid().experiments)


def _snakemake(words: list[str]) -> None:
    args = _parsed(_snakemake_parser(), words)
    for item in args.config or []:
        name, _, value = item.partition("=")
        _known("--config", name, ["scale"])
        _known("scale", value, _grid().scales)
    for profile in args.profile or []:
        _exists(f"{profile}/config.yaml")
    text = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk"))
    )
    rules = {*re.findall(r"^rule (\w+):", text, re.M), *(f"artifact_{name}" for name in _grid().experiments)}
    for target in args.targets or []:
        _known("rule", target, rules)


def _make(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for word in words:
        if "=" not in word:
            _known("target of the Makefile", word, targets)


def _dvc(words: list[str]) -> None:
    from dvc.cli.parser import get_main_parser

    args = _parsed(get_main_parser(), words)
    if args.cmd == "repro":
        for target in args.targets or []:
            _known("stage", target, yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


def _pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in words:
        if match := re.fullmatch(r"(?:\.|orderdp)\[(.+)\]", word):
            for extra in match[1].split(","):
                _known("extra", extra, extras)
        elif word not in ("-e", ".", "orderdp"):
            raise NotUnderstood(
                f"`pip install {word}`: only the project and its extras are checked; "
                "mark the block `<!-- not run: ... -->`."
            )


def _script(words: list[str]) -> None:
    _exists(words[0])
    source = (ROOT / words[0]).read_text(encoding="utf-8")
    for option in (word for word in words[1:] if word.startswith("--")):
        if f'"{option}"' not in source:
            raise NotUnderstood(f"{words[0]} has no option {option}.")


def _benchmarks(words: list[str]) -> None:
    first = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    for name in words[:first]:
        _exists(f"benchmarks/{name}.py")
    _script(["benchmarks/__main__.py", *words[first:]])


def _torchrun(words: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    args = _parsed(get_args_parser(), words)
    if args.module:
        _known("module", args.training_script, ["orderdp"])
    else:
        _script([args.training_script, *args.training_script_args])


def _mkdocs(words: list[str]) -> None:
    from mkdocs.__main__ import cli

    _known("command of mkdocs", words[0], cli.commands)


CHECKERS: dict[str, Callable[[list[str]], None]] = {
    "python -m orderdp": _orderdp,
    "python -m torch.distributed.run": _torchrun,
    "python -m benchmarks": _benchmarks,
    "python": _script,
    "torchrun": _torchrun,
    "snakemake": _snakemake,
    "make": _make,
    "dvc": _dvc,
    "pip install": _pip,
    "mkdocs": _mkdocs,
}


@cache
def _grid() -> Any:
    return grids.load(ROOT / "params.yaml")


@cache
def _snakemake_parser() -> Any:
    from snakemake.cli import get_argument_parser

    return get_argument_parser()


def _parsed(parser: Any, words: list[str]) -> Any:
    said = StringIO()
    try:
        with redirect_stderr(said):
            return parser.parse_args(words)
    except SystemExit:
        raise NotUnderstood(f"`{' '.join(words)}`: {said.getvalue().strip().splitlines()[-1]}") from None
    except Exception as error:  # dvc raises its own
        raise NotUnderstood(f"`{' '.join(words)}`: {error}") from None


def _known(what: str, name: str, known: Any) -> None:
    if name not in known:
        raise NotUnderstood(f"There is no {what} {name!r}. Known: {', '.join(sorted(known))}.")


def _exists(path: str) -> None:
    if not (ROOT / path).exists():
        raise NotUnderstood(f"There is no {path}.")
