"""Jobs through the warm server: the same as cold ones in all that a caller sees, and nothing left behind."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from orderdp import warm, warm_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server works on Linux only")

ROOT = Path(__file__).parents[1]
TIMED = {"selection_s", "training_s", "evaluation_s", "samples_per_s", "peak_memory_mb", "timestamp"}

# Stands for the package: the real server and client around commands that take no time.
COMMANDS = """
import importlib, json, os, random, signal, sys, time, numpy.random
def show(*words):
    os.umask(umask := os.umask(0))
    print(json.dumps({
        "argv": sys.argv, "folder": os.getcwd(), "path": sys.path, "umask": umask, "main": sys.modules["__main__"].__spec__.name,
        "environment": dict(os.environ), "stdin": sys.stdin.read(), "signals": [str(signal.getsignal(n)) for n in range(1, 32)],
        "mask": str(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "files": os.listdir("/proc/self/fd"), "buffered": sys.stdout.line_buffering,
    }))
    print("on stderr", file=sys.stderr)
def parent(): print(os.getppid())
def numbers(): print(random.random(), numpy.random.random())
def leave(value): sys.exit(json.loads(value))
def fail(): raise ValueError("on purpose")
def die(number, *modules): need(*modules); print("flushed", flush=True); os.kill(os.getpid(), int(number))
def need(*modules): print(*(name in sys.modules for name in modules)); return [importlib.import_module(name) for name in modules]
def elsewhere(folder): sys.path.insert(0, folder); print(need("late")[0].HERE)
def invent(name, times="1", *modules): need(*modules); sys.modules.update({name * n: None for n in range(1, int(times) + 1)})
def wait(note, seconds="60"):
    def stop(number, frame): time.sleep(0.3); print("stopped by", number); sys.exit(40 + number)
    signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)
    with open(note, "a") as file: file.write(f"{os.getpid()}\\n")
    time.sleep(float(seconds) if os.path.exists("slow") else 0)
    print("waited")
globals()[sys.argv[1]](*sys.argv[2:])
"""


class Place:
    """A folder with a package `orderdp` in it, its jobs and its server."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = {**os.environ, **warm.ONE_THREAD, **(environment or {})}
        self.environment.pop("PYTHONUNBUFFERED", None)
        (folder / ".work").mkdir(parents=True, exist_ok=True)

    def start(
        self, *command: str, module: tuple[str, ...] = ("orderdp.warm", "--"), **options
    ) -> subprocess.Popen[str]:
        environment = {**self.environment, **options.pop("extra", {})}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, "-m", *module, *command],
            cwd=self.folder,
            env=environment,
            text=True,
            **{**streams, **options},
        )

    def run(self, *command: str, say: str = "", **options) -> tuple[int, str, str]:
        process = self.start(*command, stdin=subprocess.PIPE, **options)
        out, err = process.communicate(say, timeout=120)
        return process.returncode, out, err

    def cold(self, *command: str, **options) -> tuple[int, str, str]:
        return self.run(*command, module=("orderdp",), **options)

    @contextlib.contextmanager
    def server(self, parent: int | None = None) -> Iterator[subprocess.Popen[str]]:
        server = self.start("--serve", "--parent", str(parent or os.getpid()), module=("orderdp.warm",))
        try:
            until(lambda: (self.folder / f".work/warm-{server.pid}.sock").exists() or server.poll() is not None)
            yield server
        finally:
            server.kill()
            server.wait()

    def sockets(self) -> list[Path]:
        return list(self.folder.glob(".work/warm-*.sock"))

    def runs_warm(self, server: subprocess.Popen[str], **options) -> bool:
        return self.run("parent", **options)[1].strip() == str(server.pid)


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.02)


