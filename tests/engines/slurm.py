"""A SLURM of one node on this machine, with accounting: daemons, keys, ports and folders for a test alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.engines.daemons import PATH, daemon, free_ports, until

NEEDED = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacctmgr")
KEY_BYTES = 128
USUAL_PLACE = Path("/etc/slurm/slurm.conf")
GPUS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")
"""What stands for GPUs: devices that every machine has."""

CONTROLLER = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting_port}
AccountingStoragePass={folder}/munge.socket
GresTypes=gpu
KillWait=10
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=16000 Gres=gpu:4 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
ACCOUNTING = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={accounting_port}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
"""


def missing() -> list[str]:
    """What this machine lacks for it."""
    lacks = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    if os.getuid() != 0:
        return [*lacks, "root's rights"]
    return [*lacks, f"an empty place for {USUAL_PLACE}"] if USUAL_PLACE.exists() else lacks


class Slurm:
    """The running cluster.

    Attributes:
        environment: by which SLURM's commands find it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = socket.gethostname().split(".")[0]
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}

    def call(self, *words: str) -> str:
        """A command of SLURM's, and what it says."""
        done = subprocess.run(words, env={**os.environ, **self.environment}, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def jobs(self, state: str | None = None) -> list[str]:
        """Numbers of the jobs in the queue, of a state such as RUNNING or PENDING."""
        return self.call("squeue", "-h", "-o", "%i", *(("-t", state) if state else ())).split()

    def ended(self) -> list[str]:
        """How the jobs so far ended, by the accounting: COMPLETED, CANCELLED, TIMEOUT."""
        text = self.call("sacct", "-X", "-n", "-P", "-o", "State", "-S", "now-1day")
        return [line.split()[0] for line in text.splitlines() if line]

    def node(self, state: str) -> None:
        """Drains the node, takes it down, or resumes it."""
        self.call("scontrol", "update", f"NodeName={self.host}", f"State={state}", "Reason=test")


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Starts munge, a database, the accounting, the controller and one node."""
    cluster = Slurm(folder)
    for name in ("state", "spool", "database"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(KEY_BYTES))
    key.chmod(0o400)
    folder.chmod(0o755)
    ports = dict(zip(("controller_port", "node_port", "accounting_port", "database_port"), free_ports(4), strict=True))
    settings = {"folder": folder, "host": cluster.host, "cpus": os.cpu_count() or 1, **ports}
    (folder / "slurm.conf").write_text(CONTROLLER.format_map(settings))
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in GPUS))
    accounting = folder / "slurmdbd.conf"
    accounting.write_text(ACCOUNTING.format_map(settings))
    accounting.chmod(0o600)
    with contextlib.ExitStack() as daemons:
        start = lambda *words: daemons.enter_context(daemon(folder, *words, environment=cluster.environment))  # noqa: E731
        socket_file, database = folder / "munge.socket", folder / "database.socket"
        start(
            "munged", "--foreground", "--force", f"--socket={socket_file}", f"--key-file={key}",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
        )  # fmt: skip
        until(socket_file.exists, "munge")
        tables = ("--no-defaults", f"--datadir={folder}/database", "--user=root")
        subprocess.run(
            ["mariadb-install-db", *tables, "--auth-root-authentication-method=socket"],
            check=True, capture_output=True, env={**os.environ, "PATH": PATH},
        )  # fmt: skip
        start(
            "mariadbd", *tables, f"--socket={database}", f"--port={ports['database_port']}",
            "--bind-address=127.0.0.1", "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        until(database.exists, "the database")
        statements = "create database accounting; grant all on accounting.* to slurm@'%' identified by 'slurm'; \
            grant all on accounting.* to slurm@localhost identified by 'slurm';"
        client = ["mariadb", "--no-defaults", f"--socket={database}", "--user=root", "-e", statements]
        subprocess.run(client, check=True, capture_output=True)
        start("slurmdbd", "-D")
        until(lambda: answers(cluster, "sacctmgr", "-n", "show", "cluster"), "the accounting")
        cluster.call("sacctmgr", "-i", "add", "cluster", "test")
        cluster.call("sacctmgr", "-i", "add", "account", "people", "Cluster=test")
        cluster.call("sacctmgr", "-i", "add", "user", "root", "Account=people")
        # Snakemake's plugin takes SLURM's variables out of the environment of its jobs.
        daemons.enter_context(at_the_usual_place(folder / "slurm.conf"))
        start("slurmctld", "-D", "-f", str(folder / "slurm.conf"))
        start("slurmd", "-D", "-f", str(folder / "slurm.conf"))
        until(lambda: "idle" in cluster.call("sinfo", "-h", "-o", "%T"), "the node")
        yield cluster
        subprocess.run(["scancel", "--state=RUNNING"], env={**os.environ, **cluster.environment}, capture_output=True)


@contextlib.contextmanager
def at_the_usual_place(configuration: Path) -> Iterator[None]:
    """Lets SLURM's commands find a configuration without being told."""
    USUAL_PLACE.parent.mkdir(exist_ok=True)
    USUAL_PLACE.symlink_to(configuration)
    try:
        yield
    finally:
        USUAL_PLACE.unlink()


def answers(cluster: Slurm, *words: str) -> bool:
    """Whether a command of SLURM's works by now."""
    return subprocess.run(words, env={**os.environ, **cluster.environment}, capture_output=True).returncode == 0
