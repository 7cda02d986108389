"""Who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "orderdp"
MAY_IMPORT = {
    "spec": set(),
    "files": set(),
    "sources": set(),
    "theory": set(),
    "datasets": set(),
    "models": set(),
    "pruning": {"theory"},
    "integrations": {"pruning"},
    "coresets": set(),
    "diagnostics": set(),
    "grid": {"spec", "sources"},
    "stamps": {"grid", "sources"},
    "costs": {"spec", "sources"},
    "resources": {"grid", "costs"},
    "calibrate": {"spec", "files", "grid", "costs", "datasets", "models", "training"},
    "plan": {"grid", "costs"},
    "progress": set(),
    "gpu_slot": set(),
    "explain_failure": set(),
    "launch": {"gpu_slot"},
    "training": {"spec", "files", "datasets", "models", "pruning", "coresets", "diagnostics"},
    "tracking": {"spec", "grid", "stamps"},
    "reporting": {"spec", "files", "grid", "theory", "stamps"},
    "coreset_jobs": {"files", "datasets", "grid", "coresets", "training"},
    "diagnose": {"files", "datasets", "grid", "training"},
    "study": {"files", "datasets", "grid", "theory"},
    "warm": {"warm_server"},
    "warm_server": {"warm"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "orderdp":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_arrow_goes_up_or_sideways(path):
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if layer in ("__init__", "__main__"):
        return
    assert imports(path) - {layer} <= MAY_IMPORT[layer]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import orderdp.grid, orderdp.stamps, orderdp.plan, orderdp.resources",
            {"torch", "numpy", "pandas", "mlflow"},
        ),
        (
            "from orderdp import OrderDP",
            {"torchvision", "sklearn", "pandas", "mlflow", "matplotlib", "scipy", "yaml", "pydantic"},
        ),
        ("import orderdp.integrations", {"torch", "lightning", "transformers", "accelerate"}),
        ("import orderdp.training.run", {"torchvision", "sklearn", "pandas", "mlflow", "matplotlib", "torch._dynamo"}),
        ("import orderdp.tracking", {"mlflow", "torch", "pandas"}),
    ],
)
def test_what_an_import_pulls_in(statement, absent):
    code = f"import sys; {statement}; print(sorted(set(sys.modules) & {absent!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]", done.stderr
