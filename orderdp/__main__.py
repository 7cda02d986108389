"""Command line: `python -m orderdp COMMAND`. Maps names to functions; everything heavy is imported inside its
command."""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orderdp import grid as grids
from orderdp.files import is_deliberate
from orderdp.launch.arguments import between, device_of, named, number, scale_of
from orderdp.launch.explain_failure import remedy

DATA, RUNS, WORK, REPORTS, LOGS = map(Path, ("data", "runs", ".work", "reports", "logs/jobs"))


def plan(args: argparse.Namespace) -> int:
    """What would run, and why; nothing is changed."""
    from orderdp.jobs import is_finished
    from orderdp.jobs.costs import calibration
    from orderdp.planning.plan import describe, listed

    grid = grids.load(args.params, args.scale)
    if args.jobs:
        print(listed(grid, RUNS))
        return 0
    if args.calibrate:
        from orderdp.planning.calibrate import calibrate

        missing = [run for name, run in grid.runs.items() if not is_finished(RUNS, name)]
        calibrate(missing, WORK / "calibration.json", args.device, say=_tell)
    print(describe(grid, RUNS, calibration(WORK / "calibration.json")))
    return 0


def init(args: argparse.Namespace) -> int:
    """Write a project: a folder with parameters, Snakefile and profiles, in which the workflow runs."""
    from orderdp.launch.new_project import new_project

    written = new_project(args.folder)
    _tell(f"{args.folder}: {', '.join(written)}. Next: cd {args.folder} && snakemake --cores all")
    return 0


def dataset(args: argparse.Namespace) -> int:
    """Add a data set of your own: look through its files, say what is found, and describe it in the parameter file."""
    from orderdp.datasets import DATASETS
    from orderdp.datasets.own import look
    from orderdp.files import write
    from orderdp.grid.describing import describe
    from orderdp.spec import SpecError

    if args.name in DATASETS:
        raise ValueError(f"There is a data set '{args.name}' already. Choose another name.")
    if args.name in grids.load(args.params, args.scale).own and not args.replace:
        raise ValueError(f"There is a data set '{args.name}' already. Choose another name, or --replace it.")
    looked = look(args.path, args.size, args.holdout, args.skip_broken, args.label, args.part, args.photos)
    for note in looked.notes:
        _tell(note)
    before = args.params.read_bytes()
    describe(args.params, args.name, looked.description.plain())
    try:
        grids.load(args.params, args.scale)
    except SpecError:
        write(args.params, before)
        raise
    looked.write(args.name, DATA / args.name)
    _tell(f"{args.name}: described under 'datasets' in {args.params}, and prepared in {DATA / args.name}")
    return 0


def prepare(args: argparse.Namespace) -> int:
    """Find, check and convert a data set."""
    from orderdp.datasets import get
    from orderdp.datasets import prepare as prepare_dataset

    grid, out = grids.load(args.params, args.scale), args.out or DATA / args.dataset
    if (own := grid.own.get(args.dataset)) is not None:
        from orderdp.datasets.own import prepare_own

        how = {name: getattr(own, name) for name in ("size", "holdout", "skip_broken", "label", "part", "photos")}
        prepare_own(args.dataset, out, args.source or Path(own.path), own.digest, **how)
        return 0
    folders, of = grid.data_dirs, getattr(get(args.dataset), "copy_of", None) or ""
    places = folders.get(args.dataset) or folders.get(of, ()) if args.source is None else (args.source,)
    prepare_dataset(args.dataset, out, places=[Path(p) for p in places])
    return 0


def run(args: argparse.Namespace) -> int:
    """Run jobs of the grid (trainings and all others), or go on with them; finished ones are left alone."""
    from orderdp.jobs import Execution, Interrupted, Job, is_finished
    from orderdp.jobs.finished import DamagedRun, damaged
    from orderdp.launch import gpus, pool
    from orderdp.planning.bundles import saved

    if args.bundle:
        known: Mapping[str, Job] = {job.name: job for job in saved(args.bundle).jobs}
    else:
        known = grids.load(args.params, args.scale).jobs
    names = [known[name].name for name in args.jobs] if args.jobs else list(known) if args.bundle else []
    for name, why in damaged(RUNS, names).items():
        raise DamagedRun(RUNS / name, why)
    jobs = [job for name, job in known.items() if name in names and not is_finished(RUNS, name)]
    if not jobs:
        _tell("All of these jobs are finished." if names else "No job is named. `plan --jobs` lists those of the grid.")
        return 0 if names else 2
    chained = any(needed in names for job in jobs for needed in job.needs)
    try:
        with gpus.claimed(0 if args.device == "cpu" else args.gpus) as on_gpus:
            if on_gpus and args.device is None:
                args.device = "cuda"
            if (args.gpus or 0) > 1:
                return pool.run_on_ranks(jobs, args.gpus, _how(args))
            execution = Execution(
                DATA,
                RUNS,
                WORK,
                device=args.device,
                threads=args.threads,
                workers=args.workers,
                micro_batch=args.micro_batch,
                compiled=args.compile,
                captured=not args.no_graph,
                sharing=min(args.at_once, len(jobs)),
            )
            if len(jobs) == 1 and args.jobs:
                gpus.require(execution.device)
                jobs[0].run(execution)
                return 0
            return pool.run_all(jobs, execution, 1 if chained else args.at_once, LOGS)
    except Interrupted as error:
        _tell(str(error))
        return 143


