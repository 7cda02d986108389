import functools
import gc
import logging
import math
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError

from orderdp import grid as grids
from orderdp.grid.report_fingerprint import artifact_fingerprint, page_fingerprint
from orderdp.launch.explain_failure import remedy
from orderdp.planning import bundles
from orderdp.planning.plan import Earlier
from orderdp.spec import SpecError

# The graph of jobs is a million objects that live until the end. At Python's usual thresholds, looking through them for
# what is no longer used takes a third of `snakemake -n`.
gc.freeze()
gc.set_threshold(200_000, 10, 10)

# On a full disk, Snakemake's log would print a traceback for each of its lines.
logging.raiseExceptions = False

if unknown := set(config) - {"scale"}:
    # Parameters that only a command line states would be lost to DVC and to the next reader.
    raise WorkflowError(
        f"--config takes only 'scale'. Got: {', '.join(sorted(unknown))}. Edit params.yaml"
    )
try:
    GRID = grids.load("params.yaml", config.get("scale"))
except SpecError as error:
    raise WorkflowError(str(error)) from None

SCALE = GRID.scale
REPORT = f"reports/{SCALE}"
RECORD = {
    name: f"{REPORT}/provenance/{name}-{artifact_fingerprint(GRID, name)}.json"
    for name in GRID.experiments
}
RECORDS = list(RECORD.values())
PAGE_RECORD = f"{REPORT}/provenance/page-{page_fingerprint(GRID)}.json"
TRACKING = os.environ.get("ORDERDP_NO_TRACKING", "") != "1"

# Jobs call `python`: the one that runs Snakemake, also where its environment was not activated.
os.environ.update(
    PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.getenv('PATH', '')}"
)

# One thread per run, also in libraries that never ask torch.
shell.prefix(
    "set -euo pipefail; export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1; "
)


wildcard_constraints:
    # Not their list: Snakemake searches this text for every file of every job.
    bundle="[a-z]+-[0-9a-f]{8}(-[0-9]+)?",
    dataset="|".join(GRID.datasets),


RUNS = Path("runs")
BUNDLE_PLANS = ".work/bundles"
BUNDLE_DONE = ".work/bundles/{bundle}.done"
# Numbers of a profile: `set-resources: [bundle:minutes=60, bundle:at_once=4]`.
SET = {
    name: value.raw
    for name, value in workflow.resource_settings.overwrite_resources.get(
        "bundle", {}
    ).items()
}
MINUTES = float(SET.get("minutes", 2))
AT_ONCE = int(SET.get("at_once", 1))
MOST_MINUTES = int(SET["most_minutes"]) if "most_minutes" in SET else None
# Of `python -m orderdp run`.
OPTIONS = " ".join(
    f"--{name.replace('_', '-')} {SET[name]}"
    for name in ("device", "workers", "micro_batch")
    if name in SET
) + (" --no-graph" if str(SET.get("graph", 1)) == "0" else "")


# Read at the first use: before, what the command line asks for is not known.
@functools.cache
def planned():
    """Name -> bundle, of the missing jobs: those of the tables and figures that the command line names, if it names
    nothing else."""
    names = {
        str(target).removeprefix("artifact_")
        for target in workflow.dag_settings.targets
    }
    wanted = names if names and names <= set(GRID.experiments) else None
    try:
        jobs = bundles.missing(GRID, RUNS, wanted)
    except (ValueError, RecursionError) as error:
        raise WorkflowError(remedy(error) or str(error)) from None
    found = {}
    for bundle in bundles.bundled(jobs, MINUTES):
        # A killed Snakemake may have left its mark under this name.
        while Path(BUNDLE_DONE.format(bundle=bundle.name)).exists():
            bundle = bundle.renamed()
        found[bundle.name] = bundle
    warn_of_limit(found.values())
    return found


def warn_of_limit(planned):
    """Says how often bundles have to be submitted again, each time to go on from their last saved epochs, where the
    profile limits a submission's minutes."""
    if MOST_MINUTES is None:
        return
    needed = max(
        (
            math.ceil(bundle.seconds / 60 / bundle.at_once(AT_ONCE) / MOST_MINUTES)
            for bundle in planned
        ),
        default=1,
    )
    if needed > 1 + workflow.execution_settings.retries:
        logger.warning(
            f"By the estimate, the longest bundle takes {needed} submissions of {MOST_MINUTES} minutes: call with "
            f"--retries {needed}, so that it is submitted as often. A bundle that is not finished then goes on at the "
            "next call."
        )


