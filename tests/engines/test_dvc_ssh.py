"""A DVC remote over SSH: a push that is interrupted, and a connection that breaks, leave a remote that the next push
completes."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.daemons import PATH, daemon, free_ports, listens, until
from tests.faults.kills import start, stop
from tests.faults.undisturbed import results
from tests.workflow.conftest import Project

LACKS = [name for name in ("sshd", "ssh-keygen") if shutil.which(name, path=PATH) is None]
LACKS += [] if importlib.util.find_spec("dvc_ssh") else ["dvc-ssh"]
pytestmark = pytest.mark.skipif(bool(LACKS), reason=f"no SSH remote here: {', '.join(LACKS)}")
CONFIGURATION = """
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


@contextlib.contextmanager
def ssh(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An SSH server for this user, with keys of its own."""
    for name in ("host", "user"):
        if not (folder / name).exists():
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    configuration = folder / "sshd_config"
    configuration.write_text(CONFIGURATION.format(folder=folder))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with daemon(folder, shutil.which("sshd", path=PATH) or "", "-D", "-f", str(configuration), "-p", str(port)) as it:
        until(lambda: listens(port), "sshd")
        yield it


def test_an_interrupted_push_is_completed_by_the_next(finished, tmp_path):
    project, (port,) = finished.copy(tmp_path), free_ports(1)
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
    clone = Project(tmp_path / "clone")
    with ssh(tmp_path, port) as server:
        project.run("git", "init", "-q", "-b", "main")
        address = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/remote"
        project.run("dvc", "remote", "add", "-d", "store", address)
        project.run("dvc", "remote", "modify", "store", "keyfile", str(tmp_path / "user"))
        project.run("dvc", "commit", "-f")
        project.run(*git, "add", "-A")
        project.run(*git, "commit", "-qm", "all")
        for number, after_s in (
            (signal.SIGTERM, 2.0),
            (signal.SIGKILL, 3.0),
            (signal.SIGINT, 2.5),
            (signal.SIGKILL, 4),
        ):
            stop(start(project, "dvc", "push"), number, after_s)
        process = start(project, "dvc", "push")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2.5)
        server.kill()  # and with it the connections, when their processes read the next time
    subprocess.run(["pkill", "-KILL", "-f", f"sshd.*{tmp_path}"])
    process.wait(timeout=120)
    done = project.run("dvc", "push", check=False)
    assert done.returncode != 0 or "up to date" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    with ssh(tmp_path, port):
        project.run("dvc", "push")
        project.run("git", "clone", "-q", str(project.folder), str(clone.folder))
        clone.run("dvc", "pull")
    assert results(clone.folder) == results(finished.folder)
    assert clone.planned() == (set(), set())