def _how(args: argparse.Namespace) -> list[str]:
    """The options of `run` again, for the processes of a run on several GPUs."""
    words = ["--bundle", str(args.bundle)] if args.bundle else ["--params", str(args.params)]
    names = ("scale", "device", "threads", "workers", "micro_batch")
    options = {name.replace("_", "-"): getattr(args, name) for name in names}
    given = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return [*words, *given, *(["--compile"] if args.compile else [])]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def theory(args: argparse.Namespace) -> int:
    """Say what a choice of s and q does, or which choices reach a prune ratio."""
    from orderdp.theory.command import run

    if args.n > 10**9:  # a number for each sample is held in memory
        raise ValueError(f"--n must be at most 1,000,000,000. Got {args.n}.")
    return run(args)


def coreset(args: argparse.Namespace) -> int:
    """Select a coreset from features, logits and labels of your own, or from a run's usage counts."""
    from orderdp.coresets.command import run
    from orderdp.files import write

    print(run(args, write))
    return 0


def attempt(args: argparse.Namespace) -> int:
    """Try pruning on data of your own: train with and without it, and say whether it is worth it there."""
    from orderdp.trial.command import run

    return run(args)


def report(args: argparse.Namespace) -> int:
    """Make tables, figures and the page from the runs."""
    from orderdp.reporting.artifacts import report as make_report
    from orderdp.reporting.artifacts import report_after_failures

    _collect_garbage_rarely()
    grid = grids.load(args.params, args.scale)
    if args.from_archive:
        from orderdp.launch.archive import NAME, archivable, restore

        with tempfile.TemporaryDirectory(prefix="orderdp-runs-") as folder:
            taken = restore(REPORTS / grid.scale / NAME, Path(folder), grid.jobs)
            make_report(grid, runs=Path(folder), reports=REPORTS, only=args.only, page=args.page)
        _tell(f"Made without training, from {len(taken)} archived jobs of {len(archivable(grid.jobs))}.")
        return 0
    if args.partial:
        report_after_failures(grid, runs=RUNS, reports=REPORTS)
        _tell(
            f"Jobs failed: {REPORTS / grid.scale / 'index.html'} was made from what there is, and says what is missing."
        )
    else:
        make_report(grid, runs=RUNS, reports=REPORTS, only=args.only, page=args.page)
    return 0


def _collect_garbage_rarely() -> None:
    """For commands that make a hundred thousand objects and then end: at Python's usual thresholds, looking through
    them for what is no longer used takes up to a third of the time."""
    import gc

    gc.freeze()
    gc.set_threshold(200_000, 10, 10)


def export(args: argparse.Namespace) -> int:
    """Write what runs learned about single samples: a coreset, a table of their histories, a page, or a picture."""
    from orderdp.trial.export import export as write_export

    runs = [run if run.is_dir() else RUNS / run for run in args.runs]
    _tell(write_export(runs, args.file, args.prune_ratio))
    return 0


def archive(args: argparse.Namespace) -> int:
    """Put the small files of the scale's finished jobs into one archive, or take them out of it."""
    from orderdp.launch.archive import NAME, archivable, restore
    from orderdp.launch.archive import archive as write_archive

    grid = grids.load(args.params, args.scale)
    path = REPORTS / grid.scale / NAME
    if args.restore:
        taken = restore(path, RUNS, grid.jobs)
        _tell(f"{len(taken)} jobs of {path} are in {RUNS} now. The others were there, or are not of this scale.")
        return 0
    names = write_archive(grid.jobs, RUNS, path)
    _tell(f"{path}: {len(names)} of {len(archivable(grid.jobs))} jobs, {path.stat().st_size / 1e6:.1f} MB")
    return 0


