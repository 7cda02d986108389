"""What contributors and readers are given agrees with the rest: hooks with `make lint`, versions with one another."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import orderdp

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_hooks_call_what_make_lint_calls_and_download_nothing():
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", read("Makefile"), re.M)
    assert lint
    repos = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = repos[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    called = {hook["entry"].replace(" --force-exclude", "") for hook in hooks}
    assert all(re.search(rf"^\t{command}\b", lint[1], re.M) for command in called)
    assert (
        len(called) == len(lint[1].splitlines()) - 1
    )  # `snakemake --lint` reads the whole workflow: not for each commit


def test_versions_agree():
    assert yaml.safe_load(read("CITATION.cff"))["version"] == orderdp.__version__
    assert re.search(r"^## (\S+)", read("CHANGELOG.md"), re.M)[1] == orderdp.__version__


def test_the_catalog_finds_how_to_configure():
    usage = yaml.safe_load(read(".snakemake-workflow-catalog.yml"))["usage"]
    assert any(usage["software-stack-deployment"].values())
    assert (ROOT / "config/README.md").exists()
