"""How an epoch is cut into batches: a remainder of one or two joins the batch before it."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from orderdp.pruning import FullData, Indexed, InfoBatch, OrderDP, OrderDPBatches, RandomPruning
from orderdp.pruning.batching import batch_sizes


def twin(count: int, batch_size: int) -> list[int]:
    """`batch_sizes`, sample by sample."""
    sizes: list[int] = []
    for _ in range(count):
        if not sizes or sizes[-1] == batch_size:
            sizes.append(0)
        sizes[-1] += 1
    if len(sizes) > 1 and batch_size > 2 and sizes[-1] in (1, 2) and sizes[-1] != batch_size:
        last = sizes.pop()
        sizes[-1] += last
    return sizes


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 8])
def test_sizes_for_every_epoch_length_modulo_the_batch_size(batch_size):
    for count in range(4 * batch_size + 1):
        assert batch_sizes(count, batch_size) == twin(count, batch_size)


@pytest.mark.parametrize("rest", range(8))
def test_batches_hold_the_epoch_in_its_order(rest):
    pruner = RandomPruning(32 + rest, prune_ratio=0.5)
    batches, steps = pruner.batches(0, 8)
    parts = list(batches)
    assert len(parts) == steps
    assert torch.equal(torch.cat(parts), pruner.begin_epoch(0).indices)
    assert min(map(len, parts)) > 2


@pytest.mark.parametrize("count", range(1, 25))
def test_a_loader_over_the_batch_sampler_walks_as_over_the_pruner(count):
    data = Indexed(TensorDataset(torch.arange(count)))
    plain, joined = FullData(count), FullData(count)
    one_by_one = DataLoader(data, sampler=plain, batch_size=8)
    batches = DataLoader(data, batch_sampler=joined.batch_sampler(8))
    for _ in range(3):
        expected = torch.cat([index for index, _ in one_by_one])
        parts = [index for index, _ in batches]
        assert torch.equal(torch.cat(parts), expected)
        assert [len(part) for part in parts] == batch_sizes(count, 8)
        assert len(batches) == len(parts)
    assert torch.equal(joined.usage, torch.full((count,), 3))


def test_a_batch_sampler_of_no_size_is_refused():
    with pytest.raises(ValueError, match="'batch_size'"):
        FullData(10).batch_sampler(0)
    with pytest.raises(TypeError, match="batch sampler itself"):
        OrderDPBatches(64, candidates=16, batch_size=4).batch_sampler(4)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def train(loader: DataLoader, pruner: OrderDP | InfoBatch, epochs: int = 2) -> None:
    torch.manual_seed(0)
    model = network()
    for _ in range(epochs):
        for index, (x, y) in loader:
            pruner.update(index, F.cross_entropy(model(x), y, reduction="none")).backward()


def test_a_remainder_of_one_trains_through_batch_norm():
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(33, 4, generator=generator), torch.randint(3, (33,), generator=generator))
    pruner = FullData(33)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        train(DataLoader(Indexed(data), sampler=pruner, batch_size=16), pruner)
    pruner = FullData(33)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(DataLoader(Indexed(data), batch_sampler=pruner.batch_sampler(16)), pruner)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_remainder_of_one_is_warned_of_once_before_it_comes():
    data = Indexed(TensorDataset(torch.zeros(33)))
    pruner = FullData(33)
    with pytest.warns(
        UserWarning, match=r"33 samples: batches of 16 leave 1 over.*drop_last=True.*batch_sampler\(16\)"
    ):
        index, _ = next(iter(DataLoader(data, sampler=pruner, batch_size=16)))
        pruner.update(index, torch.ones(16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index, _ in DataLoader(data, sampler=pruner, batch_size=16):
            pruner.update(index, torch.ones(len(index)))


@pytest.mark.parametrize(("count", "batch_size"), [(33, 1), (33, 2), (34, 16), (32, 16), (15, 16)])
def test_no_warning_where_nothing_can_fail(count, batch_size):
    pruner = FullData(count)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index, _ in DataLoader(Indexed(TensorDataset(torch.zeros(count))), sampler=pruner, batch_size=batch_size):
            pruner.update(index, torch.ones(len(index)))
