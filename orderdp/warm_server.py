"""The server of `orderdp.warm`: imports once, then forks a child for each job. One thread, one loop, no polling.

A child is left with what a fresh process would have: its job's streams and environment, seeds of its own, no open file
of the server's. It ends as one would, up to the taking apart of modules, which takes torch a quarter of a second and
has no effect outside.

What a job needs beyond the modules listed here (a network of timm; an optimizer of torch, which brings torch's
compiler) only the job knows. So a child tells at its end what it had to import, and the server imports that, in the
same order, before it forks the next.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import mmap
import os
import selectors
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from pathlib import Path
from typing import NamedTuple

from orderdp.warm import ONE_THREAD, PATIENCE_S, WORK, become, state

PRELOADED = ("orderdp.grid", "orderdp.progress", "numpy.random")
PRELOADED_FOR = {
    "train": ("orderdp.training.run",),
    "diagnose": ("orderdp.diagnose", "orderdp.training.diagnosis"),
    "report": (
        "orderdp.reporting.artifacts",
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_pdf",
        "seaborn",
        "PIL.PngImagePlugin",
    ),
}
"""Command -> what its first job has imported beside PRELOADED: a server that makes no report pays for none."""
HARMLESS = {"jemalloc_bg_thd"}
"""Names of threads that a fork may lose: jemalloc, which comes with pandas' Arrow, stops and restarts its own around a
fork."""
BOARD_BYTES = 1 << 20
"""Room for what a child tells, of which it takes only what it fills: 1,500 names have 50,000 bytes."""
GPU_DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def serve(parent: int) -> None:
    """Serves until the parent process is gone and the last job has ended, or declines to. In a child: does its job."""
    ending = _Ending()
    atexit.register(ending)  # before any import that registers something, hence called last
    if (command := _commands(parent)) is not None:
        with ending.noted():
            become(command)


def _commands(parent: int) -> list[str] | None:
    """Returns in each child its command; None in the server, at its end."""
    if reason := _unable():
        _say(f"jobs start cold: {reason}")
        return None
    try:
        watched = os.pidfd_open(parent)
    except OSError:
        return None  # gone already, or a kernel before 5.3
    if os.getpgrp() != os.getpid():
        os.setsid()  # an interrupt from the terminal is for the jobs
    os.environ.update(ONE_THREAD)
    return _Server(watched).run()


def _preload(modules: Sequence[str], command: Sequence[str]) -> str | None:
    """Imports what jobs need, and reads the grid of the command's scale; returns what fails."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            return f"{error}"  # its job will say so, too
    with contextlib.suppress(Exception):  # a job will say what is wrong
        scale = command[command.index("--scale") + 1] if "--scale" in command else None
        sys.modules["orderdp.grid"].load(
            Path("params.yaml"), scale
        )  # which remembers it, for jobs that find the same parameters
    return None


def _learn(modules: Sequence[str]) -> str | None:
    """Imports what a child imported, but for modules that only the child's work made; returns what fails."""
    environment = dict(os.environ)
    for module in modules:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            # One that is not found has done nothing. One that breaks off may have, and a job that tries it again would
            # fail for it.
            if not (isinstance(error, ModuleNotFoundError) and error.name == module):
                return f"{module}, which a job has imported, cannot be imported again: {error}"
    # A variable that an import sets is not for the next jobs. Torch's compiler sets one, the folder of its cache, again
    # where it is missing.
    os.environ.clear()
    os.environ.update(environment)
    return None


def _tell(board: mmap.mmap, path: Sequence[str], known: Set[str]) -> None:
    """At a child's end: the modules that it had to import. Nothing if the server would find others by these names, or
    might get threads."""
    with contextlib.suppress(OSError):  # a thread that ends while threads are listed
        if sys.path == path and not _has_threads():
            told = [name for name in sys.modules if name not in known and not name.endswith("_main__")]
            board.write(f"{' '.join(told)}\n".encode()[:BOARD_BYTES])


def _has_threads() -> bool:
    """Whether a fork would lose any."""
    names = [Path(f"/proc/self/task/{number}/comm").read_text().strip() for number in os.listdir("/proc/self/task")]
    return len(names) - sum(name in HARMLESS for name in names) > 1


