"""Random sequences of what a training may do to a pruner, against a model of the contract in plain Python."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from torch.utils.data import DataLoader

import orderdp.pruning
from orderdp.pruning import PRUNERS, Indexed, OrderDP
from tests.pruning.conftest import WITH_REPETITIONS, make

BATCH = 4
SAMPLERS = [name for name in PRUNERS if name not in WITH_REPETITIONS]


class Training(RuleBasedStateMachine):
    """A training that names its epochs or not, leaves them early, peeks, evaluates, saves, resumes, copies and grows.

    The model knows which epoch comes next, what has been counted and each sample's newest loss.
    """

    def __init__(self, name):
        super().__init__()
        self.name = name

    @initialize(n=st.integers(8, 30), seed=st.integers(0, 3))
    def start(self, n, seed):
        self.data = list(range(n))
        self.pruner = make(self.name, n=n, seed=seed)
        self.loader()
        self.usage, self.offered, self.begun = [0] * n, 0, None  # begun: (epoch, its indices)
        self.next_epoch = 0
        self.last: dict[int, float] = {}
        self.step = 0

    def loader(self, drop_last=False):
        self.drop_last = drop_last
        self.batches = DataLoader(Indexed(self.data), batch_size=BATCH, sampler=self.pruner, drop_last=drop_last)

    def loss(self, index):
        self.step += 1
        losses = torch.rand(len(index), generator=torch.Generator().manual_seed(self.step))
        self.last |= dict(zip(index.tolist(), losses.tolist(), strict=True))
        return losses

    def begin(self, epoch):
        """Counts an epoch when the pruner begins it."""
        if self.begun is None or self.begun[0] != epoch:
            kept = self.pruner.select(epoch).indices.tolist()
            self.begun = (epoch, kept)
            self.offered += len(self.data)
            for index in kept:
                self.usage[index] += 1
        return self.begun[1]

    def iterate(self, steps):
        """Trains up to `steps` batches of the coming epoch; every batch must be the next piece of its set."""
        epoch = self.next_epoch
        kept = self.begin(epoch)
        total = len(kept) // BATCH if self.drop_last else -(-len(kept) // BATCH)
        done = 0
        for done, (index, value) in enumerate(self.batches, 1):
            assert index.tolist() == value.tolist() == kept[(done - 1) * BATCH : done * BATCH]
            losses = self.loss(index).requires_grad_()
            weights = self.pruner.weights(index)
            assert self.pruner.update(index, losses).item() == pytest.approx((losses * weights).mean().item(), rel=1e-5)
            if done == steps:
                break
        assert done == min(steps, total)
        return done > 0 or total == 0

    @rule(drop_last=st.booleans())
    def makes_a_loader(self, drop_last):
        self.loader(drop_last)

    @rule()
    def trains_an_epoch(self):
        self.iterate(10**6)
        self.next_epoch += 1

    @rule(steps=st.integers(1, 3))
    def leaves_an_epoch_early(self, steps):
        if self.iterate(steps):
            self.next_epoch += 1

    @rule(ahead=st.integers(0, 3))
    def looks_ahead(self, ahead):
        before = repr(self.pruner.state_dict())
        (
            self.pruner.select(self.next_epoch + ahead),
            len(self.pruner),
            self.pruner.realised_prune_ratio,
            repr(self.pruner),
        )
        assert repr(self.pruner.state_dict()) == before

    @rule()
    def evaluates(self):
        for index, _ in DataLoader(Indexed(self.data), batch_size=7):
            assert bool((self.pruner.weights(index) > 0).all())

    @rule(data=st.data())
    def scores_some_samples(self, data):
        index = torch.tensor(
            data.draw(st.lists(st.integers(0, len(self.data) - 1), max_size=6, unique=True)), dtype=torch.int64
        )
        self.pruner.prime(index, self.loss(index))

    @rule(how=st.sampled_from(["state", "pickle", "deepcopy"]))
    def is_stopped_and_resumed(self, how):
        if how == "state":
            twin = eval(repr(self.pruner), vars(orderdp.pruning))
            twin.load_state_dict(self.pruner.state_dict())
        else:
            twin = pickle.loads(pickle.dumps(self.pruner)) if how == "pickle" else copy.deepcopy(self.pruner)
        self.pruner = twin
        self.loader(self.drop_last)

    @precondition(lambda self: len(self.data) < 60)
    @rule(more=st.integers(1, 9))
    def grows(self, more):
        self.data += range(len(self.data), len(self.data) + more)
        self.usage += [0] * more
        self.pruner.grow(len(self.data))

    @rule()
    def is_put_into_a_second_loader(self):
        if len(self.pruner.select(self.next_epoch).indices) <= BATCH:
            return
        self.begin(self.next_epoch)
        one, other = iter(self.batches), iter(DataLoader(Indexed(self.data), batch_size=BATCH, sampler=self.pruner))
        next(one), next(other)  # only now do they draw
        with pytest.raises(RuntimeError, match="One pruner serves one loader"):
            next(one)

    @invariant()
    def counts_agree(self):
        if not hasattr(self, "pruner"):
            return
        assert self.pruner.usage.tolist() == self.usage
        if self.offered:
            assert self.pruner.realised_prune_ratio == pytest.approx(1 - sum(self.usage) / self.offered, abs=1e-12)
        kept = self.pruner.select(self.next_epoch).indices.tolist()
        assert kept and len(set(kept)) == len(kept) and max(kept) < len(self.data)

    @invariant()
    def scores_are_the_newest_losses(self):
        if hasattr(self, "pruner") and isinstance(self.pruner, OrderDP):
            known = self.pruner.state_dict()["memory"]["_scores"].tolist()
            assert known == [self.last.get(index, float("inf")) for index in range(len(self.data))]


SETTINGS = settings(
    max_examples=80,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("name", SAMPLERS)
def test_any_sequence_keeps_the_contract(name):
    run_state_machine_as_test(lambda: Training(name), settings=SETTINGS)
