"""Epochs, iterations and ranks over whole trainings, and exact budgets down to two samples; beside
`test_contract.py`."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from orderdp.pruning import PRUNERS
from orderdp.pruning import base as base_module
from orderdp.pruning import orderdp_batches as batches_module
from orderdp.pruning.observations import joined
from tests.pruning.conftest import LOSSES, RATIO, SAMPLERS, WITH_REPETITIONS, N, loss_table, make, train, walked

every_method = pytest.mark.parametrize("name", PRUNERS)
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


@every_method
def test_global_seeds_have_no_influence(name):
    histories = []
    for seed in (0, 1):
        torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
        histories.append(train(make(name), range(5)))
    assert histories[0] == histories[1]


@every_method
def test_looking_ahead_has_no_influence(name):
    curious, plain = make(name), make(name)
    for epoch in range(6):
        curious.select(9), curious.select(epoch), curious.prune_ratio, len(curious), repr(curious)
        assert train(curious, range(epoch, epoch + 1)) == train(plain, range(epoch, epoch + 1))
    assert curious.usage.tolist() == plain.usage.tolist()


@every_method
def test_without_set_epoch_every_full_iteration_is_an_epoch(name):
    automatic, named = make(name), make(name)
    for epoch in range(4):
        named.set_epoch(epoch)
        assert walked(automatic) == walked(named)
    assert automatic.usage.tolist() == named.usage.tolist()


@every_method
def test_an_abandoned_iteration_is_repeated_and_counted_once(name):
    pruner, whole = make(name), make(name)
    first = next(iter(pruner))
    assert next(iter(pruner)) == first
    assert walked(pruner) == walked(whole)
    assert pruner.usage.tolist() == whole.usage.tolist() and pruner.realised_prune_ratio == whole.realised_prune_ratio
    assert walked(pruner) == walked(whole), "and after a whole one comes the next epoch"


@every_method
@pytest.mark.parametrize("named", [False, True])
def test_an_iteration_cannot_go_on_beside_a_newer_one(name, named):
    pruner = make(name)
    if named:
        pruner.set_epoch(0)
    older = iter(pruner)
    next(older)
    newer = iter(pruner)
    with pytest.raises(
        RuntimeError, match=f"This iteration over {type(pruner).__name__} is over: a newer one has started"
    ):
        next(older)
    assert len(list(newer)) == len(pruner)


@every_method
def test_going_back_to_an_earlier_epoch_begins_it_again(name):
    pruner = make(name)
    train(pruner, range(3))
    again = train(pruner, range(3))
    assert pruner.usage.sum() == round((1 - pruner.realised_prune_ratio) * 6 * N)
    assert sum(map(len, again)) > 0


class OnRank:
    """A pruner in a process of its own, as far as it can see."""

    def __init__(self, pruner, place, rank, world):
        self.pruner, self.shared, self.place = pruner, place, [rank, world]

    def __getattr__(self, attribute):
        self.shared[:] = self.place
        return getattr(self.pruner, attribute)

    def __len__(self):
        self.shared[:] = self.place
        return len(self.pruner)

    def walked(self):
        self.shared[:] = self.place
        return list(self.pruner)


@every_method
@pytest.mark.parametrize("world", [2, 3, 5])
def test_ranks_deal_out_every_epoch_of_a_training(name, world, monkeypatch):
    place = [0, 1]
    observed: list[tuple[torch.Tensor, torch.Tensor]] = []
    for module in (base_module, batches_module):
        monkeypatch.setattr(module, "rank_and_world_size", lambda: tuple(place))
    # What the ranks exchange is what all of them reported, in rank order.
    monkeypatch.setattr(base_module, "gather", lambda *_: joined(observed))
    ranks = [OnRank(make(name), place, rank, world) for rank in range(world)]
    for epoch in range(5):
        for one in ranks:
            one.set_epoch(epoch)
        observed.clear()
        announced = {len(one) for one in ranks}
        shares = [one.walked() for one in ranks]
        assert announced == {len(share) for share in shares}, "as many steps everywhere"
        selections = [one.begin_epoch(epoch).indices for one in ranks]
        assert len({tuple(selection.tolist()) for selection in selections}) == 1
        pieces = selections[0].split(ranks[0].batch_size) if name in WITH_REPETITIONS else [selections[0]]
        parts = zip(*shares, strict=True) if name in WITH_REPETITIONS else [shares]
        for piece, turns in zip(pieces, parts, strict=True):
            dealt = [index for turn in zip(*turns, strict=True) for index in turn]
            padding = len(dealt) - len(piece)
            assert 0 <= padding < world
            assert dealt == piece.tolist() + piece.tolist()[:padding]
        for one, share in zip(ranks, shares, strict=True):
            indices = torch.tensor(share).reshape(-1)
            one.observe(indices, LOSSES[epoch, indices])
            observed.append((indices, LOSSES[epoch, indices]))
            assert one.usage.tolist() == ranks[0].usage.tolist(), "padding is not counted"
        if name not in WITH_REPETITIONS:
            assert len(set(selections[0].tolist())) == len(selections[0])


def nearest_multiple(wanted, step):
    return max(1, round(wanted / step)) * step


def half(n):
    return round((1 - RATIO) * n)


# Samples that each method keeps from its second epoch on; those left out have no fixed number.
EXACT = {
    "full": lambda n: n,
    "random": half,
    "epsilon_greedy": half,
    "ucb": half,
    "orderdp": half,
    "static": half,
    "orderdp_batches": lambda n: nearest_multiple(half(n), half(min(24, n))),
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("n", [2, 3, 10, 97, 1000])
def test_the_budget_is_exact_where_a_method_has_one(name, n):
    pruner = make(name, n=n)
    losses = loss_table(6, n)
    train(pruner, range(1), losses)
    for epoch in range(1, 6):
        assert sum(map(len, train(pruner, range(epoch, epoch + 1), losses))) == EXACT[name](n)


@every_method
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_training_whose_losses_all_broke_down_goes_on(name, value):
    pruner = make(name)
    train(pruner, range(2), torch.full((2, N), value))
    for epoch in range(2, 6):
        weights = pruner.select(epoch).weights
        assert weights is None or bool((weights.isfinite() & (weights > 0)).all())
        batches = train(pruner, range(epoch, epoch + 1))
        if name in EXACT:
            assert sum(map(len, batches)) == EXACT[name](N)
