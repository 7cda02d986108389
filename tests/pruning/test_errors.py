"""Wrong use is refused at once, with a message that names the argument, the value and what would do."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import IterableDataset

from orderdp.pruning import (
    PRUNERS,
    UCB,
    EpsilonGreedy,
    FullData,
    Indexed,
    InfoBatch,
    OrderDP,
    OrderDPBatches,
    RandomPruning,
    StaticSubset,
)  # fmt: skip
from tests.pruning.conftest import N, make, train

nan, inf = float("nan"), float("inf")

CONSTRUCTIONS = [
    (lambda: FullData(0), "'n' of FullData must be an integer of at least 1. Got 0."),
    (lambda: FullData(2.5), "'n' of FullData must be an integer of at least 1. Got 2.5."),
    (lambda: FullData(True), "'n' of FullData must be an integer of at least 1. Got True."),
    (lambda: FullData(5, seed=-1), "'seed' of FullData must be an integer of at least 0. Got -1."),
    (lambda: FullData.at_ratio(5, 0.5), "'prune_ratio' of FullData must be 0"),
    (lambda: RandomPruning(3, prune_ratio=0.9), "'prune_ratio' of RandomPruning must keep at least one of n = 3"),
    (lambda: UCB(9, prune_ratio=0.5, smoothing=0.0), r"'smoothing' of UCB must be in \(0, 1\]. Got 0.0."),
    (lambda: UCB(9, prune_ratio=0.5, period=0), "'period' of UCB must be an integer of at least 1. Got 0."),
    (lambda: UCB(9, prune_ratio=0.5, warmup_epochs=-1), "'warmup_epochs' of UCB must be an integer of at least 0"),
    (lambda: UCB(9, prune_ratio=0.5, variance_weight=-1.0), "'variance_weight' of UCB must be .* at least 0. Got -1.0"),
    (lambda: UCB(9, prune_ratio=0.5, variance_weight=nan), "'variance_weight' of UCB must be .* Got nan"),
    (
        lambda: EpsilonGreedy(9, prune_ratio=0.5, epsilon=1.5),
        r"'epsilon' of EpsilonGreedy must be in \[0, 1\]. Got 1.5.",
    ),
    (lambda: InfoBatch(9, prune_ratio=0.5, ratio_of="exact"), "must be 'below_mean' or 'all'. Got 'exact'."),
    (lambda: InfoBatch(9, prune_ratio=0.5, min_keep=0), r"'min_keep' of InfoBatch must be in \(0, 1\]. Got 0."),
    (lambda: InfoBatch(9, prune_ratio=0.5, annealing=0.875), "'annealing' needs 'epochs'"),
    (lambda: InfoBatch(9, prune_ratio=0.5, annealing=2, epochs=3), r"'annealing' of InfoBatch must be in \(0, 1\]"),
    (lambda: InfoBatch(9, prune_ratio=0.5, epochs=0), "'epochs' of InfoBatch must be an integer of at least 1"),
    (lambda: OrderDP(9, explore=0.0), r"'explore' of OrderDP must be in \(0, 1\]. Got 0.0."),
    (lambda: OrderDP(9, exploit=1.1), r"'exploit' of OrderDP must be in \(0, 1\]. Got 1.1."),
    (lambda: OrderDP(9, explore=nan), r"'explore' of OrderDP must be in \(0, 1\]. Got nan."),
    (lambda: OrderDP(9, explore="half"), r"'explore' of OrderDP must be in \(0, 1\]. Got 'half'."),
    (lambda: OrderDP(10, explore=0.1, exploit=0.1), "keeps no sample"),
    (lambda: OrderDP(9, initial_score=nan), "'initial_score' of OrderDP must be a number or infinity. Got nan."),
    (lambda: OrderDP.at_ratio(100, 0.5, explore=0.4), "q > s: .* Raise 'explore' to at least 0.5"),
    (
        lambda: OrderDPBatches(9, candidates=10, batch_size=2),
        "'candidates' of OrderDPBatches must be at most n = 9. Got 10.",
    ),
    (lambda: OrderDPBatches(9, candidates=4, batch_size=5), "q > s: 'batch_size' = 5 exceeds 'candidates' = 4"),
    (
        lambda: OrderDPBatches(9, candidates=4, batch_size=0),
        "'batch_size' of OrderDPBatches must be an integer of at least 1",
    ),
    (lambda: OrderDPBatches(9, candidates=4, batch_size=2, steps=0), "'steps' of OrderDPBatches must be an integer"),
    (lambda: StaticSubset(9, indices=[]), "'indices' of StaticSubset must be non-empty and unique"),
    (lambda: StaticSubset(9, indices=[1, 2, 1]), "non-empty and unique. Got 3, 2 distinct"),
    (lambda: StaticSubset(9, indices=[1, 2], weights=[1.0]), "one weight per index: 2"),
    (
        lambda: StaticSubset(9, indices=[1, 2], weights=[1.0, 0.0]),
        "'weights' of StaticSubset must be positive and finite",
    ),
    (
        lambda: StaticSubset(9, indices=[1, 2], weights=[1.0, inf]),
        "'weights' of StaticSubset must be positive and finite",
    ),
    (lambda: FullData(9).shard(2, 2), "'rank' of FullData must be below 'world_size' = 2. Got 2."),
    (lambda: FullData(9).shard(0, 0), "'world_size' of FullData must be an integer of at least 1"),
    (lambda: FullData(9).set_epoch(-1), "'epoch' of FullData must be an integer of at least 0. Got -1."),
    (lambda: FullData(9).begin_epoch(1.0), "'epoch' of FullData must be an integer of at least 0. Got 1.0."),
]


@pytest.mark.parametrize(("call", "message"), CONSTRUCTIONS, ids=[message[:50] for _, message in CONSTRUCTIONS])
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", [name for name in PRUNERS if name != "full"])
@pytest.mark.parametrize("ratio", [0, 1, 1.0, -0.1, 1.5, nan, inf, "0.5", None, True])
def test_a_ratio_outside_of_0_to_1_is_refused_by_every_method(name, ratio):
    with pytest.raises(ValueError, match=rf"'prune_ratio' of \w+ must be in \(0, 1\). Got {ratio!r}"):
        PRUNERS[name].at_ratio(N, ratio)


def test_indices_out_of_range_are_named():
    with pytest.raises(IndexError, match=r"Index 9 is out of range for a pruner over n = 9 samples"):
        StaticSubset(9, indices=[1, 9])
    for wrong in (-1, N):
        with pytest.raises(IndexError, match=rf"Index {wrong} is out of range for a pruner over n = {N} samples"):
            make("orderdp").observe([0, wrong], torch.zeros(2))


INDICES = [torch.tensor([0.0, 1.0]), torch.tensor([True, False]), torch.zeros(2, 1, dtype=torch.int64), torch.tensor(1)]


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("indices", INDICES, ids=["floats", "booleans", "2-d", "0-d"])
def test_indices_that_are_no_list_of_integers_are_refused(name, indices):
    for call in (lambda p: p.observe(indices, torch.zeros(2)), lambda p: p.weights(indices)):
        with pytest.raises(ValueError, match=r"Indices must be a 1-d tensor of integers.*Got torch\."):
            call(make(name))


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("call", ["observe", "update"])
@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (torch.tensor(1.0), r"per sample: shape \(2,\) for 2 indices, got \(\)\. .*reduction=\"none\""),
        (torch.zeros(3), r"per sample: shape \(2,\) for 2 indices, got \(3,\)"),
        (torch.zeros(2, 5), r"per sample: shape \(2,\) for 2 indices, got \(2, 5\)"),
        (torch.zeros(2, dtype=torch.int64), r"must be a tensor of floats, one per sample. Got torch.int64"),
        ([0.5, 0.5], r"must be a tensor of floats, one per sample. Got list"),
        (0.5, r"must be a tensor of floats, one per sample. Got float"),
    ],
    ids=["mean", "other length", "2-d", "integers", "list", "number"],
)
def test_losses_that_are_not_per_sample_are_refused(name, call, losses, message):
    pruner = make(name)
    with pytest.raises(ValueError, match=message):
        getattr(pruner, call)([0, 1], losses)
    train(pruner, range(2))  # nothing half taken in


@pytest.mark.parametrize("name", PRUNERS)
def test_a_state_of_another_pruner_is_refused_and_changes_nothing(name):
    pruner = make(name)
    train(pruner, range(3))
    before = repr(pruner.state_dict())
    others = {
        f"n = {N + 1}; this one has {N}": make(name, n=N + 1),
        "seed = 7; this one has 0": make(name, seed=7),
        "method = ": make("random" if name != "random" else "full"),
    }
    for message, other in others.items():
        with pytest.raises(ValueError, match=f"This state is of a pruner with {message}"):
            pruner.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="method = None"):
        pruner.load_state_dict({})
    assert repr(pruner.state_dict()) == before


def test_an_iteration_of_batches_ends_when_another_epoch_begins():
    pruner = OrderDPBatches(20, candidates=8, batch_size=4, steps=3)
    iterator = iter(pruner)
    next(iterator)
    pruner.begin_epoch(5)
    with pytest.raises(RuntimeError, match="Epoch 0 of OrderDPBatches is over: another has begun"):
        next(iterator)


def test_indexed_needs_a_map_style_data_set():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    for wrong in (Stream(), iter([1, 2]), 5):
        with pytest.raises(TypeError, match=f"Indexed needs a map-style data set.*Got {type(wrong).__name__}"):
            Indexed(wrong)


def test_indexed_uses_the_batched_access_of_its_data_set():
    class Batched(list):
        def __getitems__(self, indices):
            return [-index for index in indices]

    assert Indexed([10, 11, 12]).__getitems__([2, 0]) == [(2, 12), (0, 10)]
    assert Indexed(Batched([10, 11, 12])).__getitems__([2, 0]) == [(2, -2), (0, 0)]
    assert Indexed([10, 11])[1] == (1, 11) and len(Indexed([10, 11])) == 2
