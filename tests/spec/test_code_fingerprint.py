"""Which edits of the package rename which jobs."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orderdp import grid as grids
from orderdp.code_fingerprint import checksums, code_checksums, registry, syntax
from orderdp.jobs import Job, coresets, diagnose, proxy, study, train
from tests.spec.conftest import ROOT, add_pruner, edit, forget

LIST = (
    "import json; from orderdp import grid; "
    "print(json.dumps({r.name: (r.spec.pretraining or r.spec).method.name for r in grid.load().runs.values()}))"
)


def runs(folder: Path) -> dict[str, str]:
    """Name -> method of every run of a folder's grid, by the sources that lie there; after a pre-training, its
    method."""
    forget()
    grid = grids.load(folder / "params.yaml")
    return {run.name: (run.spec.pretraining or run.spec).method.name for run in grid.runs.values()}


def small_grid(folder: Path) -> grids.Grid:
    """A grid of few runs that between them use every data set, network and method, with every kind of job."""
    forget()
    path = folder / "small.yaml"
    path.write_text(small_params())
    return grids.load(path)


@functools.cache
def small_params() -> str:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    scale = params["scales"]["quick"]
    scale |= {"seeds": [0], "experiments": {}}
    params["scales"] = {"quick": scale}
    scale["substitutes"] |= {
        name: name
        for name in (
            "cifar10-resnet50",
            "imagenet-resnet50",
            "imagenet-resnet50-timm",
            "imagenet-swin",
            "imagenet-vit-mae",
        )
    }
    scale["substitutes"] |= {"cifar100-resnet18": "fashion-resnet8", "imagenet-resnet18": "imagenet-resnet18"}
    kept = ("table1", "table2", "table3", "table5", "table11", "theory", "variants")
    params["experiments"] = {name: entry for name, entry in params["experiments"].items() if name in kept}
    for entry in params["experiments"].values():
        entry.pop("seeds", None)
        for part in entry.get("grid", ()):
            if "prune_ratios" in part:
                part["prune_ratios"] = part["prune_ratios"][-1:]
    return yaml.safe_dump(params, allow_unicode=True, sort_keys=False)


def jobs(grid: grids.Grid) -> list[Job]:
    """Every job of a grid, in an order that does not depend on its names."""
    return sorted(grid.jobs.values(), key=lambda job: job.kind)


def decided_by(job: Job, grid: grids.Grid) -> set[str]:
    """The pieces of source that a job's record names, and those of the run that it measures."""
    named = set(job.sources) | (set(grid.jobs[job.needs[0]].sources) if job.kind == "diagnose" else set())
    return {piece for piece in named if "[" not in piece}


def mutate(path: Path, module: str, piece: str) -> None:
    """Changes what one statement of a piece returns or binds."""
    content = path.read_bytes()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tops = ast.parse(content).body if piece == module else syntax.bound(module)[piece.rpartition(".")[2]]
    nodes = [
        node
        for top in tops
        for node in ast.walk(top)
        if isinstance(node, ast.Return | ast.Assign | ast.AnnAssign) and node.value
    ]
    if not nodes:  # nothing but declarations
        path.write_bytes(content + b"\nEDITED = True\n")
        return
    value = nodes[-1].value
    first = starts[value.lineno - 1] + value.col_offset
    last = starts[value.end_lineno - 1] + value.end_col_offset
    path.write_bytes(content[:first] + b"(None, " + content[first:last] + b")" + content[last:])
    compile(path.read_text(), str(path), "exec")


def where(piece: str) -> str:
    """The module or package whose file holds a piece."""
    return piece if syntax.source(piece) is not None else piece.rpartition(".")[0]


@pytest.mark.slow
def test_a_line_of_any_source_renames_the_jobs_that_it_decides_and_no_other(read_here):
    grid = small_grid(read_here)
    before, decided = jobs(grid), {name: decided_by(job, grid) for name, job in grid.jobs.items()}
    every = sorted(set().union(*decided.values()))
    assert len(every) > 75
    for piece in every:
        module = where(piece)
        path = syntax.source(module)
        original = path.read_bytes()
        mutate(path, module, piece)
        after = jobs(small_grid(read_here))
        path.write_bytes(original)
        renamed = {old.name for old, new in zip(before, after, strict=True) if old.name != new.name}
        assert renamed == {name for name, by in decided.items() if piece in by}, piece
        assert renamed, piece


