"""The two jobs before static runs: a proxy's evidence, `runs/<proxy>/`, and all coresets chosen from it,
`runs/<coresets>/`.

Each writes its summary last, which says that the rest is complete. A job that is cut off starts anew.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from orderdp.coresets import CORESETS, Selection
from orderdp.coresets.choosing import choose, holds_out
from orderdp.datasets import load
from orderdp.files import write, write_json, write_rows
from orderdp.grid import Coreset, Coresets, Proxy
from orderdp.training.device import choose_device
from orderdp.training.engine import peak_memory_mb
from orderdp.training.process import set_up
from orderdp.training.proxy import gather_evidence

COSTS = ("method", "function", "family", "seed", "select_s", "proxy_s")
Say = Callable[[str], None]


def run_proxy(
    proxy: Proxy,
    *,
    data: Path,
    runs: Path,
    device: str | None = None,
    threads: int | None = None,
    say: Say = lambda text: None,
) -> None:
    """Trains a proxy's networks and writes `evidence.npz`, `networks.csv` and the summary.

    Args:
        proxy: from the grid.
        data: folder of prepared data sets.
        runs: folder of results.
        device: "cuda", "mps", "cpu" or None for the best present.
        threads: CPU threads; torch's own choice when None.
        say: receives a line for each network.
    """
    set_up(threads)
    started, on = time.time(), choose_device(device)
    name = proxy.spec.dataset.name
    arrays, networks = gather_evidence(proxy.spec, load(name, data / name), on, say)
    out = runs / proxy.name
    write_json(out / "spec.json", proxy.record())
    write(out / "evidence.npz", lambda file: np.savez(file, **arrays))
    write_rows(out / "networks.csv", list(networks[0]), networks)
    summary = {
        "proxy": proxy.name,
        "status": "finished",
        "started": started,
        "ended": time.time(),
        "networks": networks,
    }
    size = sum(array.nbytes for array in arrays.values()) / 1e6
    write_json(out / "summary.json", summary | {"evidence_mb": size, "peak_memory_mb": peak_memory_mb(on)})


def run_coresets(coresets: Coresets, *, runs: Path, threads: int | None = None, say: Say = lambda text: None) -> None:
    """Chooses all coresets of a proxy and writes `coresets.npz`, `costs.csv` and the summary.

    Args:
        coresets: from the grid.
        runs: folder of results, the proxy's among them.
        threads: CPU threads; torch's own choice when None.
        say: receives a line for each method and seed.
    """
    import json

    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    started, source = time.time(), runs / coresets.proxy.name
    with np.load(source / "evidence.npz") as file:
        arrays = dict(file)
    networks = json.loads((source / "summary.json").read_text())["networks"]
    with contextlib.suppress(ImportError):
        import sklearn.cluster  # noqa: F401  # an import is no part of a method's cost
    chosen: dict[str, Any] = {}
    costs = []
    for group in _groups(coresets.wanted):
        first = next(iter(group.values()))
        function = CORESETS[first.spec.method]
        t0 = time.perf_counter()
        selections = choose(function, arrays, first.spec, [one.spec.prune_ratio for one in group.values()], first.seed)
        seconds = time.perf_counter() - t0
        for name, selection in zip(group, selections, strict=True):
            chosen |= _arrays(name, selection)
        method = function.method  # type: ignore[attr-defined]
        needed = proxy_seconds(method.needs, first, networks)
        row = {"method": first.method, "function": first.spec.method, "family": method.family, "seed": first.seed}
        costs.append(row | {"select_s": seconds, "proxy_s": needed})
        say(f"{first.method}, seed {first.seed}: {seconds:.2f} s")
    out = runs / coresets.name
    write_json(out / "spec.json", coresets.record())
    write(out / "coresets.npz", lambda file: np.savez_compressed(file, **chosen))
    write_rows(out / "costs.csv", COSTS, costs)
    write_json(
        out / "summary.json",
        {"coresets": coresets.name, "status": "finished", "started": started, "ended": time.time()},
    )


def proxy_seconds(needs: tuple[str, ...], coreset: Coreset, networks: list[dict[str, Any]]) -> float:
    """Seconds of training, and of noting, that a method's evidence took: as if no other method had shared them."""
    seen, (*full, split) = set(needs), networks
    if not seen:
        return 0.0
    if holds_out(needs):
        return float(split["seconds"] + split["outputs_s"])
    mine = full[-coreset.spec.models :]
    if seen <= {"early_logits", "early_norms"}:
        return float(sum(row[f"seconds_at_{coreset.spec.epoch}"] for row in mine))
    if seen <= {"correct", "losses"}:
        return float(mine[-1]["seconds"])
    if seen == {"perturbation"}:
        return float(mine[-1]["seconds"] + mine[-1]["deepfool_s"])
    return float(sum(row["seconds"] + row["outputs_s"] for row in mine))


def _groups(wanted: Mapping[str, Coreset]) -> list[dict[str, Coreset]]:
    """Coresets that differ by their prune ratio alone: one order serves them all."""
    groups: dict[tuple[str, str, int], dict[str, Coreset]] = {}
    for name, one in wanted.items():
        alike = one.spec.model_copy(update={"prune_ratio": 0.5}).canonical()
        groups.setdefault((one.method, alike, one.seed), {})[name] = one
    return list(groups.values())


def _arrays(name: str, selection: Selection) -> dict[str, Any]:
    arrays: dict[str, Any] = {name: selection.indices.numpy().astype(np.int32)}
    return arrays if selection.weights is None else arrays | {f"{name}.weights": selection.weights.numpy()}
