"""Things measured in turn in one process, and the rows that come of it: ratios with their spread, and the machine."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

MEASURED = ("seconds", "reference_seconds", "ratio", "ratio_low", "ratio_high", "cpu_ratio", "repeats", "goal")
"""What every comparison ends in. `ratio` is the median over repeats of the thing's wall time over its reference's in
the same repeat, `ratio_low` and `ratio_high` the quartiles; `cpu_ratio` the same median of the process's own processor
time, which others on the machine disturb less; `goal` the largest (or, for a speed-up, smallest) ratio hoped for."""
MACHINE = ("cpu", "vectors", "cores", "threads", "load", "torch", "python")


class Took(NamedTuple):
    """Seconds of one call."""

    wall: float
    cpu: float

    def times(self, factor: float) -> Took:
        """As much, scaled."""
        return Took(factor * self.wall, factor * self.cpu)


def clock(call: Callable[[], object]) -> Took:
    """Runs it once."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[Took]]:
    """Runs all in turn, round after round, so that a machine that slows down or is shared slows all alike.

    Args:
        calls: name -> what to run; it may also give what took it, as `Took`, where parts of it do not count.
        repeats: rounds that count; one before them warms up.
    """
    times: dict[str, list[Took]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            given: list[object] = []
            took = clock(lambda call=call, given=given: given.append(call()))  # type: ignore[misc]
            times[name].append(given[0] if isinstance(given[0], Took) else took)
    return {name: taken[1:] for name, taken in times.items()}


def compared(thing: Sequence[Took], reference: Sequence[Took], goal: float | None = None) -> dict[str, Any]:
    """The columns `MEASURED`.

    Args:
        thing: per repeat.
        reference: per repeat, in the same order.
        goal: what is hoped for, if anything.
    """
    ratios = [a.wall / b.wall for a, b in zip(thing, reference, strict=True)]
    cpu = [a.cpu / b.cpu for a, b in zip(thing, reference, strict=True) if b.cpu > 0]
    low, high = quartiles(ratios)
    numbers = {
        "seconds": statistics.median(took.wall for took in thing),
        "reference_seconds": statistics.median(took.wall for took in reference),
        "ratio": statistics.median(ratios),
        "ratio_low": low,
        "ratio_high": high,
        "cpu_ratio": statistics.median(cpu) if cpu else None,
    }
    return {name: rounded(value) for name, value in numbers.items()} | {"repeats": len(ratios), "goal": goal}


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """First and third; of one value, itself."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def rounded(value: float | None) -> float | None:
    """Four digits: more than repeats agree on."""
    return None if value is None else float(f"{value:.4g}")


def machine() -> dict[str, Any]:
    """The columns `MACHINE`; `vectors` is the kind of CPU, and `load` what ran at the same time, as the minute's
    average."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": cpu_name(),
        "vectors": kind_of_cpu().upper(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": rounded(load),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def kind_of_cpu() -> str:
    """`avx2`, `avx512` or the like: the widest vectors that torch uses here, which decide how fast its kernels are; or
    `amx`, where it has units for matrices in bfloat16 beside them.

    `ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16` makes a processor with AMX one of the kind `avx512`, and
    `ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2` makes either one of the kind `avx2`.
    """
    vectors = str(torch.backends.cpu.get_cpu_capability()).lower()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    allowed = limit in ("", "ALL", "DEFAULT") or "AMX" in limit
    return "amx" if vectors == "avx512" and allowed and torch.cpu.get_capabilities().get("amx_bf16") else vectors


def hide_unused_bf16() -> None:
    """Where a processor stands for one without AVX-512, makes torch say that it does not compute in bfloat16. The
    precision "auto" asks for that, and would otherwise take bfloat16, which is emulated there."""
    found = torch.cpu.get_capabilities()
    if kind_of_cpu() not in ("avx512", "amx"):
        left = {name: value for name, value in found.items() if not name.startswith(("avx512", "amx"))}
        torch.cpu.get_capabilities = lambda: left


def cpu_name() -> str:
    """As the system calls it, with family and model where the name alone is vague."""
    facts: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family', '?')} model {facts.get('model', '?')})"


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keeps this process, and those that it starts meanwhile, on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
