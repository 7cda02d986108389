#!/usr/bin/env python3
"""A cluster of one machine: answers to what Snakemake's plugin asks of sbatch, sacct, squeue and srun. Notes calls.

The test links this file under each command's name. FAKE_SLURM is the folder of its notes.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

NOTES = Path(os.environ["FAKE_SLURM"])


def sbatch(given: list[str]) -> None:
    """Runs the wrapped command at once, and keeps `job id|state` in a file."""
    grammar = argparse.ArgumentParser()
    for option in ("--output", "--wrap"):
        grammar.add_argument(option)
    options, _ = grammar.parse_known_args(given)
    job = str(1000 + len(list(NOTES.glob("*.state"))))
    state, log = NOTES / f"{job}.state", Path(options.output.replace("%j", job))
    log.parent.mkdir(parents=True, exist_ok=True)
    state.write_text(f"{job}|RUNNING\n")
    script = f"if ({options.wrap}); then s=COMPLETED; else s=FAILED; fi; echo '{job}|'$s > {shlex.quote(str(state))}"
    environment = {**os.environ, "SLURM_JOB_ID": job}
    with log.open("w") as out:
        subprocess.Popen(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,
        )
    print(job)


def states(given: list[str]) -> None:
    """The states of all jobs."""
    print("".join(path.read_text() for path in sorted(NOTES.glob("*.state"))), end="")


def srun(given: list[str]) -> None:
    """Becomes the command behind the options."""
    while given[0].startswith("-"):
        given = given[1:]
    os.execvp(given[0], given)


if __name__ == "__main__":
    name = Path(sys.argv[0]).name
    with (NOTES / "calls").open("a") as calls:
        calls.write(json.dumps([name, *sys.argv[1:]]) + "\n")
    {"sbatch": sbatch, "sacct": states, "squeue": states, "srun": srun}.get(name, lambda given: None)(sys.argv[1:])
