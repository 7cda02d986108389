"""What docs/clusters.md says of our own commands and of the installed plugin is so."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from orderdp import __main__ as command_line
from orderdp import grid as grids
from orderdp.jobs import Resources
from orderdp.launch import pool
from orderdp.planning.bundles import Bundle

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
    assert [words[0] for words in ours] == ["plan", "plan", "gpu-check", "plan", "archive", "report", "run"]
    for words in ours:
        scale = command_line.parser(words[0]).parse_args(words).scale
        assert scale in (None, *grids.load(ROOT / "params.yaml").scales)
        assert scale is not None or words == ["gpu-check"]


def test_profiles_and_scales_exist():
    for profile in re.findall(r"--profile (\S+)", PAGE):
        assert (ROOT / profile / "config.yaml").exists(), profile
    scales = grids.load(ROOT / "params.yaml").scales
    for scale in re.findall(r"scale=([a-z]+)", PAGE):
        assert scale in scales
    for name in re.findall(r"snakemake artifact_(\w+)", PAGE):
        assert name in grids.load(ROOT / "params.yaml").experiments


def test_several_gpus_are_started_as_the_page_says(monkeypatch):
    started = []
    process = SimpleNamespace(poll=lambda: 0, returncode=0)
    monkeypatch.setattr(pool.subprocess, "Popen", lambda words: started.append(words) or process)
    assert pool.run_on_ranks([SimpleNamespace(name="JOB")], 4, ["--scale", "SCALE"]) == 0
    (line,) = (line for line in COMMANDS if "torch.distributed.run" in line)
    assert line.split() == ["python", *started[0][1:]]


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
    minutes, at_once = (int(entry.split("=")[1]) for entry in profile["set-resources"])
    assert f"estimated at {minutes} minutes in all" in PAGE.replace("\n  ", " ")
    assert f"`bundle:at_once={at_once}`" in PAGE

    def job(seconds, memory_mb):
        return SimpleNamespace(resources=lambda: Resources(seconds, memory_mb))

    bundle = Bundle("train-0", (job(1200, 4000), job(600, 2000)))
    assert bundle.minutes(1) == 2 * 30 + 5
    assert bundle.minutes(2) == 2 * bundle.minutes(1)
    assert (bundle.memory_mb(1), bundle.memory_mb(2)) == (4000, 6000)
    assert "twice the estimated time and five minutes" in PAGE.replace("\n  ", " ")
    assert "twice the minutes and half as much memory again" in PAGE.replace("\n  ", " ")
