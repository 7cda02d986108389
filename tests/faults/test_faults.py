"""A part of the faults of `make faults`."""

from __future__ import annotations

from tests.faults import files
from tests.workflow.conftest import copy_project


def test_damaged_files_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = copy_project(tmp_path / "project")
    project.snakemake()
    count = files.run(project.folder, most=40)
    assert count.injected >= 30
    assert not count.lost and not count.tracebacks, "\n".join(count.lost + count.tracebacks)[:8000]
