"""Everything that a `DataLoader` can do, with a pruner in it."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler, ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

import orderdp.pruning
from orderdp.pruning import PRUNERS, Indexed, OrderDP, RandomPruning
from tests.pruning.conftest import BATCH, LOSSES, WITH_REPETITIONS, N, loss_table, make, scores

every = pytest.mark.parametrize("name", PRUNERS)
every_sampler = pytest.mark.parametrize("name", [name for name in PRUNERS if name not in WITH_REPETITIONS])


class Rows(Dataset):
    """Dict samples: the row's number and its half."""

    def __init__(self, n: int = N) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> dict[str, object]:
        return {"number": index, "half": torch.tensor([index / 2]), "text": f"row {index}"}


def halves(rows: list[dict[str, object]]) -> torch.Tensor:
    """A collate function of one's own: it has no place for an index."""
    return torch.stack([row["half"] for row in rows])


def loader_of(pruner, data, **options):
    """A loader, whether the pruner yields samples or batches."""
    if hasattr(pruner, "batch_size"):
        options.pop("drop_last", None)
        return DataLoader(data, batch_sampler=pruner, **options)
    return DataLoader(data, batch_size=BATCH, sampler=pruner, **options)


def trained(pruner, loader, epoch):
    """Indices of an epoch, after checking that each came with its own sample."""
    visited = []
    for index, rows in loader:
        numbers = rows["number"] if isinstance(rows, dict) else (rows * 2).squeeze(1).long()
        assert torch.equal(numbers, index)
        pruner.update(index, LOSSES[epoch, index])
        visited += index.tolist()
    return visited