def exists(pid: int) -> bool:
    """Whether a process is there and not just waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def noted(place: Place, count: int = 1) -> list[int]:
    """The processes that began the command `wait`."""
    note = place.folder / "note"
    until(lambda: note.exists() and note.read_text().count("\n") >= count)
    return [int(line) for line in note.read_text().split()]


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """The jobs of these tests heed SIGINT, also where a shell started the tests in the background, which ignores it and
    hands that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / ("a-folder-whose-name-is-longer-than-a-socket-can-have" * 3)
    package = folder / "orderdp"
    (package / "training").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "__main__": COMMANDS,
        "grid": "",
        "progress": "",
        "training/__init__": "",
        "training/run": "",
    }.items():
        (package / f"{name}.py").write_text(text)
    for module in (warm, warm_server):
        shutil.copy(module.__file__, package)
    return Place(folder)


@pytest.fixture
def server(place):
    with place.server() as server:
        yield server


def test_a_job_finds_what_a_cold_one_finds(place, server):
    assert place.runs_warm(server)
    cold, hot = (run("show", "--", "two words", say="input", extra={"SHLVL": "7"}) for run in (place.cold, place.run))
    found, expected = json.loads(hot[1]), json.loads(cold[1])
    assert found == expected
    assert found["argv"][1:] == ["show", "--", "two words"]
    assert (hot[0], hot[2]) == (cold[0], cold[2]) == (0, "on stderr\n")


@pytest.mark.parametrize(
    "command",
    [("leave", "0"), ("leave", "3"), ("leave", "-1"), ("leave", "null"), ("leave", '"words"'), ("fail",), ("die", "9"), ("die", "2"), ("die", "15")],
    ids=" ".join,
)  # fmt: skip
def test_it_ends_as_a_cold_one_ends(place, server, command):
    cold, hot = place.cold(*command), place.run(*command)
    assert hot[0] == (cold[0] if cold[0] >= 0 else 128 - cold[0])
    assert hot[1] == cold[1]
    assert hot[2].splitlines()[-1:] == cold[2].splitlines()[-1:]
    assert place.runs_warm(server)
    until(lambda: not children(server.pid), 5)


def test_what_cannot_be_written_is_an_error_in_both(place, server):
    with open("/dev/full", "w") as full:
        codes = [
            place.start("parent", module=module, stdout=full).wait()
            for module in (("orderdp",), ("orderdp.warm", "--"))
        ]
    assert codes == [120, 120]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on_and_waited_for(place, server, number):
    (place.folder / "slow").touch()
    client = place.start("wait", "note")
    (pid,) = noted(place)
    assert str(pid) in children(server.pid)
    client.send_signal(number)
    assert client.communicate(timeout=10)[0] == f"stopped by {number.value}\n"
    assert client.returncode == 40 + number
    assert place.runs_warm(server)


def test_a_killed_client_takes_its_job_along(place, server):
    (place.folder / "slow").touch()
    clients = [place.start("wait", "note"), place.start("wait", "note")]
    first, second = noted(place, 2)
    clients[0].kill()
    until(lambda: not (exists(first) and exists(second)), 5)
    time.sleep(0.1)
    assert exists(first) or exists(second)
    clients[1].kill()
    until(lambda: not children(server.pid), 5)
    assert place.runs_warm(server)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_server_takes_its_jobs_along_and_they_start_again(place, server, number):
    (place.folder / "slow").touch()
    client = place.start("wait", "note")
    (pid,) = noted(place)
    (place.folder / "slow").unlink()
    server.send_signal(number)
    out, err = client.communicate(timeout=10)
    assert (client.returncode, out) == (0, "waited\n")
    assert "starting again without it" in err
    assert not exists(pid)
    assert place.sockets()  # a dead one, which costs nobody anything
    assert place.run("leave", "5")[0] == 5
    with place.server() as other:
        assert place.runs_warm(other)
        assert len(place.sockets()) == 1


def test_it_lives_with_its_parent_and_ends_with_its_last_job(place):
    (place.folder / "slow").touch()
    parent = subprocess.Popen(["sleep", "60"])
    with place.server(parent.pid) as server:
        client = place.start("wait", "note", "1.5")
        noted(place)
        parent.kill()
        parent.wait()
        until(lambda: not place.sockets(), 5)
        assert place.run("parent")[1].strip() == str(os.getpid())
        assert client.communicate(timeout=10)[0] == "waited\n"
        assert server.wait(timeout=5) == 0
    with place.server(parent.pid) as late:
        assert late.wait(timeout=5) == 0


