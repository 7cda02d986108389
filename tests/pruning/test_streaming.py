"""OrderDP over a stream, against a slow twin in plain Python."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from orderdp.pruning import StreamingOrderDP
from orderdp.pruning.rng import numpy_generator


def loss_of(number: int) -> float:
    return ((number * 7919) % 101) / 101


def train(pool: StreamingOrderDP) -> list[list[int]]:
    """One iteration; batches as samples, with losses that depend on the sample."""
    batches = []
    for numbers, samples in pool:
        pool.update(
            numbers, torch.tensor([loss_of(sample) for sample in samples.tolist()], requires_grad=True)
        ).backward()
        batches.append(samples.tolist())
    return batches


def twin(count: int, pool: int, q: int, fresh: int, explore: float, seed: int = 0) -> list[list[int]]:
    """The same step by step: window, candidates, the hardest of them, arrivals."""
    window, arrivals = list(range(min(pool, count))), list(range(pool, count))
    known: dict[int, float] = {}
    batches = []
    while window:
        draw = numpy_generator(seed, "select", 0, len(batches))
        size = min(len(window), max(q, round(explore * len(window))))
        places = draw.choice(len(window), size, replace=False).tolist()
        ranked = sorted(range(size), key=lambda place: (-known.get(window[places[place]], np.inf), place))
        batch = [window[places[place]] for place in sorted(ranked[:q])]
        known |= {sample: np.float32(loss_of(sample)) for sample in batch}
        batches.append(batch)
        window = window[fresh:] + arrivals[:fresh]
        arrivals = arrivals[fresh:]
    return batches


@pytest.mark.parametrize(
    ("count", "pool", "q", "fresh", "explore"),
    [
        (100, 20, 6, 3, 0.5),
        (101, 20, 6, 4, 0.5),
        (7, 20, 6, 3, 0.5),
        (50, 8, 8, 1, 1.0),
        (3, 4, 2, 1, 0.5),
        (0, 4, 2, 1, 0.5),
        (64, 16, 5, 4, 0.4),
    ],
)
def test_batches_equal_the_twins(count, pool, q, fresh, explore):
    stream = StreamingOrderDP(range(count), pool=pool, batch_size=q, fresh=fresh, explore=explore)
    batches = train(stream)
    assert batches == twin(count, pool, q, fresh, explore)
    assert len(batches) == -(-count // fresh)
    assert stream.arrived == count and stream.trained == sum(map(len, batches))
    assert all(len(set(batch)) == len(batch) for batch in batches)


def test_unseen_samples_come_first_and_then_the_hardest():
    pool = StreamingOrderDP(range(1000), pool=10, batch_size=4, fresh=2, explore=1.0)
    seen: set[int] = set()
    for step, (numbers, samples) in enumerate(pool):
        window = range(2 * step, min(2 * step + 10, 1000))
        unseen = [number for number in window if number not in seen]
        batch = set(samples.tolist())
        assert len(batch & set(unseen)) == min(4, len(unseen))
        rest = sorted((number for number in window if number in seen), key=lambda number: -loss_of(number))
        assert batch - set(unseen) == set(rest[: len(batch) - min(4, len(unseen))])
        seen |= batch
        pool.observe(numbers, torch.tensor([loss_of(number) for number in samples.tolist()]))
    assert seen >= set(range(10, 1000)), "every arrival is trained but for some of the first pool, which leave early"


def test_an_endless_stream_needs_no_more_than_the_pool():
    taken = 0

    def endless():
        nonlocal taken
        for taken in itertools.count(1):
            yield torch.tensor(taken)

    pool = StreamingOrderDP(endless(), pool=32, batch_size=8, fresh=4, seed=1)
    for step, (numbers, _) in enumerate(itertools.islice(pool, 50)):
        assert int(numbers.max()) < taken == 32 + 4 * step
        pool.observe(numbers, torch.ones(len(numbers)))
    assert len(pool._samples) == 32 and pool.trained == 400


def test_iterations_start_the_stream_again_and_differ():
    one, other = (StreamingOrderDP(range(60), pool=20, batch_size=6, fresh=3) for _ in range(2))
    first, second = train(one), train(one)
    assert first != second and [train(other), train(other)] == [first, second]
    assert train(StreamingOrderDP(range(60), pool=20, batch_size=6, fresh=3, seed=1)) != first


def test_losses_of_samples_that_left_and_broken_ones_do_no_harm():
    pool = StreamingOrderDP(range(40), pool=8, batch_size=4, fresh=2, explore=1.0)
    iterator = iter(pool)
    old, _ = next(iterator)
    pool.observe(old, torch.full((4,), torch.nan))
    for _ in range(6):
        next(iterator)
    pool.observe(old, torch.full((4,), 9.0))
    next(iterator)
    assert not np.isnan(pool._scores).any() and not (pool._scores == 9).any()


def test_an_older_iteration_is_refused():
    pool = StreamingOrderDP(range(40), pool=8, batch_size=4, fresh=2)
    older = iter(pool)
    next(older)
    assert len(list(pool)) == 20
    with pytest.raises(RuntimeError, match="a newer one has started"):
        next(older)


class Numbers(IterableDataset):
    def __iter__(self):
        return ({"x": torch.tensor([float(number)]), "y": number} for number in range(30))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_stream_may_be_a_loader_of_dicts(workers):
    before = torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())
    pool = StreamingOrderDP(
        DataLoader(Numbers(), batch_size=None, num_workers=workers, generator=torch.Generator()),
        pool=8,
        batch_size=4,
        fresh=2,
    )
    seen = set()
    for numbers, batch in pool:
        assert batch["x"].squeeze(1).tolist() == batch["y"].tolist() == numbers.tolist()
        pool.observe(numbers, batch["x"].squeeze(1))
        seen |= set(numbers.tolist())
    assert max(seen) == 29
    assert (torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": 0}, "'pool' of StreamingOrderDP must be an integer of at least 1. Got 0."),
        ({"fresh": 64}, "'fresh' of StreamingOrderDP must be below 'batch_size' = 64. Got 64."),
        (
            {"pool": 100},
            "q > s: 'batch_size' = 64 exceeds the 50 candidates that 'explore' = 0.5 draws from 'pool' = 100",
        ),
        ({"explore": 0}, r"'explore' of StreamingOrderDP must be in \(0, 1\]. Got 0."),
        ({"seed": -1}, "'seed' of StreamingOrderDP"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        StreamingOrderDP([], **options)


def test_losses_that_are_not_per_sample_are_refused():
    with pytest.raises(ValueError, match="per sample"):
        StreamingOrderDP([]).update(torch.arange(3), torch.tensor(1.0))
