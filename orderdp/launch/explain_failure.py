"""`python -m orderdp.launch.explain_failure STATUS JOB LOG`: says on stderr how a job of the workflow ended, and ends
with the same status.

Snakemake itself says only that a command returned a status that is not zero. A process that a signal ended could say
nothing more itself.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

CRASHES = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


OUT_OF_MEMORY = ("could not create a primitive", "can't allocate memory")
"""What oneDNN and torch say on a CPU when memory has run out."""
WRITTEN_IN_PART = " requested and "
"""What `numpy.save` says on a full disk, in an error without a number."""
CUT_SHORT = "unexpected pos"
"""What `torch.save` says then, in place of the disk's error."""
REMEDIES = {
    errno.ENOSPC: "Make room on that disk",
    errno.EDQUOT: "Make room in your share of that disk",
    errno.EISDIR: "Remove the folder that has this name",
    errno.ENOTDIR: "Remove the file that has the name of a folder",
    errno.EROFS: "Let this user write there",
    errno.EACCES: "Let this user write there",
    errno.ENOENT: "Make the folder that it is to be in, or name another one",
    errno.ENAMETOOLONG: "Choose a shorter name",
}


def remedy(error: BaseException) -> str | None:
    """What to do about a file that cannot be written, such as on a full disk, or about too little memory; None for
    errors of other kinds."""
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
    ):
        return "Memory ran out. Fewer jobs at once need less. The same command goes on."
    if isinstance(error, RecursionError):
        return f"A file holds something that is nested too deeply ({error}), so it is none of ours. Remove it."
    if type(error) is RuntimeError and CUT_SHORT in str(error) and isinstance(error.__context__, OSError):
        return remedy(error.__context__)
    if not isinstance(error, OSError):
        return None
    full = error.errno is None and WRITTEN_IN_PART in str(error)
    number = errno.ENOSPC if full else error.errno
    if number not in REMEDIES:
        return None
    where = error.filename2 or error.filename or "A file"
    return f"{where} cannot be written: {os.strerror(number)}. {REMEDIES[number]}, and call the same command again."


def explanation(status: int, job: str, log: str) -> str:
    """One sentence or two for the person at the terminal.

    Args:
        status: as a shell gives it: 128 + n for a process that signal n ended.
        job: the folder of the job in `runs/`, or the experiment whose report it makes.
        log: the file that holds its output.
    """
    see = f"Its output is in {log}."
    try:
        ended_by = signal.Signals(status - 128)
    except ValueError:
        return f"{job} failed with exit status {status}. {see}"
    name = f"{job} was ended by {ended_by.name} ({(signal.strsignal(ended_by) or '').lower()})"
    if ended_by in CRASHES:
        return (
            f"{name}: compiled code of a library crashed. {see} The last lines there say what Python was doing. "
            "The same command tries again; if it crashes again, report it with that log and the output of "
            "`python -m torch.utils.collect_env`."
        )
    if ended_by == signal.SIGKILL:
        return (
            f"{name}, mostly because memory ran out. {see} Fewer jobs at once (--cores) need less memory. "
            "The same command goes on."
        )
    return f"{name}. {see} The same command goes on."


def main() -> int:
    """Prints the explanation; returns the status of the job."""
    status, job, log = sys.argv[1:]
    print(f"orderdp: {explanation(int(status), job, log)}", file=sys.stderr)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
