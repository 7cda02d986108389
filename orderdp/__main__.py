"""Command line: `python -m orderdp COMMAND`. Maps names to functions; everything heavy is imported inside its
command."""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from orderdp import grid as grids
from orderdp.spec import SpecError

T = TypeVar("T")
DATA, RUNS, WORK, REPORTS = Path("data"), Path("runs"), Path(".work"), Path("reports")


def plan(args: argparse.Namespace) -> int:
    """What would run, and why; nothing is changed."""
    from orderdp.costs import calibration
    from orderdp.plan import describe, finished

    grid = grids.load(args.params, args.scale)
    if args.calibrate:
        from orderdp.calibrate import calibrate

        missing = [cell for name, cell in grid.cells.items() if not finished(RUNS, name)]
        calibrate(
            missing, WORK / "calibration.json", args.device, say=lambda text: print(text, file=sys.stderr, flush=True)
        )
    print(describe(grid, RUNS, calibration(WORK / "calibration.json")))
    return 0


def prepare(args: argparse.Namespace) -> int:
    """Find, check and convert a data set."""
    from orderdp.datasets import prepare as prepare_dataset

    places = grids.load(args.params, args.scale).data_places.get(args.dataset, ())
    prepare_dataset(args.dataset, args.out or DATA / args.dataset, places=[Path(p) for p in places])
    return 0


