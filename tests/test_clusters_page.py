"""What docs/clusters.md says of our own commands and of the installed plugin is so."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import yaml

from orderdp import __main__ as command_line
from orderdp import grid as grids
from orderdp import resources
from orderdp.launch import launcher

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S)
    for line in block.replace("\\\n", " ").splitlines()
    if line
]


def test_our_commands_are_understood():
    ours = [shlex.split(line, comments=True)[3:] for line in COMMANDS if line.startswith("python -m orderdp ")]
    assert len(ours) == 2
    for words in ours:
        assert command_line.parser(words[0]).parse_args(words).scale == "cifar"


def test_profiles_and_scales_exist():
    for profile in re.findall(r"--profile (\S+)", PAGE):
        assert (ROOT / profile / "config.yaml").exists(), profile
    scales = grids.load(ROOT / "params.yaml").scales
    for scale in re.findall(r"scale=([a-z]+)", PAGE):
        assert scale in scales
    for name in re.findall(r"snakemake artifact_(\w+)", PAGE):
        assert name in grids.load(ROOT / "params.yaml").experiments


def test_the_launcher_is_the_one_that_runs():
    (line,) = (line for line in COMMANDS if "torch.distributed.run" in line)
    assert line.startswith(" ".join(["python", *launcher(4), "train"]))


def test_the_plugin_has_the_options_that_are_named():
    plugin = pytest.importorskip(
        "snakemake_executor_plugin_slurm"
    )  # that it is there is `tests/workflow/test_cluster.py`'s business
    options = {f"--slurm-{field.name.replace('_', '-')}" for field in dataclasses.fields(plugin.ExecutorSettings)}
    named = set(re.findall(r"--slurm-[a-z-]+", PAGE))
    assert named
    assert named <= options


def test_the_numbers_are_those_of_the_profile_and_of_the_estimate():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    brief, short = (int(entry.split("=")[1]) for entry in profile["group-components"])
    assert (
        f"up to {resources.BRIEF_S / 60:g} minutes go {brief} to a job, up to {resources.SHORT_S / 60:g} minutes {short} to a job"
        in PAGE.replace("\n  ", " ")
    )
    assert set(re.findall(r"(\w+)=\d+", " ".join(profile["group-components"]))) == {"brief", "short"}
