"""(f) What a pruner keeps in memory, in bytes per sample of the data set: exact, from its tensors.

"state" is what `state_dict` holds (what a checkpoint grows by), "between epochs" what the object holds when an epoch
has just begun, "after an epoch" what it holds at the end, with the losses of all samples that the epoch kept waiting to
be learnt. The ratio is over `FullData`, which prunes nothing but counts and orders like all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.measuring import rounded
from benchmarks.methods import OPTIONS, build

KEYS = ("method", "n", "moment", "bytes_per_sample", "reference_bytes_per_sample")
DEFAULTS: dict[str, Any] = {"n": 100_000, "methods": list(OPTIONS)}
TINY: dict[str, Any] = {"n": 512}


def run(n: int, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row per method and moment."""
    reference = moments("full", n)
    for method in methods:
        for moment, size in moments(method, n).items():
            yield {
                "method": method,
                "n": n,
                "moment": moment,
                "bytes_per_sample": rounded(size / n),
                "reference_bytes_per_sample": rounded(reference[moment] / n),
                "ratio": rounded(size / reference[moment]),
            }


def moments(method: str, n: int) -> dict[str, int]:
    """Bytes at each moment, in the second epoch: every score is known by then."""
    pruner = build(method, n)
    pruner.prime(torch.arange(n), torch.rand(n, generator=torch.Generator().manual_seed(0)))
    selection = pruner.begin_epoch(1)
    found = {"state": size(pruner.state_dict()), "between epochs": size(vars(pruner))}
    for indices in selection.indices.split(128):
        pruner.update(indices, torch.ones(len(indices)))
    return found | {"after an epoch": size(vars(pruner))}


def size(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of all tensors in nested containers; storage that several share counts once."""
    seen = set() if seen is None else seen
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        if storage.data_ptr() in seen:
            return 0
        seen.add(storage.data_ptr())
        return storage.nbytes()
    if isinstance(value, dict):
        return sum(size(item, seen) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(size(item, seen) for item in value)
    return 0
