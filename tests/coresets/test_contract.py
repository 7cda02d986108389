"""What every registered coreset method keeps. A new method needs no edit here; an exception carries its reason."""

from __future__ import annotations

import inspect
import random
from typing import get_args

import numpy as np
import pytest
import torch

from orderdp.code_fingerprint import options, registry
from orderdp.coresets import CORESETS, ProxyOutputs, select
from orderdp.coresets.base import ARRAYS, Family
from orderdp.coresets.quotas import quotas
from tests.coresets.conftest import OPTIONS, SIZES, make_outputs, renumbered, replaced

N = sum(SIZES)
every = pytest.mark.parametrize("name", CORESETS)
every_balance = pytest.mark.parametrize("balance", [True, False, "equal"])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pick(name, outputs, budgets, seed=0, **options):
    return select(name, outputs, budgets, rng(seed), **OPTIONS.get(name, {}), **options)


def sets(selections):
    return [sorted(selection.indices.tolist()) for selection in selections]


def well_formed(selection, n_keep: int, n: int) -> None:
    indices, weights = selection
    assert indices.dtype == torch.int64 and indices.shape == (n_keep,)
    assert len(indices.unique()) == n_keep and int(indices.min()) >= 0 and int(indices.max()) < n
    if weights is not None:
        assert weights.dtype == torch.float32 and weights.shape == (n_keep,)
        assert bool((weights.isfinite() & (weights > 0)).all())
        assert float(weights.double().mean()) == pytest.approx(1, abs=1e-5)


@every
@every_balance
def test_selections_are_well_formed(name, outputs, balance):
    budgets = [3, 17, 40, N - 1, N]
    selections = pick(name, outputs, budgets, balance=balance)
    assert len(selections) == len(budgets)
    for n_keep, selection in zip(budgets, selections, strict=True):
        well_formed(selection, n_keep, N)
        assert (selection.weights is None) == (CORESETS[name].method.weigh is None)


@every
def test_classes_get_their_quotas(name, outputs):
    for balance in (True, "equal"):
        indices = pick(name, outputs, [31], balance=balance)[0].indices
        counts = outputs.labels[indices].bincount(minlength=3)
        assert counts.tolist() == quotas(SIZES, 31, range(3), equal=balance == "equal").tolist()


@every
@every_balance
def test_equal_calls_give_equal_answers(name, outputs, balance):
    first, again = (pick(name, outputs, [20], seed=5, balance=balance)[0] for _ in range(2))
    assert torch.equal(first.indices, again.indices)
    assert first.weights is None or torch.equal(first.weights, again.weights)


@every
def test_a_budgets_answer_does_not_depend_on_the_others(name, outputs):
    together = pick(name, outputs, [10, 25, 33])
    for n_keep, selection in zip([10, 25, 33], together, strict=True):
        alone = pick(name, outputs, [n_keep])[0]
        assert torch.equal(alone.indices, selection.indices)
        assert alone.weights is None or torch.equal(alone.weights, selection.weights)


@every
def test_nested_as_announced(name, outputs):
    small, large = pick(name, outputs, [12, 30], balance=False)
    if CORESETS[name].method.nested:
        assert torch.equal(small.indices, large.indices[:12])
    else:
        assert not CORESETS[name].method.scored


@every
@every_balance
def test_the_generator_is_advanced_equally_and_no_other_is_touched(name, outputs, balance):
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    mine, plain = rng(), rng()
    select(name, outputs, [9, 20], mine, balance=balance, **OPTIONS.get(name, {}))
    select("random", outputs, [4], plain, balance=False)
    assert mine.random() == plain.random()
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())


@every
def test_evidence_is_only_read(name):
    outputs, copy = make_outputs(), make_outputs()
    pick(name, outputs, [20])
    pick(name, outputs, [20], balance=False)
    for field in ARRAYS:
        assert torch.equal(getattr(outputs, field), getattr(copy, field)), field


@every
def test_renumbered_samples_get_the_same_answer(name, outputs):
    """The tie-breakers are the order of `members`: renumbered with the samples, they leave a method no way to tell."""
    function, method = CORESETS[name], CORESETS[name].method
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    other, new_number = renumbered(outputs, order), torch.empty(N, dtype=torch.int64)
    new_number[order] = torch.arange(N)
    members = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    n_keep = () if method.scored else (19,)
    before = function(outputs, members, *n_keep, rng(), **OPTIONS.get(name, {}))
    after = function(other, new_number[members], *n_keep, rng(), **OPTIONS.get(name, {}))
    if method.scored:
        torch.testing.assert_close(after, before)
    else:
        assert torch.equal(after, new_number[before])


def identical(outputs: ProxyOutputs) -> ProxyOutputs:
    """Every sample a copy of sample 0, labels aside."""
    same = renumbered(outputs, torch.zeros(outputs.n, dtype=torch.int64))
    return replaced(same, labels=outputs.labels)


