"""Static selection in the grid: what a run's coreset is, and which proxies and selections the runs together ask for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from orderdp import sources
from orderdp.grid.cells import Cell, Coreset, Coresets, Proxy
from orderdp.grid.params import CoresetEntry, Protocol
from orderdp.spec import ProxySpec, RunSpec

REGISTRY = ("coresets", "CORESETS")
DATASETS, MODELS = ("datasets", "DATASETS"), ("models", "MODELS")


def proxy_values(
    protocol: Protocol, recipe: Mapping[str, Any], dataset: Mapping[str, Any], model: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a `ProxySpec`.

    Args:
        protocol: of the scale.
        recipe: of the workload, with the protocol's changes.
        dataset: the run's, with its wrong labels, which the proxy sees too.
        model: the workload's `name` and `options`.
    """
    given = protocol.proxy.model_dump(exclude={"overrides"})
    return {**given, "dataset": dataset, "model": model, "recipe": recipe}


def coreset_values(
    entry: CoresetEntry, protocol: Protocol, proxy: ProxySpec, prune_ratio: float | None, epoch: int | None
) -> dict[str, Any]:
    """The fields of a `CoresetSpec`; `epoch` instead of the entry's, where the scale says so."""
    return {
        "method": entry.name,
        "options": entry.options,
        "models": entry.models,
        "epoch": entry.epoch if epoch is None else epoch,
        "balance": protocol.balance if entry.balance is None else entry.balance,
        "prune_ratio": prune_ratio,
        "proxy": proxy,
    }


def coreset_sources(spec: RunSpec) -> dict[str, str]:
    """Digests of the sources that decide which samples a static run trains on; empty for other runs."""
    if spec.coreset is None:
        return {}
    return proxy_sources(spec.coreset.proxy) | sources.coreset_digests((*REGISTRY, spec.coreset.method))


def proxy_sources(spec: ProxySpec) -> dict[str, str]:
    """Digests of the sources that decide a proxy's evidence."""
    return sources.proxy_digests((*DATASETS, spec.dataset.name), (*MODELS, spec.model.name))


def gathered(
    cells: Mapping[str, Cell], methods: Mapping[str, str]
) -> tuple[dict[str, Cell], dict[str, Proxy], dict[str, Coresets]]:
    """The cells with the places of their coresets, and the proxies and selections that these need.

    Args:
        cells: of the grid.
        methods: cell -> its row of the tables.
    """
    static = [cell for cell in cells.values() if cell.spec.coreset is not None]
    proxies = {proxy.spec.canonical(): proxy for proxy in map(_proxy, static)}
    found, placed = {}, dict(cells)
    for canonical, proxy in proxies.items():
        mine = [cell for cell in static if cell.spec.coreset.proxy.canonical() == canonical]  # type: ignore[union-attr]
        coresets = _coresets(proxy, mine, methods)
        found[coresets.name] = coresets
        placed |= {cell.name: replace(cell, coreset=(coresets.name, coreset_name(cell))) for cell in mine}
    return placed, {proxy.name: proxy for proxy in proxies.values()}, found


def coreset_name(cell: Cell) -> str:
    """`herding-p70-s0-2f0a...`: the same for all runs that train on these samples."""
    spec = cell.spec.coreset
    assert spec is not None
    return (
        f"{spec.method}-p{100 * spec.prune_ratio:.6g}-s{cell.spec.seed}-{spec.fingerprint(coreset_sources(cell.spec))}"
    )


def _proxy(cell: Cell) -> Proxy:
    assert cell.spec.coreset is not None
    spec = cell.spec.coreset.proxy
    found = proxy_sources(spec)
    fingerprint = spec.fingerprint(found)
    return Proxy(f"proxy-{_place(spec)}-e{spec.recipe.epochs}-{fingerprint}", fingerprint, spec, found)


def _coresets(proxy: Proxy, cells: Iterable[Cell], methods: Mapping[str, str]) -> Coresets:
    wanted = {}
    for cell in cells:
        assert cell.spec.coreset is not None
        wanted[coreset_name(cell)] = Coreset(
            methods[cell.name], cell.spec.coreset, cell.spec.seed, coreset_sources(cell.spec)
        )
    # Their names hold all that decides them.
    text = json.dumps([proxy.name, sorted((name, one.method) for name, one in wanted.items())])
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Coresets(f"coresets-{_place(proxy.spec)}-{fingerprint}", fingerprint, proxy, wanted)


def _place(spec: ProxySpec) -> str:
    """`digits-resnet8w16`."""
    width = spec.model.options.get("width")
    return f"{spec.dataset.name}-{spec.model.name}" + (f"w{width}" if width is not None else "")