WORKERS = [
    {"num_workers": 0},
    pytest.param(
        {"num_workers": 4, "multiprocessing_context": "fork"},
        marks=pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    ),
    {"num_workers": 2, "multiprocessing_context": "fork", "persistent_workers": True, "prefetch_factor": 4},
    pytest.param(
        {"num_workers": 1, "multiprocessing_context": "spawn", "persistent_workers": True}, marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize("options", WORKERS, ids=["none", "4 forked", "persistent", "spawned"])
@pytest.mark.parametrize("name", ["orderdp", "infobatch"])
def test_workers_change_nothing(name, options):
    pruner, alone = make(name), make(name)
    loader = loader_of(pruner, Indexed(Rows()), **options)
    for epoch in range(3):
        assert trained(pruner, loader, epoch) == trained(alone, loader_of(alone, Indexed(Rows())), epoch)
    assert torch.equal(scores(pruner), scores(alone)) and torch.equal(pruner.usage, alone.usage)


@every
def test_a_collate_function_for_plain_samples_gets_them(name):
    pruner = make(name)
    loader = loader_of(pruner, Indexed(Rows()), collate_fn=Indexed.collate(halves))
    visited = trained(pruner, loader, 0)
    assert sorted(visited) == sorted(pruner.begin_epoch(0).indices.tolist())
    copied = pickle.loads(pickle.dumps(loader.collate_fn))  # as spawned workers get it
    assert torch.equal(copied([(3, Rows()[3])])[1], torch.tensor([[1.5]]))


@every_sampler
def test_samples_that_drop_last_leaves_out_stay_unseen(name):
    pruner = make(name)
    loader = DataLoader(Indexed(Rows()), batch_size=BATCH, sampler=pruner, drop_last=True)
    visited = trained(pruner, loader, 0)
    kept = pruner.begin_epoch(0).indices.tolist()
    assert visited == kept[: len(kept) // BATCH * BATCH] and len(loader) == len(kept) // BATCH
    if name == "orderdp":
        left = set(range(N)) - set(visited)
        assert set(scores(pruner).isinf().nonzero().squeeze(1).tolist()) == left


@every_sampler
def test_a_batch_sampler_of_ones_own(name):
    pruner = make(name)
    loader = DataLoader(Indexed(Rows()), batch_sampler=BatchSampler(pruner, 10, drop_last=False))
    assert trained(pruner, loader, 0) == pruner.begin_epoch(0).indices.tolist()


@every
def test_parts_and_joins_of_data_sets(name):
    part = Subset(Rows(), range(1, 2 * N, 2)[: N // 2])
    joined = ConcatDataset([Subset(Rows(), [5, 7]), part])
    for data in (part, joined):
        pruner = make(name, n=len(data))
        for index, rows in loader_of(pruner, Indexed(data)):
            assert rows["number"].tolist() == [data[place]["number"] for place in index.tolist()]
            pruner.update(index, torch.rand(len(index)))
        assert int(pruner.usage.sum()) > 0


@every
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_abandoned_after_training_is_over(name, workers):
    pruner, twin = make(name), make(name)
    loader = loader_of(
        pruner,
        Indexed(Rows()),
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=2 if workers else None,
    )
    for epoch in range(3):
        for index, _ in loader:
            pruner.update(index, LOSSES[epoch, index])
            break
        twin.set_epoch(epoch)
        first, _ = next(iter(loader_of(twin, Indexed(Rows()))))
        assert torch.equal(index, first)
        twin.update(first, LOSSES[epoch, first])
    assert torch.equal(pruner.begin_epoch(3).indices, twin.begin_epoch(3).indices)


@every
def test_two_loaders_on_one_pruner_are_an_error(name):
    pruner = make(name)
    one, other = (loader_of(pruner, Indexed(Rows())) for _ in range(2))
    taken = []
    with pytest.raises(RuntimeError, match="One pruner serves one loader"):
        for (index, _), (again, _) in zip(one, other, strict=True):
            taken.append(index)
            pruner.update(index, LOSSES[0, index])
            pruner.update(again, LOSSES[0, again])
    assert len(taken) <= 1, "the error comes before a step mixes them"


@every
def test_a_loader_made_anew_goes_on(name):
    pruner, alone = make(name), make(name)
    loader = loader_of(alone, Indexed(Rows()))
    for epoch in range(3):
        assert trained(pruner, loader_of(pruner, Indexed(Rows())), epoch) == trained(alone, loader, epoch)


@every
def test_evaluation_between_epochs_changes_nothing(name):
    pruner, alone = make(name), make(name)
    loader, other = loader_of(pruner, Indexed(Rows())), loader_of(alone, Indexed(Rows()))
    plain = DataLoader(Indexed(Rows()), batch_size=50)
    for epoch in range(3):
        assert trained(pruner, loader, epoch) == trained(alone, other, epoch)
        for index, _ in plain:
            pruner.weights(index)
    assert torch.equal(pruner.usage, alone.usage)


def network() -> nn.Module:
    return nn.Linear(3, 2)


@every_sampler
def test_accumulated_gradients_are_those_of_the_large_batch(name):
    data = TensorDataset(torch.randn(N, 3), torch.arange(N) % 2)
    torch.manual_seed(0)
    model = network()
    gradients = []
    for size in (8, 16):
        pruner = make(name)
        pruner.prime(torch.arange(N), LOSSES[0])
        model.zero_grad()
        loader = DataLoader(Indexed(data), batch_size=size, sampler=pruner)
        for step, (index, (x, y)) in enumerate(loader):
            (pruner.update(index, F.cross_entropy(model(x), y, reduction="none")) * size / 16).backward()
            if (step + 1) * size == 16:
                break
        gradients.append(model.weight.grad.clone())
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_with_a_gradient_scaler(dtype):
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(N, 3), torch.arange(N) % 2)
    model, pruner = network(), make("infobatch")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=dtype == torch.float16)
    for _ in range(3):
        for index, (x, y) in DataLoader(Indexed(data), batch_size=BATCH, sampler=pruner):
            with torch.autocast("cpu", dtype):
                losses = F.cross_entropy(model(x), y, reduction="none").to(dtype)
                loss = pruner.update(index, losses)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            expected = losses.detach().float()
            pruner.synchronize()
            assert torch.equal(scores(pruner)[index], expected), "unscaled, as float32"
    assert bool(scores(pruner).isfinite().all())


@every
def test_copies_taken_in_mid_epoch_go_on_alike(name):
    pruner = make(name)
    iterator = iter(pruner)
    first = torch.as_tensor(next(iterator)).reshape(-1)
    pruner.observe(first, LOSSES[0, first])
    for twin in (copy.deepcopy(pruner), pickle.loads(pickle.dumps(pruner))):
        reference = make(name)
        reference.load_state_dict(pruner.state_dict())
        assert list(twin) == list(reference)
    next(iterator)  # the copies' iterations are none of the original's


@every
def test_a_resumed_epoch_has_the_same_samples(name):
    pruner = make(name)
    pruner.set_epoch(0)
    trained(pruner, loader_of(pruner, Indexed(Rows())), 0)
    pruner.set_epoch(1)
    first = next(iter(loader_of(pruner, Indexed(Rows()))))[0]
    pruner.observe(first, LOSSES[1, first])
    resumed = make(name)
    resumed.load_state_dict(pruner.state_dict())
    resumed.set_epoch(1)
    assert torch.equal(next(iter(loader_of(resumed, Indexed(Rows()))))[0], first)
    whole = trained(resumed, loader_of(resumed, Indexed(Rows())), 1)
    assert sorted(whole) == sorted(resumed.begin_epoch(1).indices.tolist())
    assert int(resumed.usage.sum()) == round((1 - resumed.prune_ratio) * 2 * N), "counted once"


# A data set that grows


@every
def test_growing_keeps_what_is_known_and_equals_a_larger_pruner(name):
    more = N + 40
    losses = loss_table(8, more)
    pruner = make(name)
    larger = type(pruner)(more, **pruner._options())
    pruner.prime(torch.arange(N), losses[0, :N])
    larger.prime(torch.arange(N), losses[0, :N])
    before = pruner.usage.clone()
    pruner.grow(more)
    assert pruner.n == more and torch.equal(pruner.usage[:N], before) and int(pruner.usage[N:].sum()) == 0
    assert repr(pruner) == repr(larger)
    for key, value in larger.state_dict()["memory"].items():
        mine = pruner.state_dict()["memory"][key]
        assert torch.equal(mine, value) if isinstance(value, torch.Tensor) else mine == value
    assert torch.equal(pruner.begin_epoch(1).indices, larger.begin_epoch(1).indices)
    if name == "static":
        assert set(pruner.begin_epoch(1).indices.tolist()) == set(pruner.indices) <= set(range(N))


@every
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_over_growing_data_reaches_the_new_samples(name, workers):
    data = list(range(N))
    pruner = make(name)
    loader = loader_of(pruner, Indexed(data), num_workers=workers)
    seen: set[int] = set()
    for epoch in range(6):
        if epoch in (1, 2):
            data += range(len(data), len(data) + 20)
            pruner.grow(len(data))
        for index, _ in loader:
            pruner.update(index, loss_table(6, len(data))[epoch, index])
            seen |= set(index.tolist())
    assert name == "static" or seen & set(range(N, N + 40))
    if name == "orderdp":
        assert len(seen) > 0.95 * (N + 40), "unseen ones come first"


def test_an_epoch_that_has_begun_keeps_its_set_and_ratios_count_what_was_offered():
    pruner = RandomPruning(10, prune_ratio=0.5)
    kept = pruner.begin_epoch(0).indices
    pruner.grow(30)
    assert torch.equal(pruner.begin_epoch(0).indices, kept) and len(pruner.begin_epoch(1).indices) == 15
    assert pruner.realised_prune_ratio == 1 - 20 / 40
    pruner.shard(1, 2)
    pruner.grow(40)
    pruner.set_epoch(2)
    assert len(pruner) == 10, "its share stays"


def test_a_set_that_is_held_waits_for_its_next_choice():
    pruner = make("ucb")
    for epoch in range(2):
        kept = pruner.begin_epoch(epoch).indices
        pruner.observe(kept, LOSSES[epoch, kept])
    pruner.grow(N + 60)
    assert set(pruner.begin_epoch(2).indices.tolist()) == set(kept.tolist())
    assert set(range(N, N + 60)) <= set(pruner.begin_epoch(3).indices.tolist()), "never seen: first"


@every
def test_a_grown_pruners_state_and_repr_are_those_of_its_size(name):
    pruner = make(name)
    pruner.grow(N + 3)
    twin = eval(repr(pruner), vars(orderdp.pruning))
    assert twin.n == N + 3
    twin.load_state_dict(pruner.state_dict())
    assert torch.equal(twin.begin_epoch(0).indices, pruner.begin_epoch(0).indices)
    with pytest.raises(
        ValueError, match=f"'n' of {type(pruner).__name__} must be an integer of at least {N + 3}. Got {N}."
    ):
        pruner.grow(N)


def test_growing_in_an_iteration_lets_it_end():
    pruner = OrderDP(N)
    iterator = iter(pruner)
    first = next(iterator)
    pruner.grow(N + 1)
    assert [first, *iterator] == pruner.begin_epoch(0).indices.tolist()
    assert len(list(pruner)) == len(pruner) and pruner.n == N + 1
