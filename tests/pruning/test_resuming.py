"""A pruner's state goes through every public way of saving one, at any place of an epoch."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch.utils.data import Dataset

from orderdp.pruning import PRUNERS, Indexed, OrderDP, OrderDPBatches
from tests.pruning.conftest import WITH_REPETITIONS, make

N, BATCH, EPOCHS = 60, 8, 4
SAMPLERS = [name for name in PRUNERS if name not in WITH_REPETITIONS]


class Numbers(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        return index


def loss(index: torch.Tensor, step: int) -> torch.Tensor:
    return torch.rand(len(index), generator=torch.Generator().manual_seed(step))


def by_torch(pruner, folder):
    file = io.BytesIO()
    torch.save({"pruner": pruner.state_dict()}, file)
    file.seek(0)
    return torch.load(file, weights_only=True)["pruner"]


def by_pickle(pruner, folder):
    return pickle.loads(pickle.dumps(pruner)).state_dict()


def by_deepcopy(pruner, folder):
    return copy.deepcopy(pruner.state_dict())


def by_distributed_checkpoint(pruner, folder):
    """Saved and loaded in place by torch.distributed.checkpoint, as FSDP's users do."""
    import torch.distributed.checkpoint as dcp

    dcp.save({"pruner": pruner}, checkpoint_id=folder)
    twin = eval(repr(pruner), {type(pruner).__name__: type(pruner), "inf": float("inf"), "tensor": torch.tensor})
    dcp.load({"pruner": twin}, checkpoint_id=folder)
    return twin.state_dict()


WAYS = [by_torch, by_pickle, by_deepcopy, by_distributed_checkpoint]


@pytest.mark.filterwarnings("ignore")  # of torch.distributed.checkpoint: there is one process
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_state_survives_each_public_way_of_saving(name, way, tmp_path):
    pruner, twin = make(name, n=N), make(name, n=N)
    for epoch in range(3):
        for step, index in enumerate(pruner.batches(epoch, BATCH)[0]):
            pruner.observe(index, loss(index, step))
            if (epoch, step) == (2, 1):
                break
    twin.load_state_dict(way(pruner, tmp_path))
    assert repr(twin.state_dict()) == repr(pruner.state_dict())
    assert torch.equal(twin.begin_epoch(2).indices, pruner.begin_epoch(2).indices)
    assert torch.equal(twin.begin_epoch(3).indices, pruner.begin_epoch(3).indices)


# torchdata's StatefulDataLoader: meta-pytorch/data#1437, PR#1245, huggingface/datasets#7927


def stateful_loader(pruner, workers, **options):
    module = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")
    return module.StatefulDataLoader(Indexed(Numbers()), num_workers=workers, **options)


def train(pruner, loader, named, first=0, stop=None):
    """Trains to the end, or to `stop` = (epoch, batches); returns the samples of each batch and both states."""
    batches = []
    for epoch in range(first, EPOCHS):
        if named:
            pruner.set_epoch(epoch)
        for index, _ in loader:
            batches.append(index.tolist())
            pruner.update(index, loss(index, int(index.sum())))
            if stop is not None and (epoch, len(batches)) == stop:
                return batches, copy.deepcopy(pruner.state_dict()), copy.deepcopy(loader.state_dict())
    return batches, pruner.state_dict(), None


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["orderdp", "infobatch", "ucb"])
def test_a_stateful_loader_resumes_in_the_middle_of_an_epoch(name, workers, named):
    def made():
        pruner = make(name, n=N)
        return pruner, stateful_loader(pruner, workers, batch_sampler=pruner.batch_sampler(BATCH))

    pruner, loader = made()
    pruner.set_epoch(0)
    stop = len(loader) + 2  # two batches into the second epoch
    pruner, loader = made()
    whole, end, _ = train(pruner, loader, named)
    pruner, loader = made()
    half, state, place = train(pruner, loader, named, stop=(1, stop))
    assert half == whole[:stop]
    pruner, loader = made()
    pruner.load_state_dict(state)
    loader.load_state_dict(place)
    rest, resumed, _ = train(pruner, loader, named, first=1)
    assert rest == whole[stop:]
    assert repr(resumed) == repr(end)


def test_a_sampler_in_a_stateful_loader_is_refused_with_the_way_out():
    pruner = OrderDP(N)
    loader = stateful_loader(pruner, 0, sampler=pruner, batch_size=BATCH)
    iterator = iter(loader)
    next(iterator)
    with pytest.raises(TypeError, match=r"batch_sampler=pruner\.batch_sampler\(batch_size\)"):
        loader.state_dict()


def test_a_place_without_the_pruners_state_is_refused():
    pruner = OrderDP(N)
    loader = stateful_loader(pruner, 0, batch_sampler=pruner.batch_sampler(BATCH))
    next(iter(loader))
    place = loader.state_dict()
    other = OrderDP(N)
    fresh = stateful_loader(other, 0, batch_sampler=other.batch_sampler(BATCH))
    fresh.load_state_dict(place)
    with pytest.raises(RuntimeError, match=r"has not begun\. Load the pruner's state_dict\(\)"):
        next(iter(fresh))


def test_a_stateful_loader_of_single_steps_is_refused():
    pruner = OrderDPBatches(N, candidates=12, batch_size=6)
    loader = stateful_loader(pruner, 0, batch_sampler=pruner)
    next(iter(loader))
    with pytest.raises(TypeError, match="StatefulDataLoader cannot save OrderDPBatches"):
        loader.state_dict()
