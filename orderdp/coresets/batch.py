"""Many coresets from the same proxy outputs, and what choosing each of them cost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from orderdp.coresets import CORESETS
from orderdp.coresets.choosing import choose, holds_out


class Wanted(Protocol):
    """One coreset to choose."""

    @property
    def label(self) -> str: ...
    @property
    def choice(self) -> Any:
        """An `orderdp.spec.CoresetChoice`."""

    @property
    def seed(self) -> int: ...


def choose_all(
    wanted: Mapping[str, Wanted],
    arrays: Mapping[str, NDArray[Any]],
    networks: Sequence[Mapping[str, Any]],
    say: Callable[[str], None],
) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
    """Chooses coresets that share a proxy.

    Args:
        wanted: name -> the coreset to choose.
        arrays: the proxy's outputs, as `orderdp.training.proxy` records them.
        networks: what each of the proxy's networks cost, in its order of training.
        say: receives a line for each method and seed.

    Returns:
        (name -> int32 indices, and `<name>.weights` -> weights where the method has them; a row of costs for each
        method and seed: `select_s` to choose the coresets of all ratios, `proxy_s` of the networks that it looks at).
    """
    with contextlib.suppress(ImportError):
        import sklearn.cluster  # noqa: F401  # an import is no part of a method's cost
    chosen: dict[str, NDArray[Any]] = {}
    costs = []
    for group in _groups(wanted):
        first = next(iter(group.values()))
        function = CORESETS[first.choice.method]
        t0 = time.perf_counter()
        ratios = [each.choice.prune_ratio for each in group.values()]
        for name, subset in zip(group, choose(function, arrays, first.choice, ratios, first.seed), strict=True):
            chosen[name] = subset.indices.numpy().astype(np.int32)
            if subset.weights is not None:
                chosen[f"{name}.weights"] = subset.weights.numpy()
        seconds = time.perf_counter() - t0
        method = function.method  # type: ignore[attr-defined]
        row = {"method": first.label, "function": first.choice.method, "family": method.family, "seed": first.seed}
        costs.append(row | {"select_s": seconds, "proxy_s": proxy_seconds(method.needs, first.choice, networks)})
        say(f"{first.label}, seed {first.seed}: {seconds:.2f} s")
    return chosen, costs


def proxy_seconds(needs: tuple[str, ...], choice: Any, networks: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of training and recording that a method's inputs took, as if no other method had shared them."""
    seen, (*full, split) = set(needs), networks
    if not seen:
        return 0.0
    if holds_out(needs):
        return float(split["seconds"] + split["outputs_s"])
    used = full[-choice.models :]
    if seen <= {"early_logits", "early_norms"}:
        return float(sum(row[f"seconds_at_{choice.epoch}"] for row in used))
    if seen <= {"correct", "losses"}:
        return float(used[-1]["seconds"])
    if seen == {"perturbation"}:
        return float(used[-1]["seconds"] + used[-1]["deepfool_s"])
    return float(sum(row["seconds"] + row["outputs_s"] for row in used))


def _groups(wanted: Mapping[str, Wanted]) -> list[dict[str, Wanted]]:
    """Coresets that differ by their prune ratio alone, because one order of the samples serves them all."""
    groups: dict[tuple[str, str, int], dict[str, Wanted]] = {}
    for name, each in wanted.items():
        alike = each.choice.model_copy(update={"prune_ratio": 0.5}).canonical()
        groups.setdefault((each.label, alike, each.seed), {})[name] = each
    return list(groups.values())
