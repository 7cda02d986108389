"""`python -m orderdp.warm -- COMMAND ...`: what `python -m orderdp COMMAND ...` does, without its imports if a server
is near.

Why: importing torch costs more processor time than training a small cell, and pandas and matplotlib more than making a
table. A server that has imported what a command needs (when its first job comes, and then whatever else a job had to
import) forks a child per job, so a job costs its work. Snakemake's onstart hook starts it (`--serve --parent PID`) for
the jobs of that Snakemake, on that machine.

The server takes a job only if a fresh process would begin in the same state (see `state`); it says on stderr, once,
what differs. A job that it does not take, and every job where no server answers (another node of a cluster; a GPU,
since CUDA does not survive a fork; not Linux; a kernel before 5.3), runs in the client's own process as if this module
did not exist. What is computed is the same either way. Only `peak_memory_mb` begins lower in a child, by 200 to 300 MB:
it counts the pages of the libraries' files that the child itself has touched, not those that an import touches. Compare
it among runs that began alike.

Lifetimes: the client passes SIGINT and SIGTERM on to its child, waits for it and returns its status. A client that dies
takes its child along. So does the server, whose clients then start again on their own; a training resumes. When the
parent is gone the server takes no new jobs and ends with its last one, since jobs outlive a killed Snakemake in any
case. Cost: the memory of one more process with torch and what else jobs import.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys

WORK = ".work"
# Snakemake sets these for a job of one thread. Libraries read them when they are loaded, so the server has them first.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)  # fmt: skip
# Set by shells and by Snakemake for each job; nothing reads them while it is imported.
PER_JOB = {"_", "PWD", "OLDPWD", "SHLVL", "COLUMNS", "LINES", "TMPDIR", "TMP", "TEMP", "TEMPDIR"}
PASSED_ON = {signal.SIGINT, signal.SIGTERM}
PATIENCE_S = 20.0
"""Longest wait for a peer that is alive but silent; more than the imports take, for which the first clients wait."""


def state() -> dict[str, str]:
    """What server and job must have in common, by name: interpreter, libraries, our sources, environment, limits."""
    import resource

    package = os.path.dirname(os.path.abspath(__file__))
    sources = [
        os.path.join(folder, name)
        for folder, _, names in os.walk(package)
        if not folder.endswith("__pycache__")
        for name in names
    ]
    libraries = [
        path
        for path in sys.path
        if os.path.basename(path) in ("site-packages", "dist-packages") and os.path.isdir(path)
    ]
    os.umask(umask := os.umask(0o077))
    limits = [
        resource.getrlimit(getattr(resource, name)) for name in sorted(dir(resource)) if name.startswith("RLIMIT_")
    ]
    found = {
        "the interpreter": [
            sys.version,
            sys.executable,
            sys.prefix,
            sys.path,
            str(sys.flags),
            sys.warnoptions,
            sys._xoptions,
        ],
        "the libraries": [(path, os.stat(path).st_mtime_ns) for path in libraries],
        "the sources": sorted((path, (at := os.stat(path)).st_mtime_ns, at.st_size, at.st_ino) for path in sources),
        "the folder": os.getcwd(),
        "the user": [os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()],
        "the limits": [umask, os.nice(0), limits],
        "the processors": sorted(os.sched_getaffinity(0)),
        "the container": [
            _read("/proc/self/cgroup"),
            *(os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid", "net")),
        ],
    }
    environment = {f"the variable {name}": value for name, value in os.environ.items() if name not in PER_JOB}
    return {name: json.dumps(value) for name, value in found.items()} | environment


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def become(command: list[str]) -> None:
    """`python -m orderdp COMMAND` in this process; ends as it ends, mostly by SystemExit."""
    import runpy

    sys.argv[1:] = command
    runpy.run_module("orderdp", run_name="__main__", alter_sys=True)


def delegate(command: list[str]) -> int | None:
    """Has a server run the command on this process's stdin, stdout and stderr.

    Returns:
        The exit status, 128 + n for a child that signal n ended; None if the command has to be run here.
    """
    if sys.platform != "linux" or not os.path.isdir(WORK):
        return None
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # one that comes now is for whoever gets the job
    try:
        connection = _hand_over(command)
        if connection is None:
            return None

        def pass_on(number: int, frame: object) -> None:
            with contextlib.suppress(OSError):  # the server is gone, which the wait below will see
                connection.send(bytes([number]))

        before = {
            number: signal.signal(number, pass_on) for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN
        }
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        with contextlib.suppress(OSError):
            if status := connection.recv(1):
                return status[0]
        for number, handler in before.items():
            signal.signal(number, handler)
        print("orderdp.warm: the server is gone; starting again without it", file=sys.stderr, flush=True)
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def _hand_over(command: list[str]) -> socket.socket | None:
    """The connection to the first server that takes the command."""
    body = b""
    for name in os.listdir(WORK):
        if not (name.startswith("warm-") and name.endswith(".sock")):
            continue
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE_S)
        try:
            connection.connect(f"{WORK}/{name}")
            if connection.recv(1) == b"r":
                body = (
                    body or json.dumps({"command": command, "state": state(), "environment": dict(os.environ)}).encode()
                )
                socket.send_fds(connection, [len(body).to_bytes(8, "big")], [0, 1, 2])
                connection.sendall(body)
                if connection.recv(1) == b"+":
                    connection.settimeout(None)
                    return connection
        except OSError:
            pass
        connection.close()
    return None


def main() -> int:
    """Client (`-- COMMAND ...`) or server (`--serve --parent PID`)."""
    if sys.argv[1:2] == ["--"]:
        command = sys.argv[2:]
        if (status := delegate(command)) is not None:
            return status
        become(command)
    else:
        import argparse

        parser = argparse.ArgumentParser(
            prog="orderdp.warm", description="Run commands without paying for their imports."
        )
        parser.add_argument(
            "--serve", action="store_true", required=True, help="for the commands that others give after `--`"
        )
        parser.add_argument(
            "--parent", type=int, default=os.getppid(), help="process to live with; this one's parent unless given"
        )
        from orderdp.warm_server import serve

        serve(parser.parse_args().parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