def test_comments_docstrings_and_formatting_rename_nothing(read_here):
    before = [job.name for job in jobs(small_grid(read_here))]
    for path in (read_here / "orderdp").rglob("*.py"):
        content = path.read_text()
        tree = ast.parse(content)
        lines = content.splitlines(keepends=True)
        if ast.get_docstring(tree) is not None:
            lines[tree.body[0].lineno - 1 : tree.body[0].end_lineno] = ['"""Other words."""  # and why\n']
        path.write_text("\n# A comment.\n" + "".join(lines) + "\n\n# Another.\n")
    style = ["--isolated", "--line-length", "60", "--config", "format.quote-style='single'"]
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", *style, str(read_here / "orderdp")], check=True)
    assert (read_here / "orderdp/training/engine.py").read_text().count("\n") > 500  # it was 371 lines long
    assert [job.name for job in jobs(small_grid(read_here))] == before


def test_line_ends_rename_nothing(copy):
    """In a process of its own, which imports the copy."""

    def listed() -> dict[str, str]:
        return json.loads(
            subprocess.run([sys.executable, "-c", LIST], cwd=copy, capture_output=True, text=True, check=True).stdout
        )

    before = listed()
    for path in [*copy.rglob("*.py"), copy / "params.yaml"]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert listed() == before


@pytest.mark.parametrize(
    ("file", "renamed"),
    [
        ("pruning/ucb.py", {"ucb"}),
        ("pruning/moving.py", {"ucb", "epsilon_greedy"}),
        ("pruning/infobatch.py", {"infobatch"}),
        ("pruning/orderdp.py", {"orderdp"}),
        ("datasets/cifar.py", set()),
        ("datasets/search.py", set()),
        ("models/imagenet_resnet.py", set()),
        ("spec.py", set()),
        ("jobs/trainer.py", set()),
        ("tracking/store.py", set()),
        ("reporting/items/table02.py", set()),
    ],
)
def test_an_edit_renames_the_runs_that_it_decides(read_here, file, renamed):
    before = runs(read_here)
    path = read_here / "orderdp" / file
    path.write_text(path.read_text() + "\nEDITED = True\n")
    after = runs(read_here)
    assert len(after) == len(before)
    assert {before[name] for name in set(before) - set(after)} == renamed
    kept = {method for name, method in after.items() if name in before}
    assert kept == set(before.values()) - renamed


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("training/engine.py", "fork_rng(devices=[])", "fork_rng()"),
        (
            "training/device.py",
            "torch.backends.cudnn.benchmark = True, False",
            "torch.backends.cudnn.benchmark = False, True",
        ),
        (
            "datasets/indexing.py",
            "in enumerate(_used(dataset, classes, folder))",
            "in enumerate(reversed(_used(dataset, classes, folder)))",
        ),
        (
            "datasets/__init__.py",
            "return read_index(dataset, folder) if",
            "return read_index(dataset, folder.parent) if",
        ),
    ],
)
def test_what_every_run_passes_through_decides_every_run(read_here, file, old, new):
    before = runs(read_here)
    edit(read_here / "orderdp" / file, old, new)
    assert not set(runs(read_here)) & set(before)


def test_a_new_line_in_a_registry_renames_nothing(read_here):
    before = runs(read_here)
    edit(read_here / "orderdp/pruning/__init__.py", '    "ucb": UCB,\n', '    "ucb": UCB,\n    "ucb_too": UCB,\n')
    edit(
        read_here / "orderdp/datasets/__init__.py",
        '    "digits": DIGITS,\n',
        '    "digits": DIGITS,\n    "digits_too": DIGITS,\n',
    )
    assert runs(read_here) == before


