import fcntl
import gc
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from snakemake.exceptions import WorkflowError

from orderdp import grid as grids
from orderdp import resources as needs
from orderdp.spec import SpecError
from orderdp.stamps import artifact_stamp, page_stamp

# The graph of jobs is a million objects that live until the end. At Python's usual thresholds, looking through them for what is no longer used takes
# a third of `snakemake -n`.
gc.freeze()
gc.set_threshold(200_000, 10, 10)

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
STUDIES = {study.name: study for study in GRID.studies}
RUN_FILES = [
    f"runs/{name}/summary.json"
    for name in (*GRID.cells, *GRID.diagnoses, *STUDIES, *GRID.coresets)
]
RECORD = {
    name: f"{REPORT}/provenance/{name}-{artifact_stamp(GRID, name)}.json"
    for name in GRID.experiments
}
RECORDS = list(RECORD.values())
PAGE_RECORD = f"{REPORT}/provenance/page-{page_stamp(GRID)}.json"
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
    # Not their list: Snakemake searches this text for every file of every job. A name that no cell has is refused by the grid.
    cell="[^/]+-s[0-9]+-[0-9a-f]{12}",
    proxy="proxy-[^/]+-[0-9a-f]{12}",
    diagnosis="diagnosis-[^/]+-s[0-9]+-[0-9a-f]{12}-[0-9a-f]{12}",
    coresets="coresets-[^/]+-[0-9a-f]{12}",
    study="|".join(map(re.escape, STUDIES)) or "none",
    dataset="|".join(GRID.datasets),


def settled(path):
    """An input whose age does not matter if it is here already.

    A file that is here was made from what its name says, so its time (of a clone, of `dvc pull`) means nothing: ancient. One that is
    missing will be made by this run, and then whatever was made from its predecessor must be made again: plain.
    """
    return ancient(path) if Path(path).exists() else path


def finished(name):
    return Path(f"runs/{name}/summary.json").exists()


def settled_runs(experiment):
    """Whether all runs of an experiment are here. If not, its record will be made again, and with it the page that shows it."""
    return all(map(finished, GRID.experiments[experiment].folders))


def made_before(name, path):
    """What a run reads. A finished run asks for nothing that is not here: making it, for another run, would make this one again."""
    return [] if finished(name) and not Path(path).exists() else settled(path)


def data_for(name, dataset):
    return made_before(name, f"data/{dataset}/manifest.json")


def weights_of(cell):
    before = GRID.cells[cell].starts_from
    return [] if before is None else made_before(cell, f"runs/{before}/summary.json")


def coreset_of(cell):
    where = GRID.cells[cell].coreset
    return [] if where is None else made_before(cell, f"runs/{where[0]}/summary.json")


def group_of_run(wildcards):
    """Short runs share a job of a cluster, if the profile says how many (`group-components`)."""
    if workflow.group_settings.group_components:
        return needs.group(GRID.cells[wildcards.cell])


def claim_folder():
    """Refuses to work beside another Snakemake. The kernel drops this lock with its process; Snakemake's own outlives a kill."""
    Path(".work").mkdir(exist_ok=True)
    descriptor = os.open(f".work/snakemake-{SCALE}.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(
            f"Another snakemake is at work on scale '{SCALE}' in this folder. Wait for it, or stop it"
        ) from None


def beside(*command, wait=False):
    """Runs `python -m COMMAND` beside the jobs, as long as this process; it finds what a job finds, since a job may become its child."""
    start = subprocess.run if wait else subprocess.Popen
    start(["python", "-m", *command], stdin=subprocess.DEVNULL)


def run_tracker(*arguments, wait):
    if TRACKING:
        beside("orderdp", "track", "--scale", SCALE, *arguments, wait=wait)


onstart:
    claim_folder()
    drop_default_rate_limit()
    beside("orderdp.warm", "--serve", "--parent", str(os.getpid()))
    run_tracker("--watch", "--parent", str(os.getpid()), wait=False)


onsuccess:
    run_tracker("--best-effort", wait=True)


onerror:
    # Not after an interruption, which leaves no failed job and should be quick. Snakemake gives one log file or several.
    logs = [log] if isinstance(log, str) else log
    if any("Error in rule" in Path(path).read_text() for path in logs):
        beside("orderdp", "report", "--scale", SCALE, "--partial", wait=True)
    run_tracker("--best-effort", wait=True)