def track(args: argparse.Namespace) -> int:
    """Bring MLflow up to date with the files of the runs."""
    from orderdp import tracking

    _collect_garbage_rarely()
    grid = grids.load(args.params, args.scale)
    if args.watch:
        tracking.watch(grid, runs=RUNS, work=WORK, reports=REPORTS, parent=args.parent)
        return 0
    result = tracking.track(grid, runs=RUNS, work=WORK, reports=REPORTS, look=not args.best_effort)
    print(result.text)
    return 0 if result.error is None or args.best_effort else 1


def gpu_check(args: argparse.Namespace) -> int:
    """Try every kind of run on this machine's GPU, or on an emulated one, and estimate the hours of each scale."""
    from orderdp.planning.gpu_check import check

    return 0 if check(args.params, WORK / "calibration.json", print) else 1


def verify(args: argparse.Namespace) -> int:
    """Check that every table, figure and page was made from the runs that lie here."""
    from orderdp.reporting.artifacts import verify as find_problems

    problems = find_problems(grids.load(args.params, args.scale), RUNS, REPORTS)
    print("\n".join(problems) or "Reports and runs agree.")
    return 1 if problems else 0


def gc(args: argparse.Namespace) -> int:
    """List, and on request remove, runs that no grid asks for, or those whose files were damaged."""
    from orderdp.planning.plan import collect_garbage

    present = grids.load(args.params, args.scale)
    every = [present, *(grids.load(args.params, scale) for scale in present.scales if scale != present.scale)]
    print(collect_garbage(every, RUNS, WORK, args.delete, args.damaged))
    return 0


def schema(args: argparse.Namespace) -> int:
    """Print the JSON schema of params.yaml."""
    import json

    print(json.dumps(grids.Params.model_json_schema(), indent=1))
    return 0


