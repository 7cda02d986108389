"""What every registered coreset method keeps. A new method needs no edit here; an exception carries its reason."""

from __future__ import annotations

import inspect
import random
from typing import get_args

import numpy as np
import pytest
import torch

from orderdp import sources
from orderdp.coresets import CORESETS, Evidence, select
from orderdp.coresets.base import HELD, Family
from orderdp.coresets.quotas import quotas
from tests.coresets.conftest import OPTIONS, SIZES, make_evidence, renumbered, replaced

N = sum(SIZES)
every = pytest.mark.parametrize("name", CORESETS)
every_balance = pytest.mark.parametrize("balance", [True, False, "equal"])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pick(name, evidence, budgets, seed=0, **options):
    return select(name, evidence, budgets, rng(seed), **OPTIONS.get(name, {}), **options)


def sets(selections):
    return [sorted(selection.indices.tolist()) for selection in selections]


def well_formed(selection, budget: int, n: int) -> None:
    indices, weights = selection
    assert indices.dtype == torch.int64 and indices.shape == (budget,)
    assert len(indices.unique()) == budget and int(indices.min()) >= 0 and int(indices.max()) < n
    if weights is not None:
        assert weights.dtype == torch.float32 and weights.shape == (budget,)
        assert bool((weights.isfinite() & (weights > 0)).all())
        assert float(weights.double().mean()) == pytest.approx(1, abs=1e-5)


@every
@every_balance
def test_selections_are_well_formed(name, evidence, balance):
    budgets = [3, 17, 40, N - 1, N]
    selections = pick(name, evidence, budgets, balance=balance)
    assert len(selections) == len(budgets)
    for budget, selection in zip(budgets, selections, strict=True):
        well_formed(selection, budget, N)
        assert (selection.weights is None) == (CORESETS[name].method.weigh is None)


@every
def test_classes_get_their_quotas(name, evidence):
    for balance in (True, "equal"):
        indices = pick(name, evidence, [31], balance=balance)[0].indices
        counts = evidence.labels[indices].bincount(minlength=3)
        assert counts.tolist() == quotas(SIZES, 31, range(3), equal=balance == "equal").tolist()


@every
@every_balance
def test_equal_calls_give_equal_answers(name, evidence, balance):
    first, again = (pick(name, evidence, [20], seed=5, balance=balance)[0] for _ in range(2))
    assert torch.equal(first.indices, again.indices)
    assert first.weights is None or torch.equal(first.weights, again.weights)


@every
def test_a_budgets_answer_does_not_depend_on_the_others(name, evidence):
    together = pick(name, evidence, [10, 25, 33])
    for budget, selection in zip([10, 25, 33], together, strict=True):
        alone = pick(name, evidence, [budget])[0]
        assert torch.equal(alone.indices, selection.indices)
        assert alone.weights is None or torch.equal(alone.weights, selection.weights)


@every
def test_nested_as_announced(name, evidence):
    small, large = pick(name, evidence, [12, 30], balance=False)
    if CORESETS[name].method.nested:
        assert torch.equal(small.indices, large.indices[:12])
    else:
        assert not CORESETS[name].method.scored


@every
@every_balance
def test_the_generator_is_advanced_equally_and_no_other_is_touched(name, evidence, balance):
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    mine, plain = rng(), rng()
    select(name, evidence, [9, 20], mine, balance=balance, **OPTIONS.get(name, {}))
    select("random", evidence, [4], plain, balance=False)
    assert mine.random() == plain.random()
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())


@every
def test_evidence_is_only_read(name):
    evidence, copy = make_evidence(), make_evidence()
    pick(name, evidence, [20])
    pick(name, evidence, [20], balance=False)
    for field in HELD:
        assert torch.equal(getattr(evidence, field), getattr(copy, field)), field


@every
def test_renumbered_samples_get_the_same_answer(name, evidence):
    """The tie-breakers are the order of `members`: renumbered with the samples, they leave a method no way to tell."""
    function, method = CORESETS[name], CORESETS[name].method
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    other, new_number = renumbered(evidence, order), torch.empty(N, dtype=torch.int64)
    new_number[order] = torch.arange(N)
    members = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    budget = () if method.scored else (19,)
    before = function(evidence, members, *budget, rng(), **OPTIONS.get(name, {}))
    after = function(other, new_number[members], *budget, rng(), **OPTIONS.get(name, {}))
    if method.scored:
        torch.testing.assert_close(after, before)
    else:
        assert torch.equal(after, new_number[before])


def identical(evidence: Evidence) -> Evidence:
    """Every sample a copy of sample 0, labels aside."""
    same = renumbered(evidence, torch.zeros(evidence.n, dtype=torch.int64))
    return replaced(same, labels=evidence.labels)


