"""What a training job asks of the machine, derived from the run. Light: the Snakefile calls it for every job.

From the estimates of `orderdp.costs`, with room above them. Where they were wrong, the cluster ends the job, the next
attempt asks for more, and the run goes on from its last saved epoch.
"""

from __future__ import annotations

import math
from functools import cache

from orderdp.costs import Calibration, calibration, memory_mb, seconds, streamed
from orderdp.grid import Cell

BRIEF_S, SHORT_S = 300.0, 1800.0
"""Longest estimates of a "brief" and of a "short" run; a profile says how many of each share a job."""


@cache
def _on_gpu() -> Calibration | None:
    # Rates of a CPU say nothing of the node that gets the job.
    return calibration(device="cuda")


def runtime(cell: Cell, attempt: int) -> int:
    """Minutes: twice the estimate and five, times the attempt."""
    return attempt * (5 + math.ceil(2 * seconds(cell.spec, _on_gpu()) / cell.gpus / 60))


def mem_mb(cell: Cell, attempt: int) -> int:
    """Megabytes of main memory, to the next 1000, and half as much again for every further attempt."""
    return math.ceil((1 + attempt) / 2 * cell.gpus * memory_mb(cell.spec) / 1000) * 1000


def cpus(cell: Cell) -> int:
    """Processors: one and one to prepare the next batch; eight for each GPU that loaders have to feed."""
    return 8 * cell.gpus if streamed(cell.spec) else 2 * cell.gpus


def group(cell: Cell) -> str | None:
    """Name of the jobs that a run may share one submission with: "brief", "short", or none for a run that is worth its
    own."""
    estimate = seconds(cell.spec, _on_gpu())
    if cell.gpus > 1 or estimate > SHORT_S:
        return None
    return "brief" if estimate <= BRIEF_S else "short"
