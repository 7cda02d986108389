"""Who may import whom, and what an import costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "orderdp"


def test_every_import_is_allowed():
    """By the contracts in pyproject.toml."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stdout


def test_the_root_holds_four_modules():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "__main__", "spec", "files"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import orderdp.grid, orderdp.grid.report_fingerprint, orderdp.planning.plan, orderdp.planning.bundles",
            {"torch", "numpy", "pandas", "mlflow"},
        ),
        ("import orderdp.__main__, orderdp.launch.pool, orderdp.launch.gpus", {"torch", "numpy", "pandas", "mlflow"}),
        (
            "from orderdp import OrderDP",
            {"torchvision", "sklearn", "pandas", "mlflow", "matplotlib", "scipy", "yaml", "pydantic"},
        ),
        ("import orderdp.integrations", {"torch", "lightning", "transformers", "accelerate"}),
        ("import orderdp.jobs.trainer", {"torchvision", "sklearn", "pandas", "mlflow", "matplotlib"}),
        ("import orderdp.tracking", {"mlflow", "torch", "pandas"}),
    ],
)
def test_what_an_import_pulls_in(statement, absent):
    code = f"import sys; {statement}; print(sorted(set(sys.modules) & {absent!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]", done.stderr