def change_a_source(place):
    (place.folder / "orderdp/training/run.py").write_text("# edited")
    return {}


def lower_a_limit():
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (change_a_source, "the sources"),
        (lambda place: {"extra": {"OMP_NUM_THREADS": "2"}}, "the variable OMP_NUM_THREADS"),
        (lambda place: {"extra": {"CUDA_VISIBLE_DEVICES": "1"}}, "the variable CUDA_VISIBLE_DEVICES"),
        (lambda place: {"extra": {"PYTHONPATH": "/elsewhere"}}, "the interpreter, the variable PYTHONPATH"),
        (lambda place: {"umask": 0o027}, "the limits"),
        (lambda place: {"preexec_fn": lower_a_limit}, "the limits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_job_that_would_begin_otherwise_starts_cold(place, server, difference, said):
    assert place.runs_warm(server)
    options = difference(place)
    assert not place.runs_warm(server, **options)
    assert not place.runs_warm(server, **options)
    server.terminate()
    assert server.communicate()[1] == f"orderdp.warm: jobs start cold: {said} differ from the server's\n"


def test_a_change_before_the_first_job_is_no_difference(place, server):
    change_a_source(place)
    assert place.runs_warm(server)


def test_threads_of_a_library_forbid_a_fork(place, server):
    (place.folder / "orderdp/progress.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
    )
    assert not place.runs_warm(server)
    assert "started threads" in server.communicate(timeout=10)[1]
    assert not place.sockets()


def test_what_a_job_had_to_import_the_next_one_finds(place, server):
    modules = ("colorsys", "xml.dom.minidom")
    assert [place.run("need", *modules)[:2] for _ in range(2)] == [(0, "False False\n"), (0, "True True\n")]
    assert place.runs_warm(server)


@pytest.mark.parametrize(
    "command",
    [("die", "9", "colorsys"), ("invent", "name", "1000", "colorsys"), ("need", "late", "colorsys")],
    ids=["killed", "more than there is room for", "has threads"],
)  # fmt: skip
def test_a_job_may_tell_nothing(place, server, command):
    (place.folder / "late.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
    )
    assert place.run(*command)[2] == ""
    assert place.run("need", "colorsys")[1] == "False\n"
    assert place.runs_warm(server)


def test_a_module_that_is_not_found_is_not_sought_again(place, server):
    for command in (("invent", "late"), ("need", "colorsys")):
        assert place.run(*command)[0] == 0
    (place.folder / "late.py").touch()
    assert [place.run("need", "late", "colorsys")[1] for _ in range(2)] == ["False True\n", "False True\n"]
    assert place.runs_warm(server)


def test_a_module_from_a_jobs_own_place_is_its_own(place, server):
    for folder in (".", "one", "two"):
        (place.folder / folder).mkdir(exist_ok=True)
        (place.folder / folder / "late.py").write_text(f"HERE = {folder!r}")
    for folder in ("one", "one", "two"):
        assert place.run("elsewhere", folder)[1].split() == ["False", folder]
    assert place.runs_warm(server)


def test_a_module_that_sets_a_variable_leaves_the_next_jobs_alone(place, server):
    (place.folder / "late.py").write_text("import os\nos.environ['LATE'] = os.environ['OMP_NUM_THREADS'] = '7'")
    assert [place.run("need", "late")[1] for _ in range(2)] == ["False\n", "True\n"]
    cold, hot = (json.loads(run("show")[1])["environment"] for run in (place.cold, place.run))
    assert hot == cold
    assert place.runs_warm(server)


def test_a_module_that_breaks_off_in_the_server_ends_its_service(place, server):
    (place.folder / "late.py").write_text("import sys\nassert 'need' in sys.argv, 'only for one job'")
    assert [place.run("need", "late")[:2] for _ in range(2)] == [(0, "False\n")] * 2
    said = "orderdp.warm: jobs start cold: late, which a job has imported, cannot be imported again: only for one job\n"
    assert server.communicate(timeout=10)[1] == said
    assert not place.sockets()


def test_a_server_that_hangs_is_left_alone(place):
    path = place.folder / "orderdp/warm.py"
    path.write_text(path.read_text().replace("PATIENCE_S = 20.0", "PATIENCE_S = 1.0"))
    with place.server() as server:
        server.send_signal(signal.SIGSTOP)
        assert place.run("wait", "note")[:2] == (0, "waited\n")
        server.send_signal(signal.SIGCONT)
        assert place.runs_warm(server)
        assert len(noted(place)) == 1


def test_many_jobs_at_once_leave_no_zombie(place, server):
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda i: place.run("leave", str(i))[0], range(40)))
    assert codes == list(range(40))
    assert children(server.pid) == []
    assert len(os.listdir(f"/proc/{server.pid}/fd")) <= 7
    assert place.runs_warm(server)