COMMANDS = {
    "try": attempt, "init": init, "plan": plan, "dataset": dataset, "prepare": prepare, "run": run, "report": report,
    "export": export, "archive": archive, "track": track, "verify": verify, "gc": gc, "gpu-check": gpu_check,
    "schema": schema, "theory": theory, "coreset": coreset,
}  # fmt: skip
OLD = {"train": "--cell", "proxy": "--proxy", "coresets": "--coresets", "diagnose": "--diagnosis", "study": "--study"}
"""Commands of version 0.1, which ran one kind of job each -> the option that named the job. They work until 0.3."""
GRAMMARS = {"theory": "orderdp.theory.command", "coreset": "orderdp.coresets.command", "try": "orderdp.trial.command"}
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
        if name in ("init", "export"):  # of these, one makes the parameter file, and the other needs none
            continue
        if name not in GRAMMARS:
            sub[name].add_argument("--params", type=Path, default=Path("params.yaml"), help="the parameter file")
            sub[name].add_argument(
                "--scale", type=named, help="a scale of the parameter file, instead of the one it names"
            )
            sub[name].add_argument(
                "--config", type=scale_of, dest="scale", metavar="scale=NAME", help="the same, as snakemake takes it"
            )
        elif name == command:
            importlib.import_module(GRAMMARS[name]).add_arguments(sub[name])
    sub["plan"].add_argument(
        "--calibrate", action="store_true", help="first measure a few steps of every kind of run on this device"
    )
    sub["init"].add_argument("folder", type=Path, metavar="FOLDER", help="made if it is not there")
    sub["dataset"].add_argument("action", choices=["add"], help="add: describe it in the parameter file")
    sub["dataset"].add_argument("name", type=named, metavar="NAME", help="letters, digits and _")
    sub["dataset"].add_argument(
        "path", type=Path, metavar="PATH", help="folder of classes, Parquet or CSV files, .npz archive"
    )
    sub["dataset"].add_argument(
        "--photos",
        action="store_true",
        help="leave the images in their files, of any size, and decode them in training",
    )
    sub["dataset"].add_argument(
        "--part", type=number(2, 10**9), help="about how many training samples to keep, each class in proportion; all"
    )
    sub["dataset"].add_argument("--label", type=named, help="column of a table's labels; 'label' unless given")
    sub["dataset"].add_argument(
        "--size", type=number(4, 1024), help="side, in pixels, to bring images to; needed where they differ in size"
    )
    sub["dataset"].add_argument(
        "--holdout",
        type=between(0, 0.5, with_high=True),
        help="share of each class to hold out for the test part, where there is none; 0.2",
    )
    sub["dataset"].add_argument(
        "--skip-broken", action="store_true", help="leave out files that are no readable images"
    )
    sub["dataset"].add_argument("--replace", action="store_true", help="describe files again that have changed")
    sub["prepare"].add_argument("--dataset", required=True)
    sub["prepare"].add_argument("--from", dest="source", type=Path, metavar="FOLDER", help="where its files are")
    sub["prepare"].add_argument("--out", type=Path, help="folder to make; data/<dataset> unless given")
    sub["plan"].add_argument("--jobs", action="store_true", help="list the names of all jobs, and which are finished")
    sub["run"].add_argument("jobs", nargs="*", metavar="JOB", help="a name that `plan --jobs` and `snakemake -n` show")
    sub["run"].add_argument(
        "--bundle", type=Path, help="a file of planned jobs, instead of params.yaml; all unless named"
    )
    sub["plan"].add_argument("--device", type=device_of, help="device to measure; the best present unless given")
    sub["run"].add_argument("--device", type=device_of, help="cuda, mps or cpu; the best present unless given")
    sub["run"].add_argument(
        "--gpus", type=number(0, 1024), help="free GPUs to wait for; several: a process on each; 0: the CPU"
    )
    sub["run"].add_argument(
        "--at-once", type=number(1, 1024), default=1, help="jobs at a time, on one GPU or CPU; 1 unless given"
    )
    sub["run"].add_argument("--threads", type=number(1, 1024), help="CPU threads of each job")
    sub["run"].add_argument(
        "--workers",
        type=number(0, 1024),
        help="loader processes that decode photographs; one per processor unless given",
    )
    sub["run"].add_argument(
        "--micro-batch",
        type=number(2, 2**20),
        help="samples of a rank that go through the network at a time, while gradients add up; all unless given",
    )
    sub["run"].add_argument(
        "--no-graph", action="store_true", help="compute each step kernel by kernel, not as a CUDA graph"
    )
    sub["run"].add_argument("--compile", action="store_true", help="let torch compile the network")
    sub["export"].add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="name, or folder, of a finished training run; what several on the same data noted is added up",
    )
    sub["export"].add_argument(
        "--as",
        type=Path,
        dest="file",
        required=True,
        metavar="FILE",
        help=".npy: a coreset; .parquet or .csv: a table of histories; .html: a page of the hardest and the easiest; "
        ".png: a picture of those kept most and least often",
    )
    sub["export"].add_argument(
        "--prune-ratio", type=between(0, 1), help="share that a coreset leaves out; that of the run unless given"
    )
    sub["report"].add_argument("--only", help="one experiment; all of them and the page unless given")
    sub["report"].add_argument(
        "--from-archive", action="store_true", help="from the runs in reports/<scale>/runs.tar.xz, without training"
    )
    sub["archive"].add_argument(
        "--restore", action="store_true", help="take the archive's jobs into runs/, where they count as finished"
    )
    sub["report"].add_argument(
        "--partial", action="store_true", help="after jobs have failed: what they left out, from what there is"
    )
    sub["report"].add_argument(
        "--page", action="store_true", help="the page alone, from tables and figures made before"
    )
    sub["track"].add_argument("--watch", action="store_true", help="follow the files until the parent ends")
    sub["track"].add_argument(
        "--parent", type=number(1, 2**22), help="process to watch with; this one's parent unless given"
    )
    sub["track"].add_argument("--best-effort", action="store_true", help="succeed even if the store cannot be reached")
    sub["gc"].add_argument("--delete", action="store_true", help="remove them")
    sub["gc"].add_argument(
        "--damaged", action="store_true", help="finished runs whose files are not as they were written, instead"
    )
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs a command; a mistake of the user's is one message and exit code 2."""
    faulthandler.enable(2)  # a crash of compiled code leaves a traceback on stderr, hence in the job's log
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in OLD:
        old, flag = words[0], OLD[words[0]]
        _tell(f"orderdp {old} {flag} NAME is now orderdp run NAME. The old form works until version 0.3.")
        words = ["run", *(word.removeprefix(f"{flag}=") for word in words[1:] if word != flag)]
    if words and words[0] == "select":
        flags = {"--evidence": "--proxy-outputs", "--budget": "--n-keep"}
        _tell("orderdp select is now orderdp coreset. The old form works until version 0.3.")
        words = ["coreset", *(flags.get(word, word) for word in words[1:])]
    args = parser(words[0] if words else None).parse_args(words)
    try:
        return COMMANDS[args.command](args)
    except KeyboardInterrupt:
        _tell(f"orderdp {args.command}: stopped by a signal. The same command goes on")
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 0
    except (ValueError, KeyError, OSError, RuntimeError, MemoryError) as error:
        text = remedy(error)
        if text is None and not is_deliberate(error):
            raise
        said = text or (error.args[0] if isinstance(error, KeyError) else error)
        print(f"orderdp {args.command}: {said}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
