"""Names of version 0.1: each works as the new one does, and says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import orderdp
from orderdp import coresets, pruning, theory
from orderdp.pruning import InfoBatch, OrderDP, Pruner


def test_arguments():
    with pytest.warns(DeprecationWarning, match=r"The argument 'hardest' of OrderDP is now 'hard_fraction'"):
        pruner = OrderDP(100, hardest=0.5)
    assert pruner.hard_fraction == 0.5 and repr(pruner) == "OrderDP(100, hard_fraction=0.5)"
    pruner.grow(110)
    assert pruner.n == 110 and pruner.hard_fraction == 0.5
    with pytest.warns(DeprecationWarning, match="'hardest' of OrderDP"):
        assert OrderDP.at_ratio(100, 0.7, hardest=0.5).hard_fraction == 0.5
    for old, new in (("nominal", "below_mean"), ("calibrated", "all")):
        with pytest.warns(DeprecationWarning, match=r"The argument 'budget' of InfoBatch is now 'ratio_of'"):
            assert InfoBatch(100, prune_ratio=0.5, budget=old).ratio_of == new
    with pytest.warns(DeprecationWarning, match=r"The argument 'hardest' of rank_weights is now 'n_hard'"):
        weights = theory.rank_weights(10, 5, 2, hardest=1)
    assert np.array_equal(weights, theory.rank_weights(10, 5, 2, n_hard=1))
    outputs = coresets.ProxyOutputs(torch.arange(20) % 2, 2)
    with pytest.warns(DeprecationWarning, match=r"The argument '(evidence|budgets)' of select"):
        (old,) = coresets.select("random", evidence=outputs, budgets=[4], rng=np.random.default_rng(0))
    (new,) = coresets.select("random", outputs, [4], np.random.default_rng(0))
    assert torch.equal(old.indices, new.indices)


def test_attributes():
    pruner = OrderDP(100, prune_ratio=0.7)
    with pytest.warns(DeprecationWarning, match=r"OrderDP\.prune_ratio is now realised_prune_ratio"):
        assert pruner.prune_ratio == pruner.realised_prune_ratio == pytest.approx(0.7)
    with pytest.warns(DeprecationWarning, match=r"OrderDP\.hardest is now hard_fraction"):
        assert pruner.hardest == 1
    with pytest.warns(DeprecationWarning, match=r"InfoBatch\.budget is now ratio_of"):
        assert InfoBatch(100).budget == "below_mean"


@pytest.mark.parametrize(
    ("package", "old", "new"),
    [(orderdp, "Selection", "Subset"), (pruning, "Selection", "Subset"), (coresets, "Selection", "Subset"),
     (coresets, "Evidence", "ProxyOutputs")],
)  # fmt: skip
def test_classes(package, old, new):
    with pytest.warns(DeprecationWarning, match=rf"{old} is now .*{new}"):
        assert getattr(package, old) is getattr(package, new)
    with pytest.raises(AttributeError, match="nothing"):
        package.nothing  # noqa: B018


def test_a_pruner_with_the_old_hooks_works_as_one_with_the_new():
    with pytest.warns(DeprecationWarning) as warned:

        class Old(Pruner):
            def __init__(self, n, *, seed=0):
                super().__init__(n, seed=seed)
                self._scores = torch.zeros(n)

            def choose(self, epoch, draw):
                return self._scores > 1, None

            def learn(self, indices, losses):
                self._scores[indices] = losses

            def memory(self):
                return {"_scores": self._scores}

    assert [str(one.message).split(" is now ")[0] for one in warned] == [
        f"The method '{name}' of Old" for name in ("choose", "learn", "memory")
    ]
    pruner = Old(6)
    pruner.begin_epoch(0)
    pruner.observe(torch.arange(6), torch.tensor([0.0, 2.0, 0.0, 3.0, 0.0, 4.0]))
    assert sorted(pruner.select(1).indices.tolist()) == [1, 3, 5]
    again = Old(6)
    again.load_state_dict(pruner.state_dict())
    assert sorted(again.select(1).indices.tolist()) == [1, 3, 5]


def test_the_command_select_is_coreset(capsys, tmp_path):
    from orderdp import __main__ as command_line

    words = ["--evidence", str(tmp_path / "no.npz"), "--method", "margin", "--budget", "3", "--out", "a.npy"]
    assert command_line.main(["select", *words]) == 2
    said = capsys.readouterr().err
    assert "orderdp select is now orderdp coreset" in said and "--proxy-outputs: there is no " in said
