"""`python -m orderdp try PATH`: from a folder, a table or an archive to a recommendation."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orderdp.datasets.processors import processors
from orderdp.launch.arguments import between, number, time_limit
from orderdp.spec import RunSpec
from orderdp.trial.planning import (
    LARGE,
    Choice,
    Network,
    Rates,
    choose,
    explained,
    more_seeds,
    named_network,
    own_network,
    together,
)

if TYPE_CHECKING:
    from orderdp.datasets.own import Looked

BUDGET = "30m"
MOST_AT_ONCE = 16
LOOKED = ("size", "holdout", "skip_broken", "label")
ASKED = (*LOOKED, "model", "epochs", "seeds", "ratios", "budget", "device")
"""Options on which it depends what is trained."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="folder of classes, Parquet or CSV files, .npz archive")
    add("--into", type=Path, metavar="FOLDER", help="folder of the trial; try-<name> unless given")
    add(
        "--budget",
        type=time_limit,
        default=time_limit(BUDGET),
        help=f"time for the training, such as 2h; none for no limit; {BUDGET} unless given",
    )
    add("--model", help="a network of torchvision or timm by its name there")
    add("--epochs", type=number(1, 100_000), help="of the full data; by the budget unless given")
    add("--seeds", type=number(1, 100), help="runs of everything; 3 to 10, by the budget, unless given")
    add("--ratios", type=between(0, 1), nargs="+", metavar="R", help="prune ratios in (0, 1), such as 0.3 0.5")
    add(
        "--tolerance",
        type=between(0, 100),
        default=0.5,
        help="points of accuracy whose loss counts as none; 0.5 unless given",
    )
    add("--size", type=number(4, 1024), help="side, in pixels, to bring images to")
    add(
        "--holdout",
        type=between(0, 0.5, with_high=True),
        help="share of each class to hold out where there is no test part; 0.2 unless given",
    )
    add("--skip-broken", action="store_true", help="leave out files and rows that cannot be read")
    add("--label", help="column of a table's labels; 'label' unless given")
    add("--device", choices=["cpu", "cuda", "mps"], help="the best one present unless given")
    add("--cores", type=number(1, 1024), help="processors; all unless given")
    add("--plan", action="store_true", help="only say what would be trained, and how long it takes")


def run(args: argparse.Namespace) -> int:
    """Looks at the data, plans, trains and writes the page."""
    from orderdp import grid as grids
    from orderdp.jobs import costs
    from orderdp.trial import project, running
    from orderdp.trial.page import repetitions, write_page

    name = project.name_of(args.path)
    folder = args.into or Path(f"try-{name}")
    project.refuse_foreign(folder)
    request = {key: getattr(args, key) for key in ASKED} | {"path": str(args.path.expanduser().resolve())}
    cores = args.cores or processors()
    record = project.recorded(folder)
    if record is None or record["request"] != request:
        record = _planned(args, name, folder, request, cores, known=record)
    else:
        _say(f"{folder} has this trial already, and goes on with it.")
    _say("\n".join(record["chosen"]))
    grid = grids.load(folder / "params.yaml")
    # All runs are of one kind: the same network on the same samples.
    rates = {costs.key(job.spec): record["rates"] for job in grid.runs.values()}
    measured = costs.Calibration("", "", 0.0, rates)
    seconds = {run: costs.seconds(job.spec, measured) for run, job in grid.runs.items()}
    _say(f"This takes about {running.duration(record['choice']['seconds'])}. Everything is in {folder}.")
    if args.plan:
        return 0
    running.run(folder, seconds, cores, _options(args.device, grid, seconds, cores), sys.stderr)
    page, findings = write_page(folder, grid, record, args.tolerance)
    print()
    for sentence in (*findings.advice, *repetitions(record)):
        print(sentence)
    print(f"\nThe page: {page}")
    return 0


