"""Processes that are killed at random moments: what they did comes out the same when they are started again."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from orderdp.jobs import Job
from tests.faults.children import Child, command, job
from tests.faults.count import Count, Fault
from tests.faults.undisturbed import Undisturbed
from tests.workflow.conftest import Project

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def faults(undisturbed: Undisturbed, seed: int = 0) -> Iterator[Fault]:
    """Jobs of every kind, reports, preparations, the tracker, DVC, one of two ranks, and Snakemake."""
    rng = random.Random(seed)
    jobs = sorted(undisturbed.grid.jobs.values(), key=lambda job: job.name)
    for number in range(60):
        chosen = jobs[number % len(jobs)]
        kills = [(rng.choice(SIGNALS), rng.uniform(0, 1.2)) for _ in range(rng.choice((1, 1, 2, 3)))]
        yield Fault(f"kill {chosen.name}", lambda c, chosen=chosen, kills=kills: of_job(c, undisturbed, chosen, kills))
    for number in range(30):
        words = (("report",), ("prepare", "--dataset", "digits"), ("track",))[number % 3]
        kill = (rng.choice(SIGNALS), rng.uniform(0, 2.5))
        yield Fault(f"kill {words[0]}", lambda c, words=words, kill=kill: of_command(c, undisturbed, words, *kill))
    for number in range(3):
        kill = (SIGNALS[number % 3], rng.uniform(0.2, 4))
        yield Fault("kill DVC", lambda c, kill=kill: of_dvc(c, undisturbed, *kill))
    for number in range(3):
        kill = (SIGNALS[number % 3], rng.uniform(2, 8))
        yield Fault("kill a rank", lambda c, kill=kill: of_rank(c, undisturbed, *kill))
    for number in range(6):
        kill = (SIGNALS[number % 3], rng.uniform(1, 14), number >= 2)
        yield Fault("kill Snakemake", lambda c, kill=kill: of_snakemake(c, undisturbed, *kill))


def of_job(count: Count, undisturbed: Undisturbed, killed: Job, kills: list[tuple[signal.Signals, float]]) -> None:
    """A job is killed, as often as there are kills, and started again."""
    shutil.rmtree(undisturbed.folder / "runs" / killed.name)
    where = f"{killed.name} killed by {', '.join(f'{number.name} after {after:.2f} s' for number, after in kills)}"
    for number, after_s in kills:
        child = Child(undisturbed.folder, job, killed.record())
        child.kill(number, after_s)
        count.read(where, child.end()[1])
    undisturbed.again(count, where, killed.name)


def of_command(
    count: Count, undisturbed: Undisturbed, words: tuple[str, ...], number: signal.Signals, after_s: float
) -> None:
    """A command is killed while it makes what was removed."""
    folder, where = undisturbed.folder, f"{' '.join(words)} killed by {number.name} after {after_s:.2f} s"
    if words == ("report",):
        shutil.rmtree(folder / "reports")
    elif words == ("track",):
        undisturbed.remove_store()
    else:
        (folder / "data/digits/manifest.json").unlink()
    child = Child(folder, command, *words)
    child.kill(number, after_s)
    count.read(where, child.end()[1])
    status, output = Child(folder, command, *words).end()
    count.read(f"{where}, again", output)
    count.expect(status == 0, where, f"again it ended with {status}: {output[-500:]}")
    undisturbed.compare(count, where)
    if words == ("track",):
        undisturbed.tracked(count, where)
    if words == ("report",):
        status, output = Child(folder, command, "verify").end()
        count.read(f"{where}, verify", output)
        count.expect(status == 0, where, f"verify: {output[-500:]}")


def of_dvc(count: Count, undisturbed: Undisturbed, number: signal.Signals, after_s: float) -> None:
    """`dvc push` is killed. Pushed again, a clone pulls everything."""
    project, folder = undisturbed.project, undisturbed.folder
    where = f"dvc push killed by {number.name} after {after_s:.2f} s"
    remote, clone = folder.parent / "remote", Project(folder.parent / "clone")
    shutil.rmtree(remote, ignore_errors=True)
    if not (folder / ".git").exists():
        git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
        project.run("git", "init", "-q", "-b", "main")
        project.run("dvc", "remote", "add", "-d", "store", str(remote))
        project.run("dvc", "commit", "-f")
        project.run(*git, "add", "-A")
        project.run(*git, "commit", "-qm", "all")
    process = start(project, "dvc", "push")
    stop(process, number, after_s)
    project.run("dvc", "push")
    project.run("git", "clone", "-q", str(folder), str(clone.folder))
    try:
        done = clone.run("dvc", "pull", check=False)
        count.read(where, done.stdout + done.stderr)
        undisturbed.compare(count, where, clone.folder)
    finally:
        shutil.rmtree(clone.folder)


def of_rank(count: Count, undisturbed: Undisturbed, number: signal.Signals, after_s: float) -> None:
    """One of two ranks is killed. The same command again ends as two ranks that nothing disturbed."""
    folder = undisturbed.folder
    (name,) = (run.name for run in undisturbed.grid.runs.values() if "-orderdp-" in run.name and "-p70-" in run.name)
    torchrun = ("python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    words = (*torchrun, "-m", "orderdp", "run", name, "--threads", "1", "--device", "cpu")
    where, kept = f"a rank killed by {number.name} after {after_s:.2f} s", folder / ".kept"
    (folder / "runs" / name).rename(kept)
    try:
        undisturbed.project.run(*words)
        right = {path: path.read_bytes() for path in (folder / "runs" / name).glob("*.pt")}
        shutil.rmtree(folder / "runs" / name)
        process = start(undisturbed.project, *words)
        time.sleep(after_s)
        listed = subprocess.run(["pgrep", "-f", f"run {name}"], capture_output=True, text=True).stdout
        here = [int(pid) for pid in listed.split() if works_in(pid, folder)]
        ranks = [pid for pid in here if pid != process.pid]
        if ranks and process.poll() is None:
            os.kill(ranks[-1], number)
        process.wait(timeout=120)
        undisturbed.project.run(*words)
        for path, content in right.items():
            count.expect(path.read_bytes() == content, where, f"{path.name} differs")
        count.expect(not (folder / ".work" / name).exists(), where, "its working folder is left over")
    finally:
        shutil.rmtree(folder / "runs" / name, ignore_errors=True)
        kept.rename(folder / "runs" / name)


def works_in(pid: str, folder: Path) -> bool:
    """Whether a process is one of this project, not of another's faults."""
    with contextlib.suppress(OSError):  # it has ended
        return Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()
    return False