DEGENERATE = {
    "identical samples": identical(make_outputs()),
    "features zero": replaced(make_outputs(), features=torch.zeros(N, 6), validation_features=torch.zeros(6, 6)),
    "saturated outputs": replaced(
        make_outputs(), logits=make_outputs().logits * 1e4, early_logits=make_outputs().early_logits * 1e4
    ),
    "huge features": replaced(make_outputs(), features=make_outputs().features * 1e5),
    "one sample in each class": make_outputs((1, 1, 1)),
    "one sample in a class": make_outputs((20, 1, 7)),
    "one class": make_outputs((12,)),
    "an absent class": make_outputs((9, 0, 8)),
    "one epoch, one model, one feature": make_outputs((9, 8), d=1, models=1, epochs=1),
    "half precision": replaced(
        make_outputs(), features=make_outputs().features.half(), logits=make_outputs().logits.half()
    ),
    "double precision": replaced(
        make_outputs(), features=make_outputs().features.double(), logits=make_outputs().logits.double()
    ),
}


@every
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_evidence(name, case):
    outputs = DEGENERATE[case]
    for n_keep in {3, (outputs.n + 3) // 2, outputs.n}:
        for balance in (True, False):
            well_formed(pick(name, outputs, [n_keep], balance=balance)[0], n_keep, outputs.n)


# Methods whose answer on equal samples is a matter of chance in another sense than "any of them".
CHOOSES_BETWEEN_EQUALS: dict[str, str] = {}


@every
def test_ties_are_broken_at_random(name):
    if name in CHOOSES_BETWEEN_EQUALS:
        pytest.skip(CHOOSES_BETWEEN_EQUALS[name])
    outputs = identical(make_outputs((10,)))
    counts = torch.zeros(10)
    for seed in range(150):
        counts[pick(name, outputs, [3], seed=seed)[0].indices] += 1
    assert float(((counts - 45) ** 2 / 31.5).sum()) < 40  # chi-square-like; 45 expected of each, variance 31.5


@every
def test_what_is_missing_is_named(name, outputs):
    for field in CORESETS[name].method.needs:
        with pytest.raises(
            ValueError, match=f"'{name}' needs the proxy output '{field}', .*: {ARRAYS[field].meaning[:20]}"
        ):
            pick(name, replaced(outputs, **{field: None}), [9])


@every
def test_broken_evidence_is_refused(name, outputs):
    for field in CORESETS[name].method.needs:
        tensor = getattr(outputs, field)
        with pytest.raises(ValueError, match=f"output '{field}' must be"):
            pick(name, replaced(outputs, **{field: tensor[..., :0]}), [9])
        if tensor.is_floating_point():
            broken = tensor.clone()
            broken.view(-1)[7 % broken.numel()] = torch.nan
            with pytest.raises(ValueError, match=f"'{field}' holds NaN or infinity"):
                pick(name, replaced(outputs, **{field: broken}), [9])


@every
def test_options_that_it_does_not_have(name, outputs):
    with pytest.raises(ValueError, match=f"Unknown option 'colour' of '{name}'. Known: "):
        pick(name, outputs, [9], colour="red")


@every
def test_what_is_said_of_a_method(name):
    function, method = CORESETS[name], CORESETS[name].method
    assert function.__doc__ and function.__doc__.split("\n\n")[0].strip().endswith((".", ":"))
    assert method.family in get_args(Family) and set(method.needs) <= ARRAYS.keys()
    module, entry = registry("coresets", "CORESETS")[name]
    assert (module, entry) == (function.__module__, function.__name__)
    parameters = inspect.signature(function).parameters.values()
    assert set(options(module, entry)) == {
        parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY
    }


def test_mistakes(outputs):
    mistakes = [
        (lambda: pick("greedy", outputs, [5]), r"Unknown coreset method 'greedy'. Known: random, "),
        (lambda: pick("random", outputs, [N + 1]), f"from 3, one for each class, to n = {N}. Got {N + 1}"),
        (lambda: pick("random", outputs, [2]), "from 3, one for each class,"),
        (lambda: pick("random", outputs, [0], balance=False), f"from 1 to n = {N}. Got 0"),
        (lambda: pick("random", outputs, [2.5]), "Each 'n_keep' must be an integer .* Got 2.5"),
        (lambda: pick("random", outputs, [True]), "Each 'n_keep' must be an integer .* Got True"),
        (lambda: pick("random", outputs, [9], balance="most"), "'balance' must be True, False or 'equal'. Got 'most'"),
        (lambda: pick("random", replaced(outputs, classes=2), [9]), r"'labels' must lie in 0..1. Got 0..2"),
        (lambda: pick("random", replaced(outputs, labels=outputs.labels.int()), [9]), r"'labels' must be int64 \(n,\)"),
        (
            lambda: pick("herding", replaced(outputs, features=torch.rand(5, 6)), [9]),
            rf"float \(n, d\), n = {N}. Got the shape \(5, 6\)",
        ),
        (lambda: pick("entropy", replaced(outputs, logits=torch.rand(N, 3)), [9]), r"\(models, n, k\)"),
    ]
    for call, message in mistakes:
        with pytest.raises(ValueError, match=message):
            call()


def test_no_budgets_no_selections(outputs):
    assert pick("random", outputs, []) == pick("herding", outputs, []) == []
