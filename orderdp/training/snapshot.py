"""A run before an epoch: what its diagnosis is made from, kept in the run's folder as `before-<epoch>.pt`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from orderdp.files import write
from orderdp.pruning.base import Subset


@dataclass(frozen=True)
class Snapshot:
    """The weights, and the set that the run is about to train on."""

    epoch: int
    """Whose set it is, from 1; after the last epoch the one that would come next."""
    progress: float
    """Share of the planned training done, in [0, 1]."""
    model: Mapping[str, Tensor]
    """Weights and buffers."""
    selection: Subset
    usage: Tensor
    """int32 (n,), how often each sample was kept so far."""


def save(snapshot: Snapshot, folder: Path) -> None:
    """Writes the file of a snapshot; tensors are stored as they are, so one on a GPU is read back by any device."""
    values = {
        "progress": snapshot.progress,
        "model": dict(snapshot.model),
        "indices": snapshot.selection.indices.to(torch.int32),
        "weights": snapshot.selection.weights,
        "usage": snapshot.usage,
    }
    write(folder / f"before-{snapshot.epoch}.pt", lambda file: torch.save(values, file))


def saved(folder: Path) -> Iterator[Snapshot]:
    """The snapshots in a run's folder in the order of their epochs, on the CPU, one at a time in memory.

    Raises:
        FileNotFoundError: there is none.
    """
    found = {int(path.stem.removeprefix("before-")): path for path in folder.glob("before-*.pt")}
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no weights of checkpoints (before-<epoch>.pt). Remove that folder and train the run again"
        )
    for epoch, path in sorted(found.items()):
        values = torch.load(path, map_location="cpu", weights_only=True)
        selection = Subset(values["indices"].long(), values["weights"])
        yield Snapshot(epoch, values["progress"], values["model"], selection, values["usage"])