def of_snakemake(
    count: Count, undisturbed: Undisturbed, number: signal.Signals, after_s: float, everybody: bool
) -> None:
    """Snakemake is killed while it makes everything, alone or with all its processes."""
    folder = undisturbed.folder
    where = f"snakemake {'and its jobs' if everybody else ''} killed by {number.name} after {after_s:.2f} s"
    for name in ("runs", "reports", "data", ".work"):
        shutil.rmtree(folder / name, ignore_errors=True)
    words = ("snakemake", "--cores", "2")
    process = start(undisturbed.project, *words)
    stop(process, number, after_s, everybody)
    finishes(count, undisturbed, where)


def finishes(count: Count, undisturbed: Undisturbed, where: str, project: Project | None = None) -> None:
    """`snakemake --cores 2` is called once, and everything is there."""
    project = project or undisturbed.project
    done = project.run("snakemake", "--cores", "2", check=False)
    output = done.stdout + done.stderr
    count.read(where, output)
    count.expect(done.returncode == 0, where, f"the same command again ended with {done.returncode}: {output[-1500:]}")
    undisturbed.compare(count, where, project.folder)
    done = project.run("snakemake", "-n", check=False)
    planned = done.stdout + done.stderr
    count.expect("Nothing to be done" in planned, where, f"not everything was made: {planned[-1000:]}")
    left = [name for name in undisturbed.grid.jobs if (project.folder / ".work" / name).exists()]
    count.expect(not left, where, f"{left} are left over in .work")


def start(project: Project, *words: str) -> subprocess.Popen[bytes]:
    """A command in a session of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(project.folder), "ORDERDP_NO_TRACKING": "1"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(words, cwd=project.folder, env=env, start_new_session=True, **quiet)  # type: ignore[call-overload, no-any-return]


def stop(process: subprocess.Popen[bytes], number: signal.Signals, after_s: float, everybody: bool = True) -> None:
    """Signals a process, or all of its session, after a while."""
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number) if everybody else process.send_signal(number)
        process.wait(timeout=120)