def test_nonsense_on_the_socket_harms_nobody(place, server):
    (path,) = place.sockets()
    assert path.stat().st_mode & 0o777 == 0o600
    there = os.open(path.parent, os.O_RDONLY)
    for text in (b"", b"x", b"\0" * 8, (3).to_bytes(8, "big") + b"{}", (2).to_bytes(8, "big") + b"[]"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{there}/{path.name}")
            connection.sendall(text)
    os.close(there)
    assert place.runs_warm(server)


def test_random_numbers_are_each_childs_own(place, server):
    assert place.runs_warm(server)
    drawn = [number for _ in range(3) for number in place.run("numbers")[1].split()]
    assert len(set(drawn)) == 6


def test_a_gpu_forbids_it(place, monkeypatch, tmp_path):
    monkeypatch.setattr(warm_server, "GPU_DRIVERS", (str(tmp_path),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "GPU" in (warm_server._unable() or "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "GPU" in (warm_server._unable() or "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert warm_server._unable() is None


def test_the_client_imports_little():
    code = "import sys, orderdp.warm; print(sorted(set(sys.modules) & {'torch', 'numpy', 'yaml', 'pydantic', 'argparse', 'subprocess'}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.strip() == "[]"


@pytest.mark.slow
def test_a_training_gives_the_same_bits(tmp_path):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    # LARS is timm's, and an optimizer of torch: the first job imports what these need, and the second one finds it.
    params["workloads"]["digits-resnet8-lars"] |= {"model_options": {"width": 4}}
    params["workloads"]["digits-resnet8-lars"]["overrides"]["epochs"] = 2
    place = Place(tmp_path, {"PYTHONPATH": str(ROOT)})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert place.cold("prepare", "--dataset", "digits")[0] == 0
    code = "from orderdp import grid; print(next(name for name in grid.load().cells if '-orderdp-' in name and '-lars-' in name))"
    cell = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=place.environment, capture_output=True, text=True
    ).stdout.strip()
    training = ("train", "--scale", "quick", "--cell", cell, "--threads", "1")
    assert place.cold(*training)[0] == 0
    (tmp_path / "runs").rename(tmp_path / "cold")
    used = [0]
    with place.server() as server:
        for folder in ("first", "second"):
            assert place.run(*training)[0] == 0
            (tmp_path / "runs").rename(tmp_path / folder)
            ticks = Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()[13:15]
            used.append(sum(map(int, ticks)))
        first, second = np.diff(used)
        assert 0 < second < first, "the server's children did the work, and the second one imported less"
        server.kill()
        assert server.communicate()[1] == ""
    histories, kept = [], []
    for folder in ("cold", "first", "second"):
        rows = list(csv.DictReader((tmp_path / folder / cell / "history.csv").open()))
        histories.append([{key: value for key, value in row.items() if key not in TIMED} for row in rows])
        kept.append(np.load(tmp_path / folder / cell / "selection.npz"))
    assert len(histories[0]) == 2
    for other in (1, 2):
        assert histories[0] == histories[other]
        assert kept[0].files == kept[other].files
        assert all(np.array_equal(kept[0][name], kept[other][name], equal_nan=True) for name in kept[0].files)
