"""What a trial picks: never more than the budget, and data last."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from orderdp.models import build
from orderdp.trial.planning import (
    EPOCHS,
    FEWEST_EPOCHS,
    LEAST_SAMPLES,
    SEEDS,
    Rates,
    choose,
    explained,
    more_seeds,
    named_network,
    own_network,
    together,
)

CIFAR = {"n": 50_000, "n_test": 10_000, "classes": 10}
CPU = Rates(1 / 500, 1 / 1200, 2)


@pytest.mark.parametrize("minutes", [8, 20, 60, 600, 6000])
def test_a_choice_fits_its_budget_and_uses_it(minutes):
    found = choose(**CIFAR, rates=CPU, budget_s=60 * minutes)
    assert found.seconds <= 60 * minutes
    if found.n < CIFAR["n"]:
        assert found.epochs == FEWEST_EPOCHS and found.seeds == SEEDS
        assert found.seconds > 0.9 * 60 * minutes
    assert found.n >= LEAST_SAMPLES


def test_more_time_is_never_used_for_less():
    found = [choose(**CIFAR, rates=CPU, budget_s=60 * minutes) for minutes in (10, 20, 60, 240, 600, 1200, 3000, 9000)]
    for a, b in itertools.pairwise(found):
        assert (b.n, b.seeds) >= (a.n, a.seeds)
    assert (found[-1].n, found[-1].epochs, found[-1].seeds) == (50_000, EPOCHS, 10)
    assert choose(**CIFAR, rates=CPU, budget_s=None) == found[-1]


def test_what_the_user_states_stays():
    found = choose(**CIFAR, rates=CPU, budget_s=3600, epochs=20, seeds=4, ratios=(0.6,))
    assert (found.epochs, found.seeds, found.ratios) == (20, 4, (0.6,)) and found.n < 50_000
    assert found.seconds <= 3600


def test_a_budget_below_the_smallest_trial_is_refused_with_what_it_takes():
    with pytest.raises(ValueError, match=r"the smallest trial \(1,000 training samples, 10 epochs, 3 seeds\) takes"):
        choose(**CIFAR, rates=CPU, budget_s=60)


def test_testing_takes_a_small_part_of_the_time():
    found = choose(n=6000, n_test=10_000, classes=10, rates=CPU, budget_s=None, epochs=10)
    tests = -(-found.epochs // found.evaluate_every)
    assert tests == 1 or tests * 10_000 * CPU.test_sample_s <= 0.16 * 10 * 6000 * CPU.sample_s
    assert choose(n=50_000, n_test=1000, classes=10, rates=CPU, budget_s=None).evaluate_every == 1


def test_short_runs_share_a_process_and_long_ones_do_not():
    assert together(0.5, 40, 2) == 20 and together(100, 40, 2) == 1 and together(6, 40, 2) == 3


@pytest.mark.parametrize(
    ("shape", "gpu", "model", "flip"),
    [
        ((3, 32, 32), False, "resnet8", True),
        ((3, 32, 32), True, "resnet18", True),
        ((1, 28, 28), False, "resnet8", False),
        ((12, 1, 1), False, "mlp", False),
    ],
)
def test_a_network_that_suits_the_samples(shape, gpu, model, flip):
    network = own_network(shape, 3000, gpu)
    assert network.model == model and network.overrides["augment"]["flip"] == flip
    options = {key: min(value, 8) for key, value in network.options.items()}
    assert build(network.model, 3, shape[0], **options)(torch.rand(2, *shape)).shape == (2, 3)


def test_a_network_by_its_name():
    network = named_network("shufflenet_v2_x0_5", (3, 32, 32), 3000)
    assert (network.model, network.options) == ("torchvision_network", {"architecture": "shufflenet_v2_x0_5"})
    assert named_network("timm/resnet10t", (1, 32, 32), 3000).model == "timm_network"
    assert named_network("resnet10t", (1, 32, 32), 3000).model == "timm_network"


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("restnet18", (3, 32, 32), "There is no network 'restnet18' in torchvision or timm. There are: .*resnet"),
        ("keras/resnet18", (3, 32, 32), "'keras' is neither torchvision nor timm"),
        ("vit_b_16", (3, 32, 32), "torchvision's vit_b_16 does not take images of 32 x 32 pixels: .*another --size"),
        ("resnet18", (9, 1, 1), "A table is tried with a perceptron. Leave out --model"),
    ],
)
def test_a_network_that_cannot_be_tried(name, shape, message):
    with pytest.raises(ValueError, match=message):
        named_network(name, shape, 3000)


def test_more_seeds_change_nothing_else():
    before = choose(**CIFAR, rates=CPU, budget_s=1200)
    after = more_seeds(before.plain(), 6)
    assert after == replace(before, seeds=6, seconds=2 * before.seconds)


def test_what_is_picked_is_said():
    found = choose(**CIFAR, rates=CPU, budget_s=1200)
    said = "\n".join(explained(found, 50_000, own_network((3, 32, 32), found.n, False), 1200))
    assert f"{found.n:,} of the 50,000 training samples" in said and "budget of 20 minutes" in said
    assert "0.85 at 30 %, 0.7 at 50 %" in said