@functools.cache
def bundle_of_job():
    """Missing job -> the bundle that runs it."""
    return {job.name: name for name, bundle in planned().items() for job in bundle.jobs}


@functools.cache
def bundle_of(name):
    """A bundle of this Snakemake, or of the one that started it: on a cluster's node, where other jobs are missing by
    now."""
    path = Path(f"{BUNDLE_PLANS}/{name}.json")
    if name not in planned() and not path.exists():
        raise WorkflowError(f"There is no bundle {name!r}. `snakemake -n` lists them")
    return planned().get(name) or bundles.saved(path)


def missing(paths):
    """Those of these inputs that this run has to make.

    A file that is here was made from what its name says, so its date (of a clone, of `dvc pull`, of a clock that is
    ahead) means nothing. It is not declared at all: Snakemake removes an output that is older than any of its inputs.
    """
    return [path for path in paths if not Path(path).exists()]


def results(names):
    """What shows that jobs are finished: the bundles of the missing ones, in the order of the plan. The others are
    finished already."""
    by = bundle_of_job()
    made = {by[name] for name in names if name in by}
    return [BUNDLE_DONE.format(bundle=name) for name in planned() if name in made]


def made_again(experiment):
    """Whether the record of an experiment will be made again, because some of its jobs are missing, and with it the
    page."""
    return any(name in bundle_of_job() for name in GRID.experiments[experiment].jobs)


def every_bundle():
    """What shows that nothing is missing any more."""
    return [BUNDLE_DONE.format(bundle=name) for name in planned()]


def before_bundle(name):
    """Data sets that its jobs read, and bundles of jobs that they need."""
    jobs = bundle_of(name).jobs
    datasets = dict.fromkeys(job.dataset for job in jobs if job.dataset is not None)
    needed = dict.fromkeys(need for job in jobs for need in job.needs)
    return [
        *missing(f"data/{name}/manifest.json" for name in datasets),
        *results(needed),
    ]


def described(name):
    """The jobs of a bundle, and why they have to run."""
    reasons = {}
    for job in bundle_of(name).jobs:
        reasons.setdefault(EARLIER.reason(job), []).append(job.name)
    return "\n".join(
        f"Bundle {name}, {why}:\n  " + "\n  ".join(names)
        for why, names in reasons.items()
    )


EARLIER = Earlier(RUNS)


def claim_folder():
    """Refuses to work beside another Snakemake. The kernel drops this lock with its process; Snakemake's own outlives
    a kill."""
    global FOLDER_LOCK
    FOLDER_LOCK = FileLock(f".work/snakemake-{SCALE}.lock", timeout=0)
    Path(".work").mkdir(exist_ok=True)
    try:
        FOLDER_LOCK.acquire()
    except Timeout:
        raise WorkflowError(
            f"Another snakemake is at work on scale '{SCALE}' in this folder. Wait for it, or stop it"
        ) from None


def beside(*command, wait=False):
    """Runs `python -m COMMAND` beside the jobs."""
    start = subprocess.run if wait else subprocess.Popen
    start(["python", "-m", *command], stdin=subprocess.DEVNULL)


def run_tracker(*arguments, wait):
    if TRACKING:
        beside("orderdp", "track", "--scale", SCALE, *arguments, wait=wait)


onstart:
    try:
        claim_folder()
        drop_default_rate_limit()
        for bundle in planned().values():
            bundle.save(Path(BUNDLE_PLANS))
    except OSError as error:
        raise WorkflowError(remedy(error) or str(error)) from None
    run_tracker("--watch", "--parent", str(os.getpid()), wait=False)


def forget_bundles():
    """Removes their plans and marks: what is finished shows from the summaries of the jobs."""
    for path in Path(BUNDLE_PLANS).glob("*"):
        path.unlink()


onsuccess:
    forget_bundles()
    run_tracker("--best-effort", wait=True)


onerror:
    forget_bundles()
    # Not after an interruption, which leaves no failed job and should be quick. Snakemake gives one log file or
    # several.
    logs = [log] if isinstance(log, str) else log
    if any("Error in rule" in Path(path).read_text() for path in logs):
        beside("orderdp", "report", "--scale", SCALE, "--partial", wait=True)
    run_tracker("--best-effort", wait=True)