def _planned(
    args: argparse.Namespace,
    name: str,
    folder: Path,
    request: Mapping[str, Any],
    cores: int,
    known: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Looks through the data, measures the network, chooses, and writes the folder."""
    from orderdp.training.device import choose_device
    from orderdp.trial import project

    looked = _looked(args)
    _say("\n".join(looked.notes))
    gpu = choose_device(args.device).type != "cpu"
    told = looked.description
    network = (
        named_network(args.model, told.shape, told.n_train)
        if args.model
        else own_network(told.shape, told.n_train, gpu)
    )
    rates = _rates(name, looked, network, args, gpu, cores)
    if known is not None and _differ_only_in_seeds(request, known["request"]):
        choice, part = more_seeds(known["choice"], args.seeds), known["part"]
    else:
        limits = {"epochs": args.epochs, "seeds": args.seeds, "ratios": args.ratios}
        choice = choose(told.n_train, told.n_test, len(told.classes), rates, args.budget, **limits)
        part = choice.n if choice.n < told.n_train else None
    if part is not None:
        looked = looked.part(part)
        choice = replace(choice, n=looked.description.n_train)
    params = project.parameters(name, looked.description.plain(), network, choice)
    record = {
        "name": name,
        "request": dict(request),
        "command": shlex.join(["orderdp", "try", *sys.argv[2:]]),
        "all": told.n_train,
        "part": part,
        "choice": choice.plain(),
        "network": network.words,
        "repeated": looked.repeated,
        "found": looked.notes,
        "chosen": explained(choice, told.n_train, network, args.budget),
        "rates": {"sample_s": rates.sample_s, "test_sample_s": rates.test_sample_s},
    }
    if not args.plan:
        looked.write(name, folder / "data" / name)
    project.write_project(folder, params, record)
    return record


def _looked(args: argparse.Namespace) -> Looked:
    """The data; images that are large or differ in size are made smaller, unless a size is given."""
    from orderdp.datasets.own import NeedsSize, look

    how = {key: getattr(args, key) for key in LOOKED}
    if args.size is not None:
        return look(args.path, **how)
    with contextlib.suppress(NeedsSize):
        looked = look(args.path, **how)
        if max(looked.description.shape[1:]) <= LARGE:
            return looked
    looked = look(args.path, **how | {"size": LARGE})
    looked.notes.append(
        f"images are brought to {LARGE} x {LARGE} pixels, so that a trial takes minutes: --size names another side"
    )
    return looked


def _differ_only_in_seeds(request: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a trial is the same as before with another number of seeds, so that the runs that are there are of
    use."""
    return {key for key in request if request[key] != before.get(key)} == {"seeds"} and request["seeds"] is not None


def _rates(name: str, looked: Looked, network: Network, args: argparse.Namespace, gpu: bool, cores: int) -> Rates:
    """Measures the network with as many processes side by side as there will be runs."""
    from orderdp.trial import project

    first = Choice(args.epochs or 1, (0.5,), 1, looked.description.n_train, 1, 0.0)
    params = project.parameters(name, looked.description.plain(), network, first)
    spec = next(run.spec for run in project.expanded(params).runs.values() if run.spec.method.name == "full")
    if gpu:
        import torch

        found = [_measured(spec, args.device)]
        at_once = max(1, torch.cuda.device_count())
    else:
        at_once = min(cores, MOST_AT_ONCE)
        with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_measured, [spec] * at_once, [args.device or "cpu"] * at_once))
        at_once = cores
    return Rates(max(rate["sample_s"] for rate in found), max(rate["test_sample_s"] for rate in found), at_once)


def _measured(spec: RunSpec, device: str | None) -> dict[str, float]:
    from orderdp.planning.calibrate import measure
    from orderdp.training.device import set_up

    return measure(spec, set_up(device, spec.recipe.precision, 1))


def _options(device: str | None, grid: Any, seconds: Mapping[str, float], cores: int) -> list[str]:
    """Of Snakemake: how many runs share a process, and the device."""
    asked = sum(run.resources().seconds for run in grid.runs.values())
    bundles = -(-len(seconds) // together(max(seconds.values()), len(seconds), cores))
    found = ["--set-resources", f"bundle:minutes={asked / 60 / bundles:.6f}"]
    return found + ([f"bundle:device={device}"] if device else [])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