def _unable() -> str | None:
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return "only Linux forks safely after these imports"
    if None in (sys.stdin, sys.stdout, sys.stderr):
        return "the server needs standard streams"
    # Asking torch would initialise CUDA.
    if os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1") and any(os.path.exists(path) for path in GPU_DRIVERS):
        return "there is a GPU, and a forked process may not use it"
    return None


def _say(text: str) -> None:
    print(f"orderdp.warm: {text}", file=sys.stderr, flush=True)


class _Ending:
    """Ends a child at once after all other exit functions, with the status that it was about to end with."""

    status: int | None = None

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        self.status = 1  # of an exception
        try:
            yield
            self.status = 0
        except SystemExit as error:
            self.status = error.code if isinstance(error.code, int) else int(error.code is not None)
            raise
        except KeyboardInterrupt:
            self.status = None  # Python then ends itself by the signal
            raise

    def __call__(self) -> None:
        if self.status is None:
            return
        for stream in (sys.stdout, sys.stderr):
            try:
                if not stream.closed:
                    stream.flush()
            except OSError:
                self.status = 120  # as Python itself
        os._exit(self.status)


class _Job(NamedTuple):
    pid: int
    ended: int
    """The child's pidfd: readable once it has ended."""
    client: socket.socket
    board: mmap.mmap
    """Shared with the child, which tells by it; no file, so a job finds none, and a child that is killed leaves
    none."""


class _Request(NamedTuple):
    command: list[str]
    state: dict[str, str]
    environment: dict[str, str]


class _Server:
    """Listens, forks, and looks after the children."""

    def __init__(self, parent: int) -> None:
        self.parent, self.pid = parent, os.getpid()
        self.state: dict[str, str] | None = None
        self.ready: set[str] = set()
        self.heard: set[str] = set()
        self.unlearned: list[str] = []
        self.jobs: list[_Job] = []
        self.told: set[str] = set()
        os.makedirs(WORK, exist_ok=True)
        _sweep()
        self.path = (
            f"{WORK}/warm-{self.pid}.sock"  # relative: an absolute path may be longer than a socket's name can be
        )
        self.listener = socket.socket(socket.AF_UNIX)
        umask = os.umask(0o177)
        self.listener.bind(self.path)
        os.umask(umask)
        self.listener.listen(128)
        self.selector = selectors.DefaultSelector()
        self._watch(self.listener, self._accept)
        self._watch(parent, self._retire)

    def run(self) -> list[str] | None:
        """The loop. One event at a time, since each may end what another is about."""
        while self.selector.get_map():
            action: Callable[[], list[str] | None] = self.selector.select()[0][0].data
            if (command := action()) is not None:
                return command
        return None

    def _watch(self, file: socket.socket | int, action: Callable[[], list[str] | None]) -> None:
        self.selector.register(file, selectors.EVENT_READ, action)

    def _retire(self) -> None:
        """No new jobs: the parent is gone, or none may be taken."""
        self.selector.unregister(self.parent)
        self.selector.unregister(self.listener)
        self.listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _accept(self) -> list[str] | None:
        """Forks a child for a client; returns its command in the child."""
        client, _ = self.listener.accept()
        client.settimeout(PATIENCE_S)
        request, streams = _receive(client)
        pid = None
        if request is not None and self._takes(request, client):
            with contextlib.suppress(OSError):  # no memory for another process: the client has its own
                board = mmap.mmap(-1, BOARD_BYTES)
                pid = os.fork()
            if pid == 0:
                self._forget(client)
                _settle(self.pid, streams, request.environment)
                atexit.register(
                    _tell, board, list(sys.path), set(sys.modules)
                )  # before the job registers anything, hence called after
                return request.command
        for stream in streams:
            os.close(stream)
        if pid is None:
            client.close()
            return None
        with contextlib.suppress(OSError):  # the child may have been first
            os.setpgid(pid, pid)
        job = _Job(pid, os.pidfd_open(pid), client, board)
        self.jobs.append(job)
        self._watch(job.ended, partial(self._reap, job))
        self._watch(client, partial(self._hear, job))
        _answer(client, b"+")
        return None

    def _takes(self, request: _Request, client: socket.socket) -> bool:
        """Whether a fresh process would begin as a child of this one. Says once what differs."""
        if self.state is None:  # The first job: where none comes, nothing is imported.
            self.state = state()
        command = request.command[0] if request.command else ""
        if command not in self.ready:
            if not self._may_fork(_preload((*PRELOADED, *PRELOADED_FOR.get(command, ())), request.command)):
                return False
            self.ready.add(command)
        wanted = request.state
        differing = {name for name in self.state.keys() | wanted.keys() if self.state.get(name) != wanted.get(name)}
        if differing - self.told:
            _say(f"jobs start cold: {', '.join(sorted(differing))} differ from the server's")
            self.told |= differing
        if differing:
            return False
        if self.unlearned:
            if not self._may_fork(_learn(self.unlearned)):
                return False
            self.unlearned.clear()
        return not _gone(client)

    def _may_fork(self, reason: str | None) -> bool:
        """After imports, with what failed in them: whether children still begin as fresh processes. If not, says why
        and retires."""
        gc.collect()
        gc.freeze()  # so that the children's collections leave the shared pages alone
        if reason is None and _has_threads():
            reason = "a library started threads, and a fork would lose them"
        if reason is None and state() != self.state:
            reason = "something changed while it was imported"
        if reason:
            self._retire()
            _say(f"jobs start cold: {reason}")
        return not reason

    def _forget(self, client: socket.socket) -> None:
        """In a child: none of the server's files stays open."""
        self.selector.close()
        os.close(self.parent)
        for connection in (self.listener, client, *(job.client for job in self.jobs)):
            connection.close()
        for job in self.jobs:
            os.close(job.ended)

    def _hear(self, job: _Job) -> None:
        """A client passes signals on; one that is gone, or was killed, takes its job with it."""
        try:
            numbers = job.client.recv(64)
        except OSError:
            numbers = b""
        with contextlib.suppress(OSError):
            for number in numbers:
                os.kill(job.pid, number)  # not waited for yet, so the number is still its own
            if not numbers:
                self.selector.unregister(job.client)
                os.killpg(job.pid, signal.SIGKILL)

    def _reap(self, job: _Job) -> None:
        """A child has ended: its client gets the status, and the server hears what to learn."""
        status = os.waitstatus_to_exitcode(os.waitpid(job.pid, 0)[1])
        if job.client in self.selector.get_map():
            self.selector.unregister(job.client)
        self.selector.unregister(job.ended)
        os.close(job.ended)
        self.jobs.remove(job)
        _answer(job.client, bytes([status if status >= 0 else 128 - status]))
        job.client.close()
        line = job.board.readline()
        job.board.close()
        if line.endswith(b"\n"):  # neither killed nor cut off
            self.unlearned += [name for name in line.decode().split() if name not in self.heard]
            self.heard |= set(self.unlearned)


