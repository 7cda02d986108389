"""Which coresets the runs of a scale train on, gathered by the proxy whose outputs they are chosen from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from orderdp.jobs.coresets import Coresets, Wanted, entry_name
from orderdp.jobs.proxy import Proxy
from orderdp.jobs.train import Train
from orderdp.spec import CoresetChoice, CoresetSpec


def gathered(
    runs: Iterable[Train], labels: Mapping[str, str]
) -> tuple[dict[str, Proxy], dict[str, Coresets], list[Train]]:
    """The proxies and coresets that runs need together, and the runs that know the places of theirs.

    Args:
        runs: those that train on coresets.
        labels: run -> the method of params.yaml that it is for.
    """
    by_proxy: dict[str, list[tuple[Train, CoresetSpec]]] = {}
    for run in runs:
        if run.spec.coreset is not None:
            by_proxy.setdefault(run.spec.coreset.proxy.canonical(), []).append((run, run.spec.coreset))
    proxies, coresets, placed = {}, {}, []
    for users in by_proxy.values():
        proxy = Proxy.of(users[0][1].proxy)
        entries, wanted = {}, {}
        for run, spec in users:
            entries[run.name] = entry = entry_name(spec, run.spec.seed)
            choice = CoresetChoice(**spec.model_dump(exclude={"proxy"}))
            wanted[entry] = Wanted(label=labels[run.name], choice=choice, seed=run.spec.seed)
        job = Coresets.of(proxy, wanted)
        proxies[proxy.name], coresets[job.name] = proxy, job
        placed += [replace(run, coreset=(job.name, entries[run.name])) for run, _ in users]
    return proxies, coresets, placed
