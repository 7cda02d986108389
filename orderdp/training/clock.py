"""The training clock: seconds between two points, as the device sees them."""

from __future__ import annotations

import time

import torch


class Stopwatch:
    """Runs from its creation.

    On CUDA the two ends are events in the device's stream, so that kernels still queued from before (an evaluation) are
    not counted, and no wait is needed to start. Elsewhere it is the process's clock.

    Args:
        device: where the work runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._start = self._mark()

    def seconds(self) -> float:
        """Time since creation; waits for what was queued until now."""
        end = self._mark()
        if not self._on_cuda:
            return end - self._start
        end.synchronize()
        return self._start.elapsed_time(end) / 1000

    def _mark(self):  # type: ignore[no-untyped-def]  # a float, or a CUDA event
        if not self._on_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
