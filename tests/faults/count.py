"""Faults, and the count of what came of them."""

from __future__ import annotations

import random
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

LAST_LINE = "{} faults injected, {} results lost, {} tracebacks"


@dataclass
class Count:
    """What came of the faults."""

    injected: int = 0
    lost: list[str] = field(default_factory=list)
    """Results that differ from an undisturbed project's, damage that was taken into a table or blessed, a command that
    did not finish when it was called again."""
    tracebacks: list[str] = field(default_factory=list)
    """Commands that ended in a traceback, where a sentence should be."""

    def read(self, where: str, output: str) -> None:
        """Looks for a traceback in what a command said."""
        if "Traceback (most recent call last)" in output:
            self.tracebacks.append(f"{where}\n{output[-3000:]}")
            print(f"TRACEBACK {self.tracebacks[-1]}", flush=True)

    def expect(self, right: bool, where: str, what: str) -> None:
        """Notes a loss unless all is right."""
        if not right:
            self.lost.append(f"{where}: {what}")
            print(f"LOST {self.lost[-1]}", flush=True)

    @classmethod
    def parse(cls, output: str, otherwise: str) -> Count:
        """What a process counted that printed its count last; one loss if it did not."""
        found = re.search(LAST_LINE.format(*[r"(\d+)"] * 3) + r"\n*\Z", output)
        if found is None:
            return cls(lost=[otherwise])
        injected, lost, tracebacks = map(int, found.groups())
        return cls(injected, ["in its process"] * lost, ["in its process"] * tracebacks)

    def __add__(self, other: Count) -> Count:
        return Count(self.injected + other.injected, self.lost + other.lost, self.tracebacks + other.tracebacks)

    def __str__(self) -> str:
        return LAST_LINE.format(self.injected, len(self.lost), len(self.tracebacks))


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    inject: Callable[[Count], None]
    """Lets it go wrong, looks at what comes of it, and leaves the project as it was."""


def inject(
    faults: Iterable[Fault],
    count: Count,
    restore: Callable[[], None],
    most: int | None = None,
    seed: int = 0,
    verbose: bool = False,
) -> None:
    """Injects all faults, or a random part of them. After a loss, the project is restored for the next one."""
    every = list(faults)
    chosen = every if most is None else random.Random(seed).sample(every, min(most, len(every)))
    for fault in chosen:
        lost, began = len(count.lost), time.monotonic()
        try:
            fault.inject(count)
        except Exception:  # a command that the fault needs has failed
            count.expect(False, fault.name, traceback.format_exc())
        count.injected += 1
        if len(count.lost) > lost:
            restore()
        if verbose:
            print(f"{time.monotonic() - began:6.1f} s  {fault.name}", flush=True)
        if sys.stderr.isatty():
            print(f"\r{count}", end="", file=sys.stderr, flush=True)
