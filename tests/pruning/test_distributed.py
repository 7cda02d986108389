"""Two real processes: one selection, disjoint shares, and scores as if one process had seen all losses."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from orderdp.pruning.observations import gather
from tests.pruning.conftest import LOSSES, SAMPLERS, make

EPOCHS = 4
BIG = [2**24 + 1, 2**24 + 3, 2**31 + 7]


def on_rank(rank: int, folder: str, names: list[str]) -> None:
    """What each process does; its records go to a file, to be compared by the test."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    records = {"big": gather(torch.tensor(BIG[:2] if rank == 0 else BIG[2:]), torch.full((2 - rank,), 0.25 + rank))}
    records["one empty"] = gather(torch.tensor([5] * rank, dtype=torch.int64), torch.full((rank,), 2.0))
    records["both empty"] = gather(torch.empty(0, dtype=torch.int64), torch.empty(0))
    for name in names:
        pruner = make(name)
        records[name] = []
        for epoch in range(EPOCHS):
            pruner.set_epoch(epoch)
            share = list(pruner)
            assert len(share) == len(pruner)
            whole = pruner.begin_epoch(epoch).indices.tolist()
            pruner.observe(share, LOSSES[epoch, share])
            unexchanged = ""
            try:
                pruner.state_dict()
            except RuntimeError as error:
                unexchanged = str(error)
            records[name].append((whole, share, unexchanged))
            if rank == 0:  # one rank alone may ask, without waiting for the other
                pruner.realised_prune_ratio, pruner.select(epoch + 1), len(pruner)
        pruner.synchronize()
        state = pruner.state_dict()
        records[f"{name} end"] = (
            state["memory"],
            pruner.usage,
            pruner.realised_prune_ratio,
            pruner.select(EPOCHS).indices,
        )
    torch.save(records, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("torch.distributed has no gloo here")
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(on_rank, args=(str(folder), SAMPLERS), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_indices_beyond_the_integers_of_float32_arrive(ranks):
    for records in ranks:
        indices, losses = records["big"]
        assert indices.tolist() == BIG and losses.tolist() == [0.25, 0.25, 1.25]


def test_ranks_may_have_nothing_to_tell(ranks):
    for records in ranks:
        assert [part.tolist() for part in records["one empty"]] == [[5], [2.0]]
        assert [part.tolist() for part in records["both empty"]] == [[], []]


@pytest.mark.parametrize("name", SAMPLERS)
def test_two_processes_are_as_good_as_one(ranks, name):
    alone = make(name)
    for epoch in range(EPOCHS):
        expected = alone.begin_epoch(epoch).indices.tolist()
        (whole, first, _), (other_whole, second, _) = (records[name][epoch] for records in ranks)
        assert whole == other_whole == expected
        dealt = [index for pair in zip(first, second, strict=True) for index in pair]
        assert dealt == expected + expected[: len(expected) % 2], "disjoint but for the padding"
        for share in (first, second):
            alone.observe(share, LOSSES[epoch, share])
    memory = alone.state_dict()["memory"]
    for records in ranks:
        other, usage, ratio, upcoming = records[f"{name} end"]
        assert repr(other) == repr(memory)
        assert usage.tolist() == alone.usage.tolist() and ratio == alone.prune_ratio
        assert upcoming.tolist() == alone.select(EPOCHS).indices.tolist()


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_state_that_only_one_rank_knows_is_refused(ranks, name):
    needs_losses = bool(make(name).extra_state())
    for records in ranks:
        for _, _, message in records[name]:
            assert ("Call synchronize() on every rank" in message) == needs_losses
