"""`python -m tests.faults`: every fault on a project that is made for it; ends with what came of them."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.faults import files
from tests.workflow.conftest import copy_project

if __name__ == "__main__":
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "ORDERDP_NO_TRACKING": "1"}
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder) / "project")
        project.snakemake()
        count = files.run(project.folder)
        print(*count.lost, *count.tracebacks, sep="\n")
        print(count)
        sys.exit(bool(count.lost or count.tracebacks))