def train(args: argparse.Namespace) -> int:
    """Train one cell of the grid, or go on with it."""
    from orderdp.progress import Progress

    grid = grids.load(args.params, args.scale)
    cell = grid.cells[args.cell]
    from orderdp.training.run import Interrupted, train_cell

    try:
        train_cell(
            cell,
            data=DATA,
            runs=RUNS,
            work=WORK,
            keep_models=grid.keep_models,
            device=args.device,
            threads=args.threads,
            workers=args.workers,
            compiled=args.compile,
            on_epoch=Progress(args.cell),
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
    except Interrupted as error:
        print(error, file=sys.stderr)
        return 143
    return 0


def study(args: argparse.Namespace) -> int:
    """Check the theorems by experiment."""
    from orderdp.study import run_study

    grid = grids.load(args.params, args.scale)
    run_study(_named(grid, "--study", args.study, {study.name: study for study in grid.studies}), data=DATA, runs=RUNS)
    return 0


def diagnose(args: argparse.Namespace) -> int:
    """Measure a finished run at its checkpoints, from the weights that it kept."""
    from orderdp.diagnose import run_diagnosis

    grid = grids.load(args.params, args.scale)
    found = _named(grid, "--diagnosis", args.diagnosis, grid.diagnoses)
    run_diagnosis(found, data=DATA, runs=RUNS, device=args.device, threads=args.threads)
    return 0


def proxy(args: argparse.Namespace) -> int:
    """Train the networks that coresets are chosen by, and note what the methods ask for."""
    from orderdp.coreset_jobs import run_proxy

    grid = grids.load(args.params, args.scale)
    found = _named(grid, "--proxy", args.proxy, grid.proxies)
    run_proxy(found, data=DATA, runs=RUNS, device=args.device, threads=args.threads, say=_tell)
    return 0


def coresets(args: argparse.Namespace) -> int:
    """Choose all coresets that a proxy's evidence is wanted for."""
    from orderdp.coreset_jobs import run_coresets

    grid = grids.load(args.params, args.scale)
    found = _named(grid, "--coresets", args.coresets, grid.coresets)
    run_coresets(found, runs=RUNS, threads=args.threads, say=_tell)
    return 0


def _named(grid: grids.Grid, flag: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise SpecError(
            f"{flag}: {name!r} is not in the grid of scale {grid.scale!r}. Known: {', '.join(known) or 'none'}."
        )
    return known[name]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def theory(args: argparse.Namespace) -> int:
    """Say what a choice of s and q does, or which choices reach a prune ratio."""
    from orderdp.theory.command import run

    return run(args)


def select(args: argparse.Namespace) -> int:
    """Select a coreset from features, logits and labels of your own, or from a run's usage counts."""
    from orderdp.coresets.command import run
    from orderdp.files import write

    print(run(args, write))
    return 0


def report(args: argparse.Namespace) -> int:
    """Make tables, figures and the page from the runs."""
    from orderdp.reporting.artifacts import report as make_report
    from orderdp.reporting.artifacts import report_after_failures

    grid = grids.load(args.params, args.scale)
    if args.partial:
        report_after_failures(grid, runs=RUNS, reports=REPORTS)
        _tell(
            f"Jobs failed: {REPORTS / grid.scale / 'index.html'} was made from what there is, and says what is missing."
        )
    else:
        make_report(grid, runs=RUNS, reports=REPORTS, only=args.only, page=args.page)
    return 0


def track(args: argparse.Namespace) -> int:
    """Bring MLflow up to date with the files of the runs."""
    from orderdp import tracking

    grid = grids.load(args.params, args.scale)
    if args.watch:
        tracking.watch(grid, runs=RUNS, work=WORK, reports=REPORTS, parent=args.parent)
        return 0
    result = tracking.track(grid, runs=RUNS, work=WORK, reports=REPORTS)
    print(result.text)
    return 0 if result.error is None or args.best_effort else 1


def verify(args: argparse.Namespace) -> int:
    """Check that every table, figure and page was made from the runs that lie here."""
    from orderdp.reporting.artifacts import verify as find_problems

    problems = find_problems(grids.load(args.params, args.scale), RUNS, REPORTS)
    print("\n".join(problems) or "Reports and runs agree.")
    return 1 if problems else 0


def gc(args: argparse.Namespace) -> int:
    """List, and on request remove, runs that no grid asks for."""
    from orderdp.plan import collect_garbage

    present = grids.load(args.params, args.scale)
    every = [present, *(grids.load(args.params, scale) for scale in present.scales if scale != present.scale)]
    print(collect_garbage(every, RUNS, WORK, args.delete))
    return 0


def schema(args: argparse.Namespace) -> int:
    """Print the JSON schema of params.yaml."""
    import json

    print(json.dumps(grids.Params.model_json_schema(), indent=1))
    return 0


COMMANDS = {
    "plan": plan, "prepare": prepare, "train": train, "study": study, "report": report, "track": track, "verify": verify, "gc": gc,
    "schema": schema, "theory": theory, "select": select, "proxy": proxy, "coresets": coresets, "diagnose": diagnose,
}  # fmt: skip
GRAMMARS = {"theory": "orderdp.theory.command", "select": "orderdp.coresets.command"}
"""Commands that stand alone, without params.yaml -> the module whose `add_arguments` knows their options; imported only
for them."""


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The command line's grammar; of the commands in `GRAMMARS`, the options of the given one alone."""
    top = argparse.ArgumentParser(prog="orderdp", description="OrderDP: dynamic data pruning, reproduced.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sub = {}
    for name, function in COMMANDS.items():
        text = (function.__doc__ or "").strip()
        sub[name] = commands.add_parser(name, help=text, description=text)
        if name not in GRAMMARS:
            sub[name].add_argument("--params", type=Path, default=Path("params.yaml"), help="the parameter file")
            sub[name].add_argument("--scale", help="a scale of the parameter file, instead of the one it names")
            sub[name].add_argument(
                "--config", type=scale_of, dest="scale", metavar="scale=NAME", help="the same, as snakemake takes it"
            )
        elif name == command:
            importlib.import_module(GRAMMARS[name]).add_arguments(sub[name])
    sub["plan"].add_argument(
        "--calibrate", action="store_true", help="first measure a few steps of every kind of run on this device"
    )
    sub["plan"].add_argument("--device", help="device to measure; the best present unless given")
    sub["prepare"].add_argument("--dataset", required=True)
    sub["prepare"].add_argument("--out", type=Path, help="folder to make; data/<dataset> unless given")
    sub["train"].add_argument("--cell", required=True, help="a name that `plan` and `snakemake -n` show")
    sub["train"].add_argument("--device", help="cuda, mps or cpu; the best present unless given")
    sub["train"].add_argument("--threads", type=int, help="CPU threads")
    sub["train"].add_argument(
        "--workers", type=int, help="loader processes that decode photographs; one per processor unless given"
    )
    sub["train"].add_argument("--compile", action="store_true", help="let torch compile the network")
    sub["proxy"].add_argument("--proxy", required=True, help="a name that `snakemake -n` shows")
    sub["diagnose"].add_argument("--diagnosis", required=True, help="a name that `snakemake -n` shows")
    for name in ("proxy", "diagnose"):
        sub[name].add_argument("--device", help="cuda, mps or cpu; the best present unless given")
    sub["coresets"].add_argument("--coresets", required=True, help="a name that `snakemake -n` shows")
    for name in ("proxy", "coresets", "diagnose"):
        sub[name].add_argument("--threads", type=int, help="CPU threads")
    sub["study"].add_argument("--study", required=True, help="a name that `snakemake -n` shows")
    sub["report"].add_argument("--only", help="one experiment; all of them and the page unless given")
    sub["report"].add_argument(
        "--partial", action="store_true", help="after jobs have failed: what they left out, from what there is"
    )
    sub["report"].add_argument(
        "--page", action="store_true", help="the page alone, from tables and figures made before"
    )
    sub["track"].add_argument("--watch", action="store_true", help="follow the files until the parent ends")
    sub["track"].add_argument("--parent", type=int, help="process to watch with; this one's parent unless given")
    sub["track"].add_argument("--best-effort", action="store_true", help="succeed even if the store cannot be reached")
    sub["gc"].add_argument("--delete", action="store_true", help="remove them")
    return top


def scale_of(text: str) -> str:
    """`scale=NAME` -> NAME."""
    key, _, name = text.partition("=")
    if key != "scale" or not name:
        raise argparse.ArgumentTypeError(f"takes only scale=NAME. Got {text!r}. Edit params.yaml")
    return name


def main(argv: list[str] | None = None) -> int:
    """Runs a command; a mistake of the user's is one message and exit code 2."""
    faulthandler.enable(sys.__stderr__)  # a crash of compiled code leaves a traceback on stderr, hence in the job's log
    words = sys.argv[1:] if argv is None else argv
    args = parser(words[0] if words else None).parse_args(words)
    try:
        return COMMANDS[args.command](args)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 0
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        if not told_on_purpose(error):
            raise
        print(f"orderdp {args.command}: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2


def told_on_purpose(error: Exception) -> bool:
    """Whether a `raise` of ours made the error: then its message says all. A slip of ours or of a library needs its
    traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Path(last.filename).is_relative_to(Path(__file__).parent) and (last.line or "").startswith("raise ")


if __name__ == "__main__":
    sys.exit(main())
