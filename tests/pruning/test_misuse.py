"""Mistakes in a user's own loop that would otherwise train on everything without a word."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from orderdp.pruning import (
    PRUNERS,
    Indexed,
    InfoBatch,
    OrderDP,
    OrderDPBatches,
    RandomPruning,
    StaticSubset,
    StreamingOrderDP,
)
from orderdp.pruning.scheduled import ScheduledOrderDP

DATA = TensorDataset(torch.arange(40.0))


def made(name: str) -> object:
    """A pruner of every registered method, for 40 samples."""
    cls = PRUNERS[name]
    if cls is StaticSubset:
        return cls(40, indices=torch.arange(20))
    if name == "full":
        return cls(40)
    if cls is OrderDPBatches:
        return cls(40, candidates=8, batch_size=4)
    return cls.at_ratio(40, 0.5)


@pytest.mark.parametrize("name", PRUNERS)
def test_a_loader_without_the_pruner_is_noticed_at_the_first_update(name):
    pruner = made(name)
    index, _ = next(iter(DataLoader(Indexed(DATA), batch_size=10, shuffle=True)))
    with pytest.raises(
        RuntimeError,
        match=r"No epoch of this \w+ has begun.*sampler=pruner.*begin_epoch\(epoch\).*prime\(indices, losses\)",
    ):
        pruner.update(index, torch.ones(10))
    pruner.begin_epoch(0)
    pruner.update(index, torch.ones(10))


def test_a_resumed_pruner_goes_on_in_its_epoch():
    pruner = OrderDP(40)
    pruner.begin_epoch(3)
    resumed = OrderDP(40)
    resumed.load_state_dict(pruner.state_dict())
    resumed.update(torch.arange(5), torch.ones(5))


def test_losses_from_before_training_are_learnt_from_and_begin_no_epoch():
    pruner = OrderDP(40, explore=1.0, exploit=0.25)
    pruner.prime(torch.arange(40), torch.arange(40.0))
    assert sorted(pruner.begin_epoch(0).indices.tolist()) == list(range(30, 40))
    with pytest.raises(ValueError, match="per sample"):
        pruner.prime(torch.arange(3), torch.tensor(1.0))


@pytest.mark.parametrize("name", ["orderdp", "infobatch", "ucb", "epsilon_greedy"])
def test_an_epoch_without_a_loss_is_warned_of_once(name):
    pruner = made(name)
    loader = DataLoader(Indexed(DATA), sampler=pruner, batch_size=10)
    list(loader)
    with pytest.warns(
        UserWarning, match=r"saw no loss in the whole of its last epoch.*pruner\.update\(index, losses\)"
    ):
        list(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(loader)


def test_methods_that_need_no_losses_do_not_ask_for_them():
    loader = DataLoader(Indexed(DATA), sampler=RandomPruning(40, prune_ratio=0.5), batch_size=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            list(loader)


@pytest.mark.parametrize("indices", [torch.rand(4, 1, 8, 8), torch.rand(4), ["cat", "dog"], [{"x": 1}]])
def test_a_missing_index_is_explained(indices):
    pruner = OrderDP(40)
    pruner.begin_epoch(0)
    with pytest.raises(ValueError, match=r"DataLoader\(Indexed\(dataset\), \.\.\.\)"):
        pruner.update(indices, torch.ones(4))


def test_a_stream_that_was_not_iterated_is_noticed():
    with pytest.raises(RuntimeError, match="No iteration over this StreamingOrderDP has begun"):
        StreamingOrderDP([1, 2], pool=2, batch_size=2, fresh=1, explore=1.0).update(torch.arange(2), torch.ones(2))


@pytest.mark.parametrize("n", [10, 97, 1000])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.7, 0.9])
def test_a_prune_ratio_may_be_given_to_the_constructor(n, ratio):
    ours, named = OrderDP(n, prune_ratio=ratio, seed=3), OrderDP.at_ratio(n, ratio, seed=3)
    assert (ours.candidates, ours.kept) == (named.candidates, named.kept)
    assert ours.kept == round((1 - ratio) * n)
    assert torch.equal(ours.select(2).indices, named.select(2).indices)
    with_explore = OrderDP(n, prune_ratio=ratio, explore=0.95)
    assert (with_explore.candidates, with_explore.kept) == (round(0.95 * n), round((1 - ratio) * n))


def test_contradicting_shares_are_one_clear_error():
    with pytest.raises(
        ValueError, match=r"'prune_ratio' = 0.7 of OrderDP contradicts 'explore' = 0.5 with 'exploit' = 0.6"
    ):
        OrderDP(100, prune_ratio=0.7, explore=0.5, exploit=0.6)
    with pytest.raises(ValueError, match=r"'batch_size' = 4 or 'prune_ratio' = 0.5, not both"):
        OrderDPBatches(100, batch_size=4, prune_ratio=0.5)
    with pytest.raises(ValueError, match="needs 'candidates' and 'batch_size', or a 'prune_ratio'"):
        OrderDPBatches(100, candidates=8)


class Gentle(OrderDP):
    """A subclass as the docs write it: what it does not know goes to its base."""

    def __init__(self, n: int, *, floor: float = 0.1, **options: object) -> None:
        super().__init__(n, **options)
        self.floor = floor


@pytest.mark.parametrize(
    "pruner",
    [
        OrderDP(100, prune_ratio=0.7),
        OrderDP(100, explore=0.8, seed=4),
        OrderDPBatches(100, prune_ratio=0.5),
        ScheduledOrderDP(100, prune_ratio=0.5, rise=0.2, epochs=4),
        Gentle(100, floor=0.2, explore=0.9, seed=2),
        Gentle.at_ratio(100, 0.6, floor=0.3),
        InfoBatch(100, prune_ratio=0.5),
    ],
    ids=repr,
)
def test_the_representation_builds_an_equal_pruner(pruner):
    again = eval(repr(pruner))
    for other in (again, copy.deepcopy(pruner), pickle.loads(pickle.dumps(pruner))):
        assert repr(other) == repr(pruner)
        assert torch.equal(other.select(1).indices, pruner.select(1).indices)
    pruner.grow(120)
    assert pruner.n == 120 and repr(pruner).startswith(f"{type(pruner).__name__}(120")
