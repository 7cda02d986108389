"""From a proxy's outputs to coresets: checks, classes, and one coreset for each size."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orderdp.compat import renamed_arguments
from orderdp.coresets.base import Method, ProxyOutputs
from orderdp.coresets.quotas import quotas
from orderdp.pruning.subset import Subset

Balance = bool | Literal["equal"]


@renamed_arguments(evidence="outputs", budgets="n_keep")
def select(
    name: str,
    outputs: ProxyOutputs,
    n_keep: Sequence[int],
    rng: np.random.Generator,
    *,
    balance: Balance = True,
    **options: Any,
) -> list[Subset]:
    """Coresets of one method, one for each size.

    A coreset is the same whatever other sizes are chosen with it, and a function of the outputs, the
    options and `rng`; it uses no other randomness. If the samples are renumbered, other samples may win where a method
    is indifferent, and no others.

    Args:
        name: a key of `CORESETS`.
        outputs: of the proxy, with everything that the method `needs`.
        n_keep: sizes of the coresets, each from 1 (with `balance` from the number of classes) to n.
        rng: is advanced by the same amount whatever the method.
        balance: True selects from each class in proportion to its size, "equal" as many from each (small classes
            whole), and the classes take turns in the result; False selects from all samples at once.
        options: keyword-only arguments of the method.

    Raises:
        ValueError: an unknown method or option, a size out of range, or outputs that are missing or broken.

    Example:
        >>> import numpy as np
        >>> from orderdp.coresets import ProxyOutputs
        >>> outputs = ProxyOutputs(torch.arange(20) % 2, classes=2)
        >>> (coreset,) = select("random", outputs, [6], np.random.default_rng(0))
        >>> len(coreset.indices), outputs.labels[coreset.indices].bincount().tolist()
        (6, [3, 3])
    """
    function, method = _find(name)
    _check_options(name, function, options)
    outputs.check(name, method.needs)
    if balance not in (True, False, "equal"):
        raise ValueError(f"'balance' must be True, False or 'equal'. Got {balance!r}.")
    present = int(outputs.labels.bincount().count_nonzero()) if balance else 1
    for count in n_keep:
        _check_size(count, present, outputs.n)

    seed, everyone, keys = int(rng.integers(2**63)), rng.permutation(outputs.n), rng.permutation(outputs.classes)
    shuffled = torch.from_numpy(everyone).to(outputs.labels.device)
    groups = _by_class(shuffled, outputs.labels) if balance else [shuffled]
    turns = keys[[int(outputs.labels[group[0]]) for group in groups]] if balance else keys[:1]
    shares = [quotas([len(group) for group in groups], int(count), turns, equal=balance == "equal") for count in n_keep]
    answer = _answers(partial(function, outputs, **options), method, shuffled, groups, shares, seed)

    selections = []
    for share in shares:
        chosen = [answer(group, int(quota)) for group, quota in enumerate(share)]
        order = _take_turns(share, turns)
        weights = None
        if method.weigh is not None:
            weights = _weights(method.weigh, outputs, groups, chosen, options)[order]
        selections.append(Subset(torch.cat(chosen).cpu()[order], weights))
    return selections


def _answers(
    function: Callable[..., Tensor],
    method: Method,
    shuffled: Tensor,
    groups: Sequence[Tensor],
    shares: Sequence[NDArray[np.int64]],
    seed: int,
) -> Callable[[int, int], Tensor]:
    """(group, quota) -> the members chosen, best first. Whatever serves all sizes is computed here, once."""

    def ask(group: int, quota: int) -> Tensor:
        # A generator of its own for each call: no answer depends on which others were asked for before it.
        members = function(groups[group], quota, np.random.default_rng([seed, group]))
        assert len(members) == quota, f"a method gave {len(members)} of {quota} samples"
        return members

    if method.scored:
        scores = function(shuffled, np.random.default_rng([seed, 0]))
        ranked = shuffled[_descending(scores)]
        place = torch.empty_like(ranked)
        place[ranked] = torch.arange(len(ranked), device=ranked.device)
        longest = [group[place[group].argsort()] for group in groups]
    elif method.nested and shares:
        longest = [ask(group, int(quota)) for group, quota in enumerate(np.max(shares, axis=0))]
    else:
        return ask
    return lambda group, quota: longest[group][:quota]


def _descending(scores: Tensor) -> Tensor:
    """Positions from the largest score to the smallest; equal ones in the order given. Rows are compared column by
    column."""
    assert not bool(scores.isnan().any()), "a method scored a sample NaN"
    columns = scores.reshape(len(scores), -1)
    order = torch.arange(len(scores), device=scores.device)
    for column in reversed(range(columns.shape[1])):
        order = order[columns[order, column].argsort(descending=True, stable=True)]
    return order


def _by_class(shuffled: Tensor, labels: Tensor) -> list[Tensor]:
    """The members of each class that has any, in the shuffled order."""
    drawn = labels[shuffled]
    by_label = shuffled[drawn.argsort(stable=True)]
    sizes = drawn.bincount()
    return list(torch.split(by_label, sizes[sizes > 0].tolist()))


def _take_turns(share: NDArray[np.int64], turns: NDArray[np.int64]) -> Tensor:
    """Merges the classes' answers, concatenated, so that any beginning of the result holds them in about their
    proportions."""
    place = np.concatenate([(np.arange(quota) + 0.5) / quota for quota in share])
    return torch.from_numpy(np.lexsort((np.repeat(turns, share), place)))


def _weights(
    weigh: Callable[..., Tensor],
    outputs: ProxyOutputs,
    groups: Sequence[Tensor],
    chosen: Sequence[Tensor],
    options: Mapping[str, Any],
) -> Tensor:
    """float32: the chosen ones' weights, concatenated, with mean 1."""
    known = {key: value for key, value in options.items() if key in _options(weigh)}
    parts = [weigh(outputs, group, some, **known).double().cpu() for group, some in zip(groups, chosen, strict=True)]
    weights = torch.cat(parts)
    assert bool((weights.isfinite() & (weights > 0)).all()), (
        f"{weigh.__name__} gave a weight that is not positive and finite"
    )
    return (weights / weights.mean()).float()


def _find(name: str) -> tuple[Callable[..., Tensor], Method]:
    from orderdp.coresets import CORESETS  # the registry imports the methods, and they import this package

    if name not in CORESETS:
        raise ValueError(f"Unknown coreset method {name!r}. Known: {', '.join(CORESETS)}.")
    function = CORESETS[name]
    return function, function.method  # type: ignore[attr-defined]


def _options(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    return {key: parameter for key, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}


def _check_options(name: str, function: Callable[..., Tensor], options: Mapping[str, Any]) -> None:
    known = _options(function)
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ValueError(f"Unknown option {unknown[0]!r} of '{name}'. Known: {', '.join(known) or 'none'}.")
    missing = [key for key, parameter in known.items() if parameter.default is parameter.empty and key not in options]
    if missing:
        raise ValueError(f"'{name}' needs the option '{missing[0]}'.")


def _check_size(count: Any, least: int, n: int) -> None:
    if isinstance(count, bool) or not isinstance(count, Integral) or not least <= int(count) <= n:
        why = f"{least}, one for each class," if least > 1 else "1"
        raise ValueError(f"Each 'n_keep' must be an integer from {why} to n = {n}. Got {count!r}.")
