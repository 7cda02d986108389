"""The folder of a trial: a project of the workflow with one data set, one experiment and one scale."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from orderdp import grid as grids
from orderdp.files import write, write_json
from orderdp.grid import Grid
from orderdp.grid.reading import read
from orderdp.launch.new_project import new_project, source
from orderdp.trial.planning import FULL, SAVING, Choice, Network

SCALE = EXPERIMENT = "trial"
RECORD = "trial.json"
"""What was asked for, found and chosen; written last, so that the folder is whole where it is there."""
METHODS = (FULL, *SAVING)
HEAD = "# A trial on data of one's own, written by `python -m orderdp try`.\n"


def name_of(path: Path) -> str:
    """A data set's name in `params.yaml`, from where it lies: small letters, digits and _."""
    from orderdp.datasets import DATASETS

    name = re.sub(r"[^a-z0-9]+", "_", path.resolve().stem.lower()).strip("_")
    return f"own_{name}".rstrip("_") if not name or not name[0].isalpha() or name in DATASETS else name


def parameters(name: str, described: Mapping[str, Any], network: Network, choice: Choice) -> dict[str, Any]:
    """The content of the trial's `params.yaml`.

    Args:
        name: of the data set.
        described: its entry under `datasets`.
        network: what is trained.
        choice: how much.
    """
    whole = read(source() / "params.yaml")
    ratios = list(choice.ratios)
    overrides = {**network.overrides, "epochs": choice.epochs, "evaluate_every": choice.evaluate_every}
    workload = {"dataset": name, "model": network.model, "model_options": dict(network.options), "recipe": "paper"}
    grid = [{"methods": [FULL]}, {"methods": list(SAVING), "prune_ratios": ratios}]
    return {
        "scale": SCALE,
        "datasets": {name: dict(described)},
        "optimizers": whole["optimizers"],
        "recipes": {"paper": whole["recipes"]["paper"]},
        "workloads": {"mine": {**workload, "overrides": overrides}},
        "methods": {method: whole["methods"][method] for method in METHODS},
        "coresets": whole["coresets"],
        "experiments": {
            EXPERIMENT: {
                "title": "A trial on one's own data",
                "reproduces": "Nothing of the paper",
                "workloads": ["mine"],
                "compares_times": True,
                "grid": grid,
            }
        },
        "scales": {
            SCALE: {
                "note": "A trial on data of one's own.",
                "unlisted": "trained",
                "seeds": list(range(choice.seeds)),
                "record_at": [1.0],
                "keep_models": "none",
            }
        },
    }


def as_yaml(params: Mapping[str, Any]) -> str:
    """Parameters as the text of the file."""
    return HEAD + yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True, width=118, default_flow_style=None)


def expanded(params: Mapping[str, Any]) -> Grid:
    """The runs of these parameters.

    Raises:
        SpecError: they are not as they should be.
    """
    with tempfile.TemporaryDirectory(prefix="orderdp-try-") as scratch:
        path = Path(scratch, "params.yaml")
        path.write_text(as_yaml(params), encoding="utf-8")
        return grids.load(path)


def recorded(folder: Path) -> dict[str, Any] | None:
    """What the folder's trial is; None if there is none, or none that is whole."""
    try:
        content: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return content if {"request", "found", "chosen", "name"} <= content.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def refuse_foreign(folder: Path) -> None:
    """Refuses a folder that holds something else than a trial, whole or begun.

    Raises:
        ValueError: it does.
    """
    if folder.exists() and (
        not folder.is_dir()
        or not ({path.name for path in folder.iterdir()} <= {"data"} or (folder / "Snakefile").exists())
    ):
        raise ValueError(f"{folder} holds something else. Name another folder: --into FOLDER.")


def write_project(folder: Path, params: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Writes the folder, or new parameters into it. Runs that it holds stay; those that fit are not trained again."""
    if not (folder / "Snakefile").exists():
        new_project(folder)
    write(folder / "params.yaml", as_yaml(params))
    write_json(folder / RECORD, record)
