"""The container file, read: nothing here builds it."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def instructions() -> list[tuple[str, str]]:
    """(word, rest) of each instruction, lines joined, comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def copied() -> list[str]:
    return [source for word, rest in instructions() if word == "COPY" for source in shlex.split(rest)[:-1]]


def test_what_is_copied_exists_and_reaches_the_build():
    assert copied()
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in kept), f"{source} is ignored"


def test_the_workflow_finds_all_that_it_includes():
    """Every file that the Snakefile and the profiles name is in a copied folder."""
    text = (ROOT / "Snakefile").read_text()
    for path in [
        *re.findall(r'include: "([^"]+)"', text),
        "params.yaml",
        "profiles/default/config.yaml",
        "orderdp/__main__.py",
    ]:
        assert any(path == source or path.startswith(f"{source}/") for source in copied()), path


def test_the_environment_is_the_locked_one():
    runs = [rest for word, rest in instructions() if word == "RUN"]
    installs = [command for run in runs for command in run.split("&&") if "pip install" in command]
    assert len(installs) == 2
    assert "-r requirements.lock" in installs[0]
    assert "--no-deps" in installs[1]  # nothing beside the lock
    order = [word + " " + rest for word, rest in instructions()]
    assert next(i for i, line in enumerate(order) if "requirements.lock ./" in line) < order.index(f"RUN {runs[1]}")


def test_the_base_is_the_first_python_of_ci_and_the_user_is_not_root():
    words = dict(instructions())
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert words["FROM"] == f"python:{ci['jobs']['ci']['strategy']['matrix']['python'][0]}-slim"
    assert words["USER"] not in ("root", "0")
    position = [word for word, _ in instructions()]
    assert position.index("USER") > len(position) - 1 - position[::-1].index("RUN")  # packages are installed before
    assert json.loads(words["ENTRYPOINT"]) == ["snakemake"]
