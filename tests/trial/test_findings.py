"""What a trial concludes: its level by simulation, and sentences that follow from the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orderdp.trial.findings import FULL, PRUNING, SHORTER, Outcome, conclude, needed

RATIOS = (0.3, 0.5, 0.7)
TOLERANCE = 0.5


def trial(loss, *, spread=0.2, seeds=3, full=80.0, draw=None, ratios=RATIOS):
    """Outcomes of a made-up trial: `loss(method, ratio)` in points, runs of a seed alike."""
    draw = np.random.default_rng(0) if draw is None else draw
    found = []
    for seed in range(seeds):
        base = full + draw.normal(0, 0.3)
        found.append(Outcome(FULL, None, seed, base + draw.normal(0, spread), 100.0, 0.0))
        for method in (*PRUNING, SHORTER):
            for ratio in ratios:
                accuracy = base - loss(method, ratio) + draw.normal(0, spread)
                found.append(Outcome(method, ratio, seed, accuracy, 100 * (1 - ratio) * draw.normal(1, 0.02), ratio))
    return found


def concluded(outcomes, majority=10.0):
    return conclude(outcomes, TOLERANCE, majority, 10_000)


@pytest.mark.parametrize(
    ("loss", "allowed"),
    [
        # Every ratio loses exactly the tolerance: each "without loss" is wrong.
        (lambda method, ratio: TOLERANCE, lambda ratio: False),
        # 30 % is free, and more is not.
        (lambda method, ratio: 0.0 if ratio < 0.4 else TOLERANCE, lambda ratio: ratio < 0.4),
    ],
)
@pytest.mark.parametrize("seeds", [3, 5])
def test_a_methods_largest_ratio_is_too_large_in_at_most_one_of_forty_trials(loss, allowed, seeds):
    draw = np.random.default_rng(seeds)
    trials, wrong = 2000, dict.fromkeys((*PRUNING, SHORTER), 0)
    for _ in range(trials):
        findings = concluded(trial(loss, seeds=seeds, draw=draw))
        for method in wrong:
            wrong[method] += any(
                arm.lossless and not allowed(arm.ratio) for arm in findings.arms if arm.method == method
            )
    error = 3 * (0.025 * 0.975 / trials) ** 0.5
    assert all(count / trials < 0.025 + error for count in wrong.values()), wrong


def test_where_nothing_is_lost_most_is_pruned():
    findings = concluded(trial(lambda method, ratio: 0.0, spread=0.05))
    assert findings.chosen.ratio == 0.7 and findings.chosen.method == "orderdp"
    text = " ".join(findings.advice)
    assert text.startswith("Prune 70 % with OrderDP with explore=0.55: 7") and "less time" in text
    assert "These 3 seeds support that it loses no more than 0.5 points" in text
    assert "A shorter training saves as much" in text and "these seeds do not show which is better" in text


def test_a_gain_over_a_shorter_training_is_said_only_where_it_is_shown():
    better = concluded(trial(lambda method, ratio: 0.0 if method == "orderdp" else 3.0, spread=0.05))
    assert "What is pruned matters: this is 3.0" in better.advice[1] or "this is 2.9" in better.advice[1]
    assert better.chosen.method == "orderdp"
    alike = concluded(trial(lambda method, ratio: 0.0, spread=0.05))
    assert not any("What is pruned matters" in sentence for sentence in alike.advice)


def test_where_every_method_loses_nothing_is_pruned():
    findings = concluded(trial(lambda method, ratio: 10 * ratio, spread=0.05))
    assert findings.chosen is None and findings.advice[0].startswith("Do not prune here. At 30 % every method loses")


def test_few_wide_seeds_decide_nothing_and_the_page_says_how_many_would():
    findings = concluded(trial(lambda method, ratio: 0.0, spread=0.4))
    assert findings.chosen is None and findings.advice[0].startswith("Train on everything for now")
    assert "--seeds" in findings.advice[1]


def test_two_seeds_decide_nothing():
    findings = concluded(trial(lambda method, ratio: 0.0, spread=0.01, seeds=2))
    assert findings.chosen is None and not any(arm.lossless for arm in findings.arms)


def test_what_is_not_learned_cannot_be_lost():
    findings = concluded(trial(lambda method, ratio: 0.0, full=10.0, spread=0.05))
    assert not findings.learned and findings.chosen is None
    assert findings.advice[0].startswith("Do not prune here. The network learned nothing")


def test_a_ratio_with_a_run_that_diverged_is_not_recommended():
    broken = [
        replace(outcome, diverged=outcome.seed == 0 and (outcome.ratio or 0) > 0.6)
        for outcome in trial(lambda method, ratio: 0.0, spread=0.05)
    ]
    findings = concluded(broken)
    assert findings.chosen.ratio == 0.5
    assert all(arm.diverged == 1 and not arm.lossless for arm in findings.arms if arm.ratio == 0.7)


def test_seeds_that_would_be_needed():
    findings = concluded(trial(lambda method, ratio: 0.0, spread=0.4))
    arm = next(arm for arm in findings.arms if arm.method == "orderdp")
    seeds = needed(arm.gap, TOLERANCE)
    assert seeds is None or seeds > 3
    assert needed(arm.gap, 1e-9) is None
