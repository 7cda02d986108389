"""Coresets: samples that are chosen once, from a proxy's outputs, before the runs that train on them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from orderdp.code_fingerprint import code_checksums
from orderdp.files import write_arrays, write_rows
from orderdp.jobs.base import Execution, Job, Resources, fingerprint
from orderdp.jobs.finished import read_file, read_summary
from orderdp.jobs.proxy import OUTPUTS, Proxy, workload
from orderdp.spec import CoresetChoice, CoresetSpec, ProxySpec, Seed, Strict, percent

ENTRY_POINTS = ("orderdp.coresets.batch", "orderdp.jobs.trainer.read_coreset")
COSTS = ("method", "function", "family", "seed", "select_s", "proxy_s")


class Wanted(Strict):
    """One coreset to choose."""

    label: str
    """The method of params.yaml, a row of the tables, that it is for."""
    choice: CoresetChoice
    seed: Seed


class CoresetsSpec(Strict):
    """All coresets that the runs of a scale want of one proxy."""

    proxy: ProxySpec
    wanted: dict[str, Wanted]
    """By their names in `coresets.npz`."""


@dataclass(frozen=True)
class Coresets(Job):
    """All coresets of one proxy. They are one job because they read one large file."""

    kind: ClassVar[str] = "coresets"
    Spec: ClassVar[type[CoresetsSpec]] = CoresetsSpec

    spec: CoresetsSpec
    proxy: str = ""
    """The job whose outputs it reads."""

    @classmethod
    def of(cls, proxy: Proxy, wanted: dict[str, Wanted]) -> Coresets:
        """The coresets wanted of a proxy."""
        spec = CoresetsSpec(proxy=proxy.spec, wanted=wanted)
        sources = dict(proxy.sources)
        for each in wanted.values():
            sources |= _method_code(each.choice.method)
        return cls.named(f"coresets-{workload(proxy.spec)}", spec, dict(sorted(sources.items())), proxy=proxy.name)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.proxy,)

    def resources(self) -> Resources:
        """Nothing is known of their time in advance: an hour, on the CPU."""
        return Resources(seconds=3600, memory_mb=8000, gpus=0)

    def compute(self, out: Path, execution: Execution) -> Mapping[str, Any]:
        """Chooses them all and writes `coresets.npz` and `costs.csv`."""
        import numpy as np
        import torch

        from orderdp.coresets.batch import choose_all

        if execution.threads is not None:
            torch.set_num_threads(execution.threads)
        with np.load(io.BytesIO(read_file(execution.runs, self.proxy, OUTPUTS)), allow_pickle=False) as file:
            arrays = dict(file)
        summary = read_summary(execution.runs, self.proxy)
        assert summary is not None
        networks = summary["networks"]
        chosen, costs = choose_all(self.spec.wanted, arrays, networks, execution.say)
        write_arrays(out / "coresets.npz", chosen)
        write_rows(out / "costs.csv", COSTS, costs)
        return {}


def choice_code(spec: CoresetSpec) -> dict[str, str]:
    """Checksums of the code that decides which samples a coreset holds."""
    return Proxy.code(spec.proxy) | _method_code(spec.method)


def _method_code(method: str) -> dict[str, str]:
    return code_checksums(ENTRY_POINTS, (("coresets", "CORESETS", method),))


def entry_name(spec: CoresetSpec, seed: int) -> str:
    """`herding-p70-s0-2f0a...`: the same for all runs that train on these samples."""
    digits = fingerprint("coreset", spec, choice_code(spec))
    return f"{spec.method}-p{percent(spec.prune_ratio)}-s{seed}-{digits}"