def _sweep() -> None:
    """Removes the sockets of servers that were killed."""
    for name in os.listdir(WORK):
        if name.startswith("warm-") and name.endswith(".sock"):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(f"{WORK}/{name}")
                except ConnectionRefusedError:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{WORK}/{name}")
                except OSError:
                    pass  # another user's, or just gone


def _gone(client: socket.socket) -> bool:
    """Whether a client did not want to wait any longer."""
    client.setblocking(False)
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    finally:
        client.settimeout(PATIENCE_S)


def _answer(client: socket.socket, text: bytes) -> None:
    with contextlib.suppress(OSError):  # a client that is gone is noticed by the loop
        client.sendall(text)


def _receive(client: socket.socket) -> tuple[_Request | None, list[int]]:
    """A client's request and its three streams; no request if it broke off."""
    streams: list[int] = []
    try:
        client.sendall(b"r")
        header, streams, _, _ = socket.recv_fds(client, 8, 3)
        body, size = b"", int.from_bytes(header, "big")
        while len(body) < size:
            if not (part := client.recv(size - len(body))):
                return None, streams
            body += part
        return (_Request(**json.loads(body)) if len(streams) == 3 else None), streams
    except (OSError, ValueError, TypeError):
        return None, streams


def _settle(server: int, streams: list[int], environment: dict[str, str]) -> None:
    """In a child: what a fresh process would have of its own."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)  # it ended before the line above
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    # Python's own generator is seeded anew at a fork, torch's default one starts from a constant. Nobody here uses
    # NumPy's, but two processes never share its numbers.
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()
    tempfile.tempdir = None  # where temporary files go is the job's
