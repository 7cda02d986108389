"""MLflow as a view of the run files: rebuilt at any time, never written by a trainer."""

from __future__ import annotations

from orderdp.tracking.tracker import Result, track, watch

__all__ = ["Result", "track", "watch"]
