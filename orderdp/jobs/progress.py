"""Progress of a training run: one line that moves on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO


class Progress:
    """Called after every epoch.

    Args:
        title: what is running.
        stream: where to write; a terminal gets a bar.
    """

    def __init__(self, title: str, stream: TextIO = sys.stderr) -> None:
        self.title, self.stream = title, stream
        self.started = time.monotonic()
        self.first_epoch: int | None = None
        self.said_at = -10.0

    def __call__(self, row: dict[str, Any], epochs: int) -> None:
        """Shows one more epoch: row of the history, planned epochs."""
        epoch, now = row["epoch"], time.monotonic() - self.started
        if self.first_epoch is None:
            self.first_epoch = epoch - 1
        accuracy = row.get("test_accuracy")
        left = now / (epoch - self.first_epoch) * max(epochs - epoch, 0)
        shown = "-" if accuracy is None else f"{accuracy:.2f} %"
        text = f"epoch {epoch}/{epochs}  test accuracy {shown}  {left:.0f} s left"
        if self.stream.isatty():
            filled = round(24 * min(1.0, row["progress"]))
            end = "\n" if row["progress"] >= 1 else ""
            print(
                f"\r{self.title} [{'#' * filled}{'.' * (24 - filled)}] {text}  ", end=end, file=self.stream, flush=True
            )
        elif now - self.said_at >= 10 or row["progress"] >= 1:
            self.said_at = now
            print(f"{self.title}: {text}", file=self.stream, flush=True)