DEGENERATE = {
    "identical samples": identical(make_evidence()),
    "features zero": replaced(make_evidence(), features=torch.zeros(N, 6), validation_features=torch.zeros(6, 6)),
    "saturated outputs": replaced(
        make_evidence(), logits=make_evidence().logits * 1e4, early_logits=make_evidence().early_logits * 1e4
    ),
    "huge features": replaced(make_evidence(), features=make_evidence().features * 1e5),
    "one sample in each class": make_evidence((1, 1, 1)),
    "one sample in a class": make_evidence((20, 1, 7)),
    "one class": make_evidence((12,)),
    "an absent class": make_evidence((9, 0, 8)),
    "one epoch, one model, one feature": make_evidence((9, 8), d=1, models=1, epochs=1),
    "half precision": replaced(
        make_evidence(), features=make_evidence().features.half(), logits=make_evidence().logits.half()
    ),
    "double precision": replaced(
        make_evidence(), features=make_evidence().features.double(), logits=make_evidence().logits.double()
    ),
}


@every
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_evidence(name, case):
    evidence = DEGENERATE[case]
    for budget in {3, (evidence.n + 3) // 2, evidence.n}:
        for balance in (True, False):
            well_formed(pick(name, evidence, [budget], balance=balance)[0], budget, evidence.n)


# Methods whose answer on equal samples is a matter of chance in another sense than "any of them".
CHOOSES_BETWEEN_EQUALS: dict[str, str] = {}


@every
def test_ties_are_broken_at_random(name):
    if name in CHOOSES_BETWEEN_EQUALS:
        pytest.skip(CHOOSES_BETWEEN_EQUALS[name])
    evidence = identical(make_evidence((10,)))
    counts = torch.zeros(10)
    for seed in range(150):
        counts[pick(name, evidence, [3], seed=seed)[0].indices] += 1
    assert float(((counts - 45) ** 2 / 31.5).sum()) < 40  # chi-square-like; 45 expected of each, variance 31.5


@every
def test_what_is_missing_is_named(name, evidence):
    for field in CORESETS[name].method.needs:
        with pytest.raises(ValueError, match=f"'{name}' needs the evidence '{field}', .*: {HELD[field].meaning[:20]}"):
            pick(name, replaced(evidence, **{field: None}), [9])


@every
def test_broken_evidence_is_refused(name, evidence):
    for field in CORESETS[name].method.needs:
        tensor = getattr(evidence, field)
        with pytest.raises(ValueError, match=f"evidence '{field}' must be"):
            pick(name, replaced(evidence, **{field: tensor[..., :0]}), [9])
        if tensor.is_floating_point():
            broken = tensor.clone()
            broken.view(-1)[7 % broken.numel()] = torch.nan
            with pytest.raises(ValueError, match=f"'{field}' holds NaN or infinity"):
                pick(name, replaced(evidence, **{field: broken}), [9])


@every
def test_options_that_it_does_not_have(name, evidence):
    with pytest.raises(ValueError, match=f"Unknown option 'colour' of '{name}'. Known: "):
        pick(name, evidence, [9], colour="red")


@every
def test_what_is_said_of_a_method(name):
    function, method = CORESETS[name], CORESETS[name].method
    assert function.__doc__ and function.__doc__.splitlines()[0].endswith((".", ":"))
    assert method.family in get_args(Family) and set(method.needs) <= HELD.keys()
    module, entry = sources.registry("coresets", "CORESETS")[name]
    assert (module, entry) == (function.__module__, function.__name__)
    parameters = inspect.signature(function).parameters.values()
    assert set(sources.options(module, entry)) == {
        parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY
    }


def test_mistakes(evidence):
    mistakes = [
        (lambda: pick("greedy", evidence, [5]), r"Unknown coreset method 'greedy'. Known: random, "),
        (lambda: pick("random", evidence, [N + 1]), f"from 3, one for each class, to n = {N}. Got {N + 1}"),
        (lambda: pick("random", evidence, [2]), "from 3, one for each class,"),
        (lambda: pick("random", evidence, [0], balance=False), f"from 1 to n = {N}. Got 0"),
        (lambda: pick("random", evidence, [2.5]), "A budget must be an integer .* Got 2.5"),
        (lambda: pick("random", evidence, [True]), "A budget must be an integer .* Got True"),
        (lambda: pick("random", evidence, [9], balance="most"), "'balance' must be True, False or 'equal'. Got 'most'"),
        (lambda: pick("random", replaced(evidence, classes=2), [9]), r"'labels' must lie in 0..1. Got 0..2"),
        (
            lambda: pick("random", replaced(evidence, labels=evidence.labels.int()), [9]),
            r"'labels' must be int64 \(n,\)",
        ),
        (
            lambda: pick("herding", replaced(evidence, features=torch.rand(5, 6)), [9]),
            rf"float \(n, d\), n = {N}. Got the shape \(5, 6\)",
        ),
        (lambda: pick("entropy", replaced(evidence, logits=torch.rand(N, 3)), [9]), r"\(models, n, k\)"),
    ]
    for call, message in mistakes:
        with pytest.raises(ValueError, match=message):
            call()


def test_no_budgets_no_selections(evidence):
    assert pick("random", evidence, []) == pick("herding", evidence, []) == []
