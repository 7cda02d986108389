"""What every registered pruner keeps. A new method needs no edit here; an exception carries its reason."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

import orderdp.pruning
from orderdp.pruning import PRUNERS, FullData, Indexed, Pruner
from tests.pruning.conftest import BATCH, RATIO, WITH_REPETITIONS, N, make

KEEP_ALL = {"full"}  # has no ratio
VARYING = {"infobatch"}  # how many it keeps depends on the losses

every = pytest.mark.parametrize("name", PRUNERS)
every_epochwise = pytest.mark.parametrize("name", [name for name in PRUNERS if name not in WITH_REPETITIONS])


def losses_of(indices: Tensor, epoch: int, n: int = N) -> Tensor:
    """Losses that depend on sample and epoch only, skewed as in training: most are small."""
    drawn = torch.rand(n, generator=torch.Generator().manual_seed(1000 + epoch))
    return (drawn**3 * 4)[indices]


def walk(pruner: Pruner) -> Iterator[Tensor]:
    """One iteration in batches, whether the pruner yields indices or batches."""
    batch: list[int] = []
    for item in pruner:
        if isinstance(item, list):
            yield torch.tensor(item)
            continue
        batch.append(item)
        if len(batch) == BATCH:
            yield torch.tensor(batch)
            batch = []
    if batch:
        yield torch.tensor(batch)


def train(pruner: Pruner, epochs: range) -> list[list[int]]:
    """Walks the epochs and observes; the indices of each, in order."""
    seen = []
    for epoch in epochs:
        pruner.set_epoch(epoch)
        trained: list[int] = []
        for indices in walk(pruner):
            pruner.observe(indices, losses_of(indices, epoch, pruner.n))
            trained += indices.tolist()
        seen.append(trained)
    return seen


class Squares(Dataset):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([index * index]), index % 10

    def __len__(self) -> int:
        return N


@every
def test_equal_pruners_train_the_same_and_seeds_differ(name):
    assert train(make(name), range(4)) == train(make(name), range(4))
    assert train(make(name), range(1)) != train(make(name, seed=1), range(1))


@every
def test_selecting_is_pure(name):
    pruner = make(name)
    train(pruner, range(2))
    before = {key: repr(value) for key, value in pruner.state_dict().items()}
    first, again = pruner.select(7), pruner.select(7)
    pruner.select(3), len(pruner), pruner.realised_prune_ratio, repr(pruner)
    assert torch.equal(first.indices, again.indices) and torch.equal(first.indices, pruner.select(7).indices)
    assert {key: repr(value) for key, value in pruner.state_dict().items()} == before


@every
def test_epochs_differ_in_order(name):
    pruner = make(name)
    assert not torch.equal(pruner.select(0).indices, pruner.select(1).indices)


@every
def test_indices_and_weights_are_well_formed(name):
    pruner = make(name)
    for epoch in range(5):
        train(pruner, range(epoch, epoch + 1))
        indices, weights = pruner.select(epoch + 1)
        assert indices.dtype == torch.int64 and indices.dim() == 1 and len(indices) > 0
        assert int(indices.min()) >= 0 and int(indices.max()) < N
        for part in indices.split(pruner.batch_size) if name in WITH_REPETITIONS else [indices]:
            assert len(part.unique()) == len(part)
        if weights is not None:
            assert weights.dtype == torch.float32 and weights.shape == indices.shape
            assert bool((weights.isfinite() & (weights > 0)).all())


@every_epochwise
def test_order_is_the_full_datas_order_without_the_others(name):
    pruner = make(name)
    train(pruner, range(2))
    kept = pruner.select(2).indices
    order = FullData(N, seed=0).select(2).indices
    assert torch.equal(kept, order[torch.isin(order, kept)])


@every
def test_budget(name):
    pruner = make(name)
    train(pruner, range(3))
    if name in KEEP_ALL:
        assert pruner.realised_prune_ratio == 0
    elif name not in VARYING:
        step = pruner.batch_size if name in WITH_REPETITIONS else 0
        assert abs(len(pruner.select(3).indices) - round((1 - RATIO) * N)) <= step / 2


@every
def test_length_is_as_announced_before_and_after(name):
    pruner = make(name)
    for epoch in range(4):
        pruner.set_epoch(epoch)
        announced, count = len(pruner), 0
        for indices in pruner:
            count += 1
            indices = torch.tensor(indices).reshape(-1)
            pruner.observe(indices, losses_of(indices, epoch))
            assert len(pruner) == announced
        assert count == announced == len(pruner)


@every
def test_global_random_states_stay_untouched(name):
    def states():
        return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()

    before = states()
    pruner = make(name)
    train(pruner, range(3))
    pruner.load_state_dict(pruner.state_dict())
    assert states() == before


@every
def test_state_goes_on_in_the_middle_of_an_epoch(name):
    def half(pruner: Pruner) -> None:
        pruner.set_epoch(3)
        for step, indices in enumerate(walk(pruner)):
            if step == 3:
                return
            pruner.observe(indices, losses_of(indices, 3))

    whole, first = make(name), make(name)
    train(whole, range(3)), train(first, range(3))
    half(whole), half(first)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    resumed = make(name)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert train(resumed, range(3, 7)) == train(whole, range(3, 7))
    assert torch.equal(resumed.usage, whole.usage) and resumed.prune_ratio == whole.realised_prune_ratio


@every
def test_state_is_a_copy(name):
    pruner, other = make(name), make(name)
    train(pruner, range(2))
    state = pruner.state_dict()
    expected = pickle.dumps(state)
    train(pruner, range(2, 4))
    assert pickle.dumps(state) == expected
    other.load_state_dict(state)
    train(other, range(2, 4))
    assert pickle.dumps(state) == expected


@every
def test_state_of_another_is_refused(name):
    state = make(name).state_dict()
    with pytest.raises(ValueError, match=f"n = {N}"):
        make(name, n=N - 1).load_state_dict(state)
    with pytest.raises(ValueError, match="seed"):
        make(name, seed=1).load_state_dict(state)
    other = next(key for key in PRUNERS if key != name)
    with pytest.raises(ValueError, match="method"):
        make(other).load_state_dict(state)
    with pytest.raises(ValueError, match="method"):
        make(name).load_state_dict({})


@every
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda pruner: pickle.loads(pickle.dumps(pruner))], ids=["deepcopy", "pickle"]
)
def test_copies_go_on_alike(name, copied):
    pruner = make(name)
    train(pruner, range(2))
    twin = copied(pruner)
    assert train(twin, range(2, 4)) == train(pruner, range(2, 4))


@every
def test_repr_rebuilds(name):
    pruner = make(name, seed=3)
    twin = eval(repr(pruner), vars(orderdp.pruning))
    assert repr(twin) == repr(pruner)
    assert train(twin, range(3)) == train(pruner, range(3))


@every
def test_usage_and_ratio_equal_a_count(name):
    pruner = make(name)
    pruner.select(0), len(pruner), pruner.realised_prune_ratio
    assert int(pruner.usage.sum()) == 0, "an epoch that was not trained counts"
    count, kept = [0] * N, 0
    for epoch in train(pruner, range(5)):
        kept += len(epoch)
        for index in epoch:
            count[index] += 1
    assert pruner.usage.dtype == torch.int64
    assert pruner.usage.tolist() == count
    assert pruner.realised_prune_ratio == pytest.approx(1 - kept / (5 * N), abs=1e-15)


@every
def test_a_named_epoch_is_repeated_and_counted_once(name):
    pruner = make(name)
    first = train(pruner, range(1))
    usage = pruner.usage.clone()
    assert train(pruner, range(1)) == first, "observations changed an epoch that had begun"
    assert torch.equal(pruner.begin_epoch(0).indices, torch.tensor(first[0]))
    assert torch.equal(pruner.usage, usage)


@every
def test_without_names_each_pass_is_an_epoch(name):
    named, free = make(name), make(name)
    expected = train(named, range(3))
    for epoch in range(3):
        next(iter(free))
        next(iter(free))  # a peek is no epoch
        passed = []
        for indices in walk(free):
            free.observe(indices, losses_of(indices, epoch))
            passed += indices.tolist()
        assert passed == expected[epoch]
    assert torch.equal(free.usage, named.usage)


@every
def test_an_epoch_left_early_after_training_is_over(name):
    pruner, expected = make(name), make(name)
    indices = next(walk(pruner))
    pruner.observe(indices, losses_of(indices, 0))
    expected.begin_epoch(0)
    expected.observe(indices, losses_of(indices, 0))
    expected.set_epoch(1)
    assert list(pruner) == list(expected)


@every
@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader_visits_each_kept_sample_once(name, workers):
    pruner = make(name)
    if name in WITH_REPETITIONS:
        loader = DataLoader(
            Indexed(Squares()), batch_sampler=pruner, num_workers=workers, persistent_workers=workers > 0
        )
    elif workers:
        sampler = BatchSampler(pruner, batch_size=BATCH, drop_last=False)
        loader = DataLoader(Indexed(Squares()), batch_sampler=sampler, num_workers=workers, persistent_workers=True)
    else:
        loader = DataLoader(Indexed(Squares()), batch_size=BATCH, sampler=pruner)
    for epoch in range(3):
        pruner.set_epoch(epoch)
        steps, visited = len(loader), []
        for index, (x, y) in loader:
            assert torch.equal(x.squeeze(1), index * index) and torch.equal(y, index % 10)
            visited.append(index)
            pruner.observe(index, losses_of(index, epoch))
        assert len(visited) == steps
        assert torch.equal(torch.cat(visited), pruner.begin_epoch(epoch).indices)
    assert int(pruner.usage.sum()) == round((1 - pruner.realised_prune_ratio) * 3 * N)


@every
@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_ranks_share_without_overlap(name, world_size):
    ranks = [make(name) for _ in range(world_size)]
    for rank, pruner in enumerate(ranks):
        pruner.set_epoch(0)
        pruner.shard(rank, world_size)
    assert len({len(pruner) for pruner in ranks}) == 1
    shares = [list(pruner) for pruner in ranks]
    assert len({len(share) for share in shares}) == 1 and len(shares[0]) == len(ranks[0])
    if name in WITH_REPETITIONS:
        wholes = make(name).begin_epoch(0).indices.split(ranks[0].batch_size)
        pairs = [(whole.tolist(), [share[step] for share in shares]) for step, whole in enumerate(wholes)]
    else:
        pairs = [(ranks[0].begin_epoch(0).indices.tolist(), shares)]
    for whole, parts in pairs:
        assert len({len(part) for part in parts}) == 1
        interleaved = [part[position] for position in range(len(parts[0])) for part in parts]
        assert interleaved == whole + whole[: len(interleaved) - len(whole)], "padding repeats from the start"
    assert all(torch.equal(pruner.usage, ranks[0].usage) for pruner in ranks)
    if name not in WITH_REPETITIONS:
        assert int(ranks[0].usage.max()) == 1, "padding is not counted"


@every
def test_more_ranks_than_samples(name):
    if name in WITH_REPETITIONS:
        pytest.skip("shares are of a batch")
    pruner = make(name, n=5)
    pruner.shard(11, 12)
    assert len(list(pruner)) == len(pruner) == 1


@every
def test_update_is_the_weighted_mean_and_carries_gradients(name):
    pruner = make(name)
    train(pruner, range(2))
    indices, weights = pruner.begin_epoch(2)
    batch = indices[:BATCH]
    losses = torch.rand(BATCH, requires_grad=True)
    loss = pruner.update(batch, losses)
    factors = torch.ones(BATCH) if weights is None else weights[:BATCH]
    assert torch.equal(pruner.weights(batch), factors)
    torch.testing.assert_close(loss, (factors * losses).mean())
    loss.backward()
    torch.testing.assert_close(losses.grad, factors / BATCH)


@every
def test_observations_are_copies(name):
    pruner, expected = make(name), make(name)
    indices, losses = torch.arange(N), losses_of(torch.arange(N), 0)
    for one in (pruner, expected):
        one.begin_epoch(0)
        one.observe(indices, losses)
    expected.synchronize()
    indices.fill_(0), losses.fill_(0)
    assert torch.equal(pruner.begin_epoch(1).indices, expected.begin_epoch(1).indices)


@every
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_losses_that_are_not_finite_never_poison_the_ranking(name, bad):
    pruner = make(name)
    train(pruner, range(2))
    pruner.observe(torch.arange(20), torch.full((20,), bad))
    selection = pruner.select(2)
    assert selection.weights is None or bool(selection.weights.isfinite().all())
    for part in selection.indices.split(pruner.batch_size) if name in WITH_REPETITIONS else [selection.indices]:
        assert len(part.unique()) == len(part)
    indices = torch.arange(20)
    pruner.observe(indices, losses_of(indices, 3))
    assert all(
        not isinstance(v, torch.Tensor) or not bool(v.isnan().any()) for v in pruner.state_dict()["memory"].values()
    )


@every
@pytest.mark.parametrize(
    ("indices", "losses", "error", "says"),
    [
        ([0, 1], torch.tensor(0.5), ValueError, "reduction="),
        ([0, 1], torch.rand(3), ValueError, "reduction="),
        ([0, 1], torch.rand(2, 4), ValueError, "reduction="),
        ([0, 1], torch.tensor([1, 2]), ValueError, "floats"),
        ([0, 1], [0.1, 0.2], ValueError, "floats"),
        (torch.tensor([0.0, 1.0]), torch.rand(2), ValueError, "integers"),
        (torch.tensor([True, False]), torch.rand(2), ValueError, "integers"),
        (torch.tensor(3), torch.rand(1), ValueError, "1-d"),
        ([0, N], torch.rand(2), IndexError, str(N)),
        ([-1, 0], torch.rand(2), IndexError, "-1"),
    ],
)
def test_misuse_of_observe_is_named(name, indices, losses, error, says):
    with pytest.raises(error, match=says):
        make(name).observe(indices, losses)


@every
def test_wrong_sizes_and_seeds_are_named(name):
    for n in (0, -1, 2.5, "10", None, True):
        with pytest.raises((ValueError, TypeError)):
            PRUNERS[name](n)
    for seed in (0.5, "0", None, True):
        with pytest.raises(ValueError, match="seed"):
            PRUNERS[name](N, seed=seed) if name in KEEP_ALL else PRUNERS[name](N, seed=seed, **_needed(name))
    for epoch in (-1, 0.5, None):
        with pytest.raises(ValueError, match="epoch"):
            make(name).set_epoch(epoch)


def _needed(name: str) -> dict:
    """Arguments without default, taken from a pruner that has them."""
    pruner = make(name)
    return {
        key: getattr(pruner, "target_ratio" if key == "prune_ratio" else key) for key in _options(name) if key != "seed"
    }


def _options(name: str) -> list[str]:
    parameters = list(inspect.signature(PRUNERS[name]).parameters.values())[1:]
    return [p.name for p in parameters if p.default is p.empty]


@every
@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.2, "half", None])
def test_ratios_outside_are_named(name, ratio):
    with pytest.raises(ValueError, match="prune_ratio"):
        PRUNERS[name].at_ratio(N, ratio)


@pytest.mark.parametrize("name", [name for name in PRUNERS if name not in KEEP_ALL])
def test_a_ratio_that_keeps_nothing_is_named(name):
    with pytest.raises(ValueError, match="at least one of n = 10"):
        PRUNERS[name].at_ratio(10, 0.99)


@every
def test_shard_checks(name):
    with pytest.raises(ValueError, match="rank"):
        make(name).shard(2, 2)


@every
def test_losses_may_come_in_any_float_type_and_twice(name):
    pruner = make(name)
    pruner.begin_epoch(0)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        loss = pruner.update([3, 3, 5], torch.tensor([1.0, 2.0, 3.0], dtype=dtype))
        assert float(loss) > 0
    pruner.observe([], torch.empty(0))
    pruner.begin_epoch(1)