@pytest.mark.parametrize(
    ("file", "entry", "old", "new"),
    [
        ("coresets", "CORESETS[entropy]", '"entropy": entropy,', '"entropy": least_confidence,'),
        ("datasets", "DATASETS[imagenet]", '"imagenet": IMAGENET,', '"imagenet": IMAGENET10,'),
        ("models", "MODELS[resnet50]", '"resnet50": resnet50,', '"resnet50": resnet18,'),
    ],
)
def test_another_entry_under_a_registered_name_renames_its_runs(read_here, file, entry, old, new):
    """Also where both lie in one module, whose text is the same."""
    before = small_grid(read_here).runs
    edit(read_here / "orderdp" / file / "__init__.py", old, new)
    renamed = set(before) - set(small_grid(read_here).runs)
    assert renamed == {name for name, run in before.items() if entry in run.sources}
    assert renamed


@pytest.mark.parametrize(
    "content",
    [
        "from orderdp.pruning import OrderDP\nclass Mine(OrderDP): pass\n",
        "from orderdp import OrderDP as Base\nclass Mine(Base): pass\n",
        "from .orderdp import OrderDP\nclass Mine(OrderDP): pass\n",
        "from . import OrderDP\nclass Mine(OrderDP): pass\n",
        "import orderdp.pruning.orderdp as base\nclass Mine(base.OrderDP): pass\n",
        "import importlib\nbase = importlib.import_module('orderdp.pruning.orderdp')\nclass Mine(base.OrderDP): pass\n",
        (
            "class Mine:\n    def select_mask(self):\n        from orderdp.pruning import OrderDP\n        return"
            " OrderDP\n"
        ),
        "try:\n    from orderdp import OrderDP\nexcept ImportError:\n    raise\nclass Mine(OrderDP): pass\n",
    ],
)
def test_an_import_is_followed_however_it_is_written(read_here, content):
    found = add_pruner(read_here, content)
    assert {"orderdp.pruning.mine", "orderdp.pruning.orderdp", "orderdp.pruning.ranking"} <= found
    assert "orderdp.pruning.ucb" not in found, "a name of a package stands for its own module, not for all others"


@pytest.mark.parametrize(
    "line", ["import orderdp.pruning as p", "from orderdp import pruning", "from orderdp.pruning import *"]
)
def test_a_package_imported_as_a_whole_brings_in_all_that_it_exports(read_here, line):
    found = add_pruner(read_here, f"{line}\nclass Mine: pass\n")
    assert {"orderdp.pruning.orderdp", "orderdp.pruning.ucb", "orderdp.pruning.infobatch"} <= found


def test_negated_scores_rename_a_pruner_built_on_orderdp(read_here):
    add_pruner(read_here, "from orderdp.pruning import OrderDP\nclass Mine(OrderDP): pass\n")
    before = code_checksums(train.ENTRY_POINTS, (("pruning", "PRUNERS", "mine"),))
    edit(read_here / "orderdp/pruning/orderdp.py", "top(self._scores, self.kept", "top(-self._scores, self.kept")
    forget()
    after = code_checksums(train.ENTRY_POINTS, (("pruning", "PRUNERS", "mine"),))
    assert {piece for piece in before if before[piece] != after[piece]} == {"orderdp.pruning.orderdp"}


OUTSIDE = {
    "orderdp.coresets.command": "the command `coreset`, for users' own arrays",
    **dict.fromkeys(
        (
            f"orderdp.datasets.own.{name}"
            for name in ("finding", "images", "looking", "photos", "stored", "tables", "words")
        ),
        "a run has the checksum of what they made; how that is read is in the run's fingerprint",
    ),
    "orderdp.datasets.processors": "how many processes decode decides no result",
    "orderdp.datasets.search": "see NOT_DECIDING",
    "orderdp.pruning.indexed": "for users' own loops; the engine yields indices itself",
    "orderdp.pruning.streaming": "for users' own streams; it is not registered",
    "orderdp.theory.command": "a command's text",
    "orderdp.theory.coverage": "computed while a report is made, which has its own fingerprint",
    "orderdp.theory.picture": "computed while a report is made",
    "orderdp.theory.screen": "a command's text",
    "orderdp.theory.toy": "computed while a report is made",
    "orderdp.training.emulation": "tries code for GPUs where there is none",
}
"""Modules beside the jobs whose text is in no fingerprint -> why."""


