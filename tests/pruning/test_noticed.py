"""What a training does wrong to a pruner, or leaves out, is said; nothing that is right is warned of."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, TensorDataset

from orderdp.pruning import PRUNERS, Indexed, OrderDP, StreamingOrderDP
from orderdp.pruning import base as contract
from orderdp.pruning.batching import batch_sizes
from tests.pruning.conftest import make

N = 40
RANKING = [name for name in PRUNERS if type(make(name)).update_scores is not contract.Pruner.update_scores]


def train(pruner, loader, epochs, leave_out=()):
    """Epochs in which sample i has the loss i, but some samples give none."""
    for epoch in range(epochs):
        pruner.set_epoch(epoch)
        for index, _ in loader:
            index = index[~torch.isin(index, torch.tensor(leave_out, dtype=torch.int64))]
            if len(index):
                pruner.update(index, 1 + index.float())


@pytest.mark.parametrize("name", RANKING)
def test_a_sample_without_a_loss_is_named_and_does_not_rank_first_for_ever(name, monkeypatch):
    monkeypatch.setattr(contract, "PATIENCE", 3)
    pruner = make(name, n=N)
    batches = {"batch_sampler": pruner} if name == "orderdp_batches" else {"sampler": pruner, "batch_size": 8}
    loader = DataLoader(Indexed(range(N)), **batches)
    with pytest.warns(UserWarning, match=r"1 samples were kept in 3 epochs and gave no loss \(the first: 2\)"):
        train(pruner, loader, 60, leave_out=(2,))
    twin = make(name, n=N)
    twin.load_state_dict(pruner.state_dict())
    assert torch.equal(twin.select(60).indices, pruner.select(60).indices)


def test_the_sample_that_gives_no_loss_falls_behind_the_harder_half():
    pruner = OrderDP(N, explore=1.0, exploit=0.25, seed=1)
    loader = DataLoader(Indexed(range(N)), batch_size=5, sampler=pruner)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        train(pruner, loader, 40, leave_out=(2,))
    assert int(pruner.usage[2]) == contract.PATIENCE
    assert 2 not in pruner.select(40).indices


def test_what_drop_last_leaves_out_is_no_fault():
    pruner = OrderDP(N, explore=0.8, exploit=0.5, seed=1)
    loader = DataLoader(Indexed(range(N)), batch_size=6, sampler=pruner, drop_last=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(pruner, loader, 50)


@pytest.mark.parametrize("name", RANKING)
def test_numbers_of_other_samples_are_noticed(name):
    """Two data sets that are numbered one by one, and joined then, have each number twice."""
    pruner = make(name, n=N)
    inner = ConcatDataset([Indexed(range(N // 2)), Indexed(range(N // 2))])
    batches = {"batch_sampler": pruner} if name == "orderdp_batches" else {"sampler": pruner, "batch_size": 8}
    with pytest.warns(UserWarning, match="gave losses in an epoch that .* did not keep them for .* goes outermost"):
        train(pruner, DataLoader(inner, **batches), 8)


def test_losses_of_another_loader_are_noticed():
    pruner = OrderDP(N, explore=0.5, exploit=0.5, seed=1)
    pruner.begin_epoch(0)
    for index, _ in DataLoader(Indexed(range(N)), batch_size=8):
        pruner.update(index, index.float())
    with pytest.warns(UserWarning, match="30 samples gave losses in an epoch that OrderDP did not keep them for"):
        pruner.begin_epoch(1)


def test_primed_losses_of_any_sample_are_right():
    pruner = OrderDP(N, explore=0.5, exploit=0.5, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range(3):
            indices = pruner.begin_epoch(epoch).indices
            pruner.observe(indices, indices.float())
            pruner.prime(torch.arange(N), torch.arange(N) / N)


def test_a_pruner_for_more_samples_than_there_are_is_one_error():
    pruner = OrderDP(N, explore=1.0, exploit=1.0)
    with pytest.raises(IndexError, match=r"of a data set of 30 samples\. Build the pruner for n = 30\."):
        list(DataLoader(Indexed(TensorDataset(torch.zeros(30))), batch_size=8, sampler=pruner))


# What trainers ask of a data set


class Epochs(Dataset):
    """A data set whose samples say which epoch they were made for."""

    classes = ("a", "b")

    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return N

    def __getitem__(self, index):
        return self.epoch


def test_what_is_asked_of_the_data_set_reaches_it():
    data = Indexed(Epochs())
    data.set_epoch(3)
    assert data[7] == (7, 3) and data.classes == ("a", "b") and not hasattr(data, "targets")
    for twin in (pickle.loads(pickle.dumps(data)), copy.copy(data), copy.deepcopy(data)):
        assert twin[7] == (7, 3) and len(twin) == N


def test_accelerate_names_the_epochs_to_the_data_set():
    """starVLA/starVLA#470 and the contract of accelerate's `set_epoch`."""
    Accelerator = pytest.importorskip("accelerate").Accelerator

    from orderdp.integrations import prepare_pruner

    accelerator, pruner = Accelerator(cpu=True), OrderDP(N)
    prepare_pruner(accelerator, pruner)
    loader = accelerator.prepare(DataLoader(Indexed(Epochs()), batch_size=8, sampler=pruner))
    made_for = []
    for epoch in range(4):
        loader.set_epoch(epoch)
        for index, made in loader:
            made_for += set(made.tolist())
            pruner.update(index, index.float())
    assert sorted(set(made_for)) == [0, 1, 2, 3]


# Wrong calls


@pytest.mark.parametrize("name", [name for name in PRUNERS if name not in ("full", "static")])
def test_the_data_set_in_place_of_its_length_is_one_error(name):
    with pytest.raises(ValueError, match=r"The 'n' of \w+ must be an integer .* Give its length, len\(\.\.\.\)"):
        PRUNERS[name].at_ratio(range(N), 0.5)


@pytest.mark.parametrize("size", [0, -4, 2.5, "8", None])
def test_batches_of_no_size_are_one_error(size):
    pruner = OrderDP(N)
    for call in (lambda: batch_sizes(9, size), lambda: pruner.batches(0, size), lambda: pruner.batch_sampler(size)):
        with pytest.raises(ValueError, match=r"The 'batch_size' of \w+ must be an integer of at least 1"):
            call()


@pytest.mark.parametrize("name", PRUNERS)
def test_a_state_that_is_not_whole_is_refused_and_changes_nothing(name):
    pruner = make(name)
    pruner.begin_epoch(0)
    state = pruner.state_dict()
    broken = [{key: state[key] for key in state if key != gone} for gone in state]
    broken += [state | {"usage": state["usage"][:3]}, state | {"begun": {}}, None, [], "state"]
    broken += [state | {"memory": {}}, state | {"memory": None}] if state["memory"] else []
    before = repr(make(name).state_dict())
    for each in broken:
        fresh = make(name)
        with pytest.raises(ValueError, match=r"state_dict\(\) gave|pruner with (method|n|seed)"):
            fresh.load_state_dict(each)
        assert repr(fresh.state_dict()) == before


def test_a_stream_that_is_none_is_one_error():
    for stream in (None, 5):
        with pytest.raises(TypeError, match="'stream' of StreamingOrderDP must be iterable"):
            StreamingOrderDP(stream, pool=8, batch_size=2, fresh=1)
