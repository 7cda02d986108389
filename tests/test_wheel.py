"""The package as people install it: what the wheel holds, and the README's loop run from it outside the repository.

A fresh environment with torch would be gigabytes. Instead the wheel is installed without dependencies into a new
environment that sees the present one's packages, and the loop's process is held to torch, what torch needs, and NumPy:
the others seem not installed there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from orderdp.launch.new_project import PROJECT
from tests.datasets.test_own import folders

ROOT = Path(__file__).parents[1]
COPIED = ["orderdp", "pyproject.toml", "setup.py", "README.md", "LICENSE", *PROJECT]
# Packages of the present environment that the library must do without.
ABSENT = [
    "torchvision",
    "sklearn",
    "scipy",
    "pandas",
    "pydantic",
    "yaml",
    "mlflow",
    "matplotlib",
    "lightning",
    "transformers",
    "accelerate",
]
PROGRAM = """
import sys
from importlib.machinery import PathFinder

found = PathFinder.find_spec
absent = {absent!r}
PathFinder.find_spec = staticmethod(lambda name, *rest: None if name.split(".")[0] in absent else found(name, *rest))
import orderdp, torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
data = TensorDataset(x, (x[:, 0] > 0).long())
torch.manual_seed(0)
model, epochs = torch.nn.Linear(4, 2), 40
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
{loop}
print(orderdp.__file__)
print(float((model(data.tensors[0]).argmax(1) == data.tensors[1]).float().mean()), pruner.realised_prune_ratio)
print(sorted(set({absent!r}) & set(sys.modules)))
"""

pytestmark = pytest.mark.slow


def call(*command: object, folder: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("setuptools", minversion="77")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in COPIED:  # setuptools leaves its own files beside what it builds
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(
            ROOT / name,
            source / name,
            **({"ignore": shutil.ignore_patterns("__pycache__")} if copy is shutil.copytree else {}),
        )
    call(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        target,
        source,
        folder=target,
    )
    (path,) = target.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "orderdp").rglob("*.*") if "__pycache__" not in path.parts}
    for name in PROJECT:
        for path in (ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name]:
            if path.is_file() and "__pycache__" not in path.parts:
                ours.add(f"orderdp/project/{path.relative_to(ROOT)}")
    assert {name for name in names if ".dist-info/" not in name} == ours
    (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    required = {
        line.split(":")[1].strip()
        for line in text.splitlines()
        if line.startswith("Requires-Dist") and "extra" not in line
    }
    assert {re.match(r"[\w-]+", line).group() for line in required} == {"torch", "numpy"}
    assert {"workflow", "lightning", "transformers", "accelerate"} <= set(
        re.findall(r"^Provides-Extra: (\S+)", text, re.M)
    )


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The interpreter of an environment with the wheel, and the folder of its packages."""
    folder = tmp_path_factory.mktemp("installed")
    environment = folder / "environment"
    call(sys.executable, "-m", "venv", "--without-pip", environment, folder=folder)
    python = environment / "bin/python"
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip())
    # The present environment may itself be one, which `--system-site-packages` would look behind.
    (site / "present.pth").write_text(sysconfig.get_path("purelib") + "\n")
    call(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, folder=folder)
    return python, site


def test_a_project_is_written_and_planned_outside_of_a_checkout(installed, tmp_path):
    """Snakemake reads it, own data are added, and one run of it trains, all by the installed package."""
    python, site = installed
    said = call(python, "-m", "orderdp", "init", tmp_path / "mine", folder=tmp_path)
    mine = tmp_path / "mine"
    assert sorted(path.name for path in mine.iterdir()) == sorted([*PROJECT, ".gitignore"]), said
    folders(tmp_path / "pets")
    call(python, "-m", "orderdp", "dataset", "add", "pets", tmp_path / "pets", folder=mine)
    where = call(python, "-c", "import orderdp; print(orderdp.__file__)", folder=mine)
    assert Path(where.strip()).is_relative_to(site)
    planned = call(python, "-m", "snakemake", "-n", "--quiet", "all", folder=mine)
    assert "Traceback" not in planned
    names = [line.split()[0] for line in call(python, "-m", "orderdp", "plan", "--jobs", folder=mine).splitlines()]
    (run, *_) = [name for name in names if name.startswith("digits-resnet8w8-orderdp-x50-p70")]
    call(python, "-m", "orderdp", "prepare", "--dataset", "digits", folder=mine)
    call(python, "-m", "orderdp", "run", run, "--device", "cpu", folder=mine)
    assert (mine / "runs" / run / "summary.json").exists()
    with pytest.raises(AssertionError, match=r"has params\.yaml, Snakefile, workflow, profiles, \.gitignore already"):
        call(python, "-m", "orderdp", "init", mine, folder=tmp_path)


def test_the_three_lines_run_from_the_installed_wheel(installed, tmp_path):
    python, site = installed
    (loop,) = re.findall(
        r"```python\n(from orderdp import OrderDP, Indexed\n.*?)```",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.S,
    )
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(absent=ABSENT, loop=loop))
    where, result, loaded = call(python, "-I", program, folder=tmp_path).strip().splitlines()
    assert Path(where).is_relative_to(site)
    accuracy, ratio = map(float, result.split())
    assert accuracy > 0.95 and ratio == pytest.approx(0.7)
    assert loaded == "[]"