def test_every_module_is_in_a_fingerprint_or_has_a_reason_not_to_be():
    registries = (("datasets", "DATASETS"), ("models", "MODELS"), ("pruning", "PRUNERS"), ("coresets", "CORESETS"))
    entries = tuple((*where, name) for where in registries for name in registry(*where))
    starts = [start for kind in (train, proxy, coresets, diagnose, study) for start in kind.ENTRY_POINTS]
    found = set(code_checksums(tuple(starts), entries))
    folders = ("coresets", "datasets", "diagnostics", "models", "pruning", "theory", "training")
    files = [
        path for folder in folders for path in (ROOT / "orderdp" / folder).rglob("*.py") if path.name != "__init__.py"
    ]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}
    assert names - found == set(OUTSIDE)
    assert not found & checksums.NOT_DECIDING
    assert all(syntax.source(name) is not None for name in checksums.NOT_DECIDING)


SAMPLE = '''
"""Of a module."""
from __future__ import annotations
import math  # why

class A(dict[str, int]):
    """Of a class."""
    size: int = 3
    """Of an attribute."""

    @property
    def text(self, *rest, key=None, **more) -> str:
        """Of a function."""
        return f"a{self.size:>{4}}b" "c" f"{key!r}{math.pi=}" if rest else u"d\\u00e9"

async def run(x):
    async with x as y:
        return [z async for z in y if z] or {**x, 1: ...}
'''


def checksum_of(content: str) -> str:
    return checksums._checksum(tuple(ast.parse(content).body))


def test_golden_checksum():
    """The same under every version of Python. A changed value here means that every run in the world is renamed: say so
    in the changelog."""
    assert checksum_of(SAMPLE) == "cf9ed7156daf8056"


def test_what_newer_versions_of_python_parse_otherwise_changes_no_checksum():
    """PEP 695 adds a field to functions and classes; PEP 701 may cut the constant parts of an f-string elsewhere."""
    tree = ast.parse(SAMPLE)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node._fields = (*[field for field in node._fields if field != "type_params"], "type_params")
            node.type_params = []
        if isinstance(node, ast.JoinedStr):
            letters = [
                [ast.Constant(c) for c in part.value] if isinstance(part, ast.Constant) else [part]
                for part in node.values
            ]
            node.values = [ast.Constant(""), *itertools.chain(*letters), ast.Constant("")]
    assert checksums._checksum(tuple(tree.body)) == checksum_of(SAMPLE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 'a'", 'x = "a"  # why'),
        ("x = (1 +\n  2)", "x = 1 + 2"),
        ("def f():\n    '''Old.'''\n    return 1", "def f():\n\n    return 1"),
        ("x: int\n'of x'", "x: int"),
        ("x = 'ab'", "x = 'a' 'b'"),
        ("x = f'{y:}'", "x = f'{y}'"),
        ("f(a, b)", "f(\n    a,\n    b,\n)"),
    ],
)
def test_the_same_code_has_one_checksum(one, other):
    assert checksum_of(one) == checksum_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f():\n    return", "def f():\n    return None"),
        ("def f():\n    return f''", "def f():\n    return"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = 'a '", "x = 'a'"),
        ("x = f'{y}a'", "x = f'a{y}'"),
        ("x = f'{y!r}'", "x = f'{y}'"),
        ("x = f'{y:>3}'", "x = f'{y}'"),
        ("f(a, b=c)", "f(a, c=b)"),
        ("{**a, 1: b}", "{1: b, **a}"),
        ("if a:\n    b()\n    c()", "if a:\n    b()\nc()"),
        ("def f(*, a, b=None): pass", "def f(*, a=None, b): pass"),
        ("def f(a, b): pass", "def f(a, *, b): pass"),
        ("x = -y", "x = y"),
        ("a and (b or c)", "(a and b) or c"),
    ],
)
def test_other_code_has_another_checksum(one, other):
    assert checksum_of(one) != checksum_of(other)
