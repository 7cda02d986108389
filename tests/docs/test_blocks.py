"""Every code block of the pages and of the README runs, or is a command that would be understood."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch
import yaml
from blocks import blocks, execute, runs, with_command_outputs, with_outputs

from orderdp import grid as grids
from orderdp import pruning
from orderdp.grid.inheritance import Inheritance
from orderdp.pruning import PRUNERS
from tests.docs.commands import NotUnderstood, check, lines
from tests.pruning import test_contract

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("*/README.md"))
}
FOUND = {name: list(blocks(text)) for name, text in TEXTS.items()}
SPAN = re.compile(
    r"(?<!`)`((?:(?:python -m orderdp|snakemake|make|dvc|mkdocs) |python -m benchmarks|"
    r"python (?:examples|benchmarks)/)[^`]*)`(?!`)"
)
# What may stand in a block beside code: checked where it is written, or nothing to check.
OTHER = {"diff", "yaml", "text"}


@pytest.mark.parametrize("name", [name for name in TEXTS if name.startswith("docs/") and any(map(runs, FOUND[name]))])
def test_python_blocks_of_a_page_run_in_order(name):
    names = {"__name__": "__docs__"}
    torch.manual_seed(0)
    for block in FOUND[name]:
        if runs(block):
            execute(block, name, names)


@pytest.mark.parametrize("name", TEXTS)
def test_commands_are_understood(name):
    for block in FOUND[name]:
        if block.language == "bash" and block.reason is None:
            for line in lines(block.text):
                check(line)
    prose = re.sub(r"^```.*?^```$", "", TEXTS[name], flags=re.M | re.S)
    for span in SPAN.findall(prose):
        command = " ".join(span.split())
        if "..." not in command and not command.isupper() and "COMMAND" not in command:
            check(command)


def test_every_block_is_of_a_kind_that_is_checked():
    for name, found in FOUND.items():
        assert {block.language for block in found} <= {"python", "bash", *OTHER}, name
        assert sum(line.lstrip().startswith("```") for line in TEXTS[name].splitlines()) == 2 * len(found), (
            f"{name}: a block is indented or not closed"
        )


def test_pythons_of_the_readme_are_run_by_its_own_test():
    """They take names for granted that `tests/test_readme.py` brings."""
    assert not [
        name
        for name, found in FOUND.items()
        if any(map(runs, found)) and not name.startswith("docs/") and name != "README.md"
    ]


def test_few_blocks_are_excused_and_only_for_what_is_not_here():
    excused = [block for found in FOUND.values() for block in found if block.reason is not None]
    assert len(excused) <= 5
    for block in excused:
        assert re.match(r"needs (a|an|the) \w+", block.reason), block.reason
        assert block.language == "bash"


def test_yaml_blocks_are_parameters():
    filled = Inheritance(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))).filled
    found = [
        (name, yaml.safe_load(block.text))
        for name, blocks in FOUND.items()
        for block in blocks
        if block.language == "yaml"
    ]
    assert found
    for name, shown in found:
        for part, entries in shown.items():
            grids.Params.model_validate(filled | {part: filled[part] | entries})
            with pytest.raises(ValueError, match="unheard_of"):
                grids.Params.model_validate(filled | {part: filled[part] | {name: {"unheard_of": 1}}})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("python -m orderdp plan --scle cifar", "unrecognized"),
        ("python -m orderdp plan --scale cfar", "no scale"),
        ("python -m orderdp teory", "no command"),
        ("python -m orderdp teory --n 5", "invalid choice"),
        ("python -m orderdp report --only table99", "no experiment"),
        ("snakemake --cores all tabels", "no rule"),
        ("snakemake --cores all --config scale=cfar", "no scale"),
        ("snakemake --cors all", "cors"),
        ("snakemake --profile profiles/gpus", "profiles/gpus/config.yaml"),
        ("make reproduced", "no target"),
        ("dvc pusch", "pusch"),
        ("dvc repro trian", "no stage"),
        ("pip install 'orderdp[lightening]'", "no extra"),
        ("pip install numpy", "only the project"),
        ("python examples/plane.py", "There is no examples/plane.py"),
        ("python benchmarks/selection.py --fast", "no option"),
        ("torchrun --processes=2 examples/with_torchrun.py", "processes"),
        ("kubectl apply", "No grammar"),
    ],
)
def test_mistakes_in_commands_are_found(line, reason):
    with pytest.raises(NotUnderstood, match=re.escape(reason)):
        check(line)


def test_a_block_that_fails_says_where():
    page = "# A page\n\n```python\nx = 1\n```\n\ntext\n\n```python\nassert x == 2\n```\n"
    with pytest.raises(AssertionError) as caught:
        with_outputs(page, "page.md")
    last = caught.traceback[-1]
    assert (Path(str(last.path)).name, last.lineno + 1) == ("page.md", 10)


def test_outputs_stand_below_the_block_that_printed_them():
    page = (
        "```python\nx = 2\n```\n\n<!-- not run: needs a GPU -->\n```python\nprint(x / 0)\n```\n\n"
        "```python\nprint(x + 3)\n```\nafter\n"
    )
    expected = page.replace("print(x + 3)\n```", "print(x + 3)\n```\n\n```{.text .output}\n5\n```")
    assert with_outputs(page, "page.md") == expected


def test_outputs_of_commands_are_those_of_the_commands():
    page = "```bash\npython -m orderdp theory --prune-ratio 0.7 --n 100\n```\n<!-- generated: output -->\n"
    assert "Pruning 70.0% of 100 samples" in with_command_outputs(page)
    with pytest.raises(ValueError, match="Only the output"):
        with_command_outputs(page.replace("python -m orderdp", "rm"))
    with pytest.raises(ValueError, match="fails"):
        with_command_outputs(page.replace("0.7", "7"))


def test_the_method_that_the_guide_writes_keeps_the_contract(monkeypatch):
    names = {"__name__": "__docs__"}
    for block in filter(runs, FOUND["docs/workflow.md"]):
        execute(block, "docs/workflow.md", names)
    monkeypatch.setitem(PRUNERS, "easiest", names["Easiest"])
    monkeypatch.setattr(pruning, "Easiest", names["Easiest"], raising=False)  # as its import would
    rules = [
        rule
        for title, rule in vars(test_contract).items()
        if title.startswith("test_") and [*inspect.signature(rule).parameters] == ["name"]
    ]
    assert len(rules) > 10
    for rule in rules:
        rule("easiest")
