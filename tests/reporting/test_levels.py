"""Monte Carlo: worlds in which nothing is true (or in which it is exactly at the threshold) decide at most 5 % of each
rule's claims."""

import math
import zlib
from dataclasses import dataclass, field
from itertools import cycle, product

import numpy as np
import pandas as pd
import pytest

from orderdp.reporting.claims.statistics import CONTRADICTED, STATISTICS, SUPPORTED
from tests.reporting.test_lossless_level import allowed

SAMPLES, EPOCHS, RIVALS, NAN = 600, 20, ["random", "epsilon_greedy", "ucb", "infobatch"], float("nan")
STEP = 100 / SAMPLES
WORLDS = 84
"""Per rule: each number of seeds with each deviation has a twelfth of them."""
SEEDS = (3, 5, 10)
DEVIATIONS = (0.1, 0.3, 0.6, 1.0)


@dataclass(frozen=True)
class Null:
    """A rule's arguments and a world in which its number lies exactly at the threshold."""

    arguments: dict
    methods: tuple = ("orderdp", "infobatch", "full")
    ratios: tuple = (0.4,)
    explores: tuple = (0.5,)
    loss: float = 0.0
    """Points that every method but the full data loses."""
    slope: float = 0.0
    """Points that are lost per unit of the ratio, on top."""
    split: dict = field(default_factory=dict)
    """Explore share -> (points of accuracy, factor of the time)."""
    time: float = 1.0
    """Time of orderdp over that of all others."""
    short: float = 0.0
    """Asked less realised ratio."""
    diverging: float = 0.0
    """Chance that a run diverges."""
    wrong: tuple = (SUPPORTED, CONTRADICTED)


ONLY = ("orderdp",)
NULLS = {
    "higher": Null({"rivals": RIVALS}, ("orderdp", *RIVALS), (0.3, 0.5, 0.7)),
    "not_worse": Null({"margin": 0.1}, ("orderdp", "full"), loss=0.1),
    "all_worse": Null({"rivals": RIVALS, "margin": 0.1}, (*RIVALS, "full"), loss=0.1),
    "higher_at_same_budget": Null({"rival": "infobatch"}, ratios=(0.3, 0.5, 0.7), slope=2.0),
    "lead_grows": Null({"rival": "infobatch"}, ratios=(0.3, 0.5, 0.7), slope=2.0),
    "slower_than_time": Null({"ratio": 0.4}, ("orderdp", "full")),
    "loss_steepens": Null({"knee": 0.7, "end": 0.9}, ("orderdp", "full"), (0.7, 0.9), slope=2.0),
    "falls_short": Null({"method": "infobatch", "ratio": 0.4, "margin": 1.0}, ("infobatch",), short=0.01),
    "same_across_splits": Null(
        {"what": "accuracy", "margin": 0.5, "panel": "p"}, ONLY, explores=(0.3, 0.6), split={0.6: (0.5, 1.0)}
    ),
    "same_across_splits time": Null(
        {"what": "time", "margin": 0.1, "panel": "p"}, ONLY, explores=(0.3, 0.6), split={0.6: (0.0, 1.1)}
    ),
    "time_falls": Null({}, ("orderdp", "full"), (0.3, 0.5, 0.7)),
    "time_ratio": Null({"rivals": RIVALS, "threshold": 0.6}, ("orderdp", *RIVALS), time=0.6),
    "mean_time_ratio": Null({"rival": "infobatch"}, ("orderdp", "infobatch"), (0.3, 0.5)),
    "higher margin": Null({"rivals": ["full"], "margin": 0.1}, ("orderdp", "full"), loss=0.1),
    "time_to_accuracy_gains": Null(
        {"rivals": ["random", "infobatch"], "early": 0.4, "late": 0.7}, ("orderdp", "random", "infobatch"), (0.4, 0.7)
    ),
    "lossless_saving": Null({"most": 0.6}, ("orderdp", "full"), (0.2, 0.3, 0.4), time=0.6),
    "lossless_ratio_higher": Null({"rival": "infobatch"}, ratios=(0.2, 0.3, 0.4), loss=0.1),
    "lossless_time_ratio": Null({"rival": "infobatch"}, ratios=(0.2, 0.3, 0.4), loss=0.1),
    "selection_cost": Null({"most": 0.05}, ONLY),
    "time_to_accuracy": Null({"rivals": ["random", "infobatch"], "ratio": 0.4}, ("orderdp", "random", "infobatch")),
    "norm_accuracy": Null({"threshold": -0.7}, ("full",)),
    "norm_accuracy_weaker": Null({"method": "infobatch"}),
    "norm_ratio": Null({"method": "infobatch", "than": "full", "norm": "raw"}),
    "norm_shift_larger": Null({"method": "infobatch", "than": "orderdp", "norm": "normalised"}),
    "rolling_ratio": Null({"method": "infobatch", "than": "full", "norm": "raw"}),
    "jitter_ratio": Null({"method": "infobatch", "than": "full"}),
    "oscillation_ratio": Null({"method": "orderdp", "than": "infobatch", "start": 0.5, "end": 0.7, "relative": True}),
    "spread_smaller": Null({"method": "orderdp", "than": "infobatch"}, ("orderdp", "infobatch")),
    "spread_smaller phases": Null({"method": "orderdp", "than": "infobatch", "phases": True}, ("orderdp", "infobatch")),
    "jitter_ratio less": Null({"method": "orderdp", "than": "infobatch", "above": False}, ("orderdp", "infobatch")),
    # One run that diverges proves that some do, so only the verdict from none that did can be wrong.
    "fails": Null(
        {"of": ["orderdp", "infobatch"], "never": True}, ratios=(0.3, 0.4, 0.5, 0.7), diverging=0.1, wrong=(SUPPORTED,)
    ),
    "fails some": Null(
        {"of": ["orderdp", "infobatch"], "never": False},
        ratios=(0.3, 0.4, 0.5, 0.7),
        diverging=0.1,
        wrong=(CONTRADICTED,),
    ),
    "jaccard_higher": Null({"rival": "infobatch", "ratio": 0.4}),
    "jaccard_rises": Null({}, ONLY, (0.4, 0.7)),
    "cosine_higher": Null({"rival": "infobatch", "ratio": 0.4}),
    "cosine_lead_grows": Null({"rival": "infobatch", "early": 0.4, "late": 0.7}, ratios=(0.4, 0.7)),
    "unbiased": Null({"scores": "fresh", "margin": 0.1}),
    "biased_for_loss": Null({"scores": "fresh"}),
    "variance_lower": Null({"scores": "fresh"}),
    "convergence_holds": Null({"scores": "fresh", "gap": "gap_averaged"}),
    "generalization_holds": Null({}),
}
"""Statistic (and a variant of it) -> its null world."""

NOT_RANDOM = {
    "exact_ratio": "the number of samples kept is fixed by the ratio, and chance decides only which ones",
    "never_used": "the claim is that the share is 0 but for rounding, which no chance moves across its threshold",
} | {
    name: "arithmetic decides, without runs"
    for name, function in STATISTICS.items()
    if function.__module__.endswith((".computed", ".toy"))
}


def frames(null, rng, seeds, deviation):
    rows, histories, diagnostics = [], [], []
    truth = 92 + rng.uniform(0, STEP)
    for method in null.methods:
        settings = [(NAN, NAN)] if method == "full" else [(r, e) for r in null.ratios for e in null.explores]
        for seed in range(seeds):
            for ratio, explore in settings:
                row = run(null, rng, truth, deviation, method, ratio, explore, seed)
                rows.append(row)
                histories.append(history(rng, row))
                diagnostics.append(
                    {"run": row["run"], "epoch": 4, "progress": 0.15, "cosine": 0.7 + 0.1 * rng.standard_normal()}
                )
                diagnostics.append(
                    {"run": row["run"], "epoch": 12, "progress": 0.55, "cosine": 0.7 + 0.1 * rng.standard_normal()}
                )
    histories = pd.DataFrame({key: np.concatenate([part[key] for part in histories]) for key in histories[0]})
    return {
        "results": pd.DataFrame(rows),
        "histories": histories,
        "diagnostics": pd.DataFrame(diagnostics),
        "study": study(rng, seeds),
    }


def run(null, rng, truth, deviation, method, ratio, explore, seed):
    full = method == "full"
    points, factor = null.split.get(explore, (0.0, 1.0))
    mean = truth - (0.0 if full else null.loss + null.slope * ratio - points)
    # The relative spread of the accuracy decides where it is compared with that of the time, so the times spread
    # little.
    time = 100 * factor * (null.time if method == "orderdp" else 1.0) * math.exp(0.01 * rng.standard_normal())
    realised = 0.0 if full else ratio - null.short + (0.003 * rng.standard_normal() if null.short else 0.0)
    return {
        "run": f"{method}-{ratio}-{explore}-{seed}",
        "experiment": "e",
        "workload": "digits",
        "method": method,
        "label": method,
        "prune_ratio": ratio,
        "explore": explore,
        "panel": "p",
        "seed": seed,
        "n": 1000,
        "time_s": time,
        "realised_prune_ratio": realised,
        "status": "diverged" if rng.random() < null.diverging else "finished",
        "selection_s": time * 0.05 * (1 + 0.1 * rng.standard_normal()),
        "test_accuracy": round((mean + deviation * rng.standard_normal()) / STEP) * STEP,
    }


def history(rng, row):
    """Columns of one run's epochs: every run has the same distribution, with a factor of its own on the norms."""
    epoch = np.arange(1, EPOCHS + 1)
    x, own = rng.standard_normal(EPOCHS), math.exp(0.1 * rng.standard_normal())
    tied = -0.7 * x + math.sqrt(1 - 0.49) * rng.standard_normal(EPOCHS)
    accuracy = np.round((85 + x) / STEP) * STEP
    norm = own * (8 + tied)
    return {
        "run": np.repeat(row["run"], EPOCHS),
        "epoch": epoch,
        "progress": epoch / EPOCHS,
        "test_accuracy": accuracy,
        "steps": np.full(EPOCHS, 10),
        "grad_norm_mean": norm,
        "grad_norm_std": own * (1 + 0.2 * rng.random(EPOCHS)),
        "grad_norm_normalized_mean": 0.9 * norm,
        "jaccard": 0.5 + 0.05 * rng.standard_normal(EPOCHS),
        "time_s": row["time_s"] * epoch / EPOCHS,
    }


def study(rng, seeds):
    places = [1.1, 0.0]
    unbiasedness = [
        {
            "scores": "fresh",
            "n": 100,
            "s": 20,
            "q": 5,
            "draws": 1000,
            "half_width": 0.0196,
            "target": 1.0,
            "full": 0.0,
            "exact_bias": 0.0,
            "estimate": place + 0.01 * rng.standard_normal(),
            "variance": 1 + 0.01 * rng.standard_normal(),
            "variance_half_width": 0.0196,
            "uniform_variance": 1.0,
        }
        for place in places
    ]
    convergence = [
        {"scores": "fresh", "steps": steps, "seed": seed, "bound": 1.0, "gap_averaged": 1 + 0.1 * rng.standard_normal()}
        for steps in (100, 400)
        for seed in range(seeds)
    ]
    generalization = [
        {"seed": seed, "step": 1, "left": 0.0, "right": 0.1 * rng.standard_normal(), "optimization_bound": 0.5}
        for seed in range(seeds)
    ]
    return {
        "unbiasedness": unbiasedness,
        "convergence": pd.DataFrame(convergence),
        "generalization": pd.DataFrame(generalization),
    }


def place_of(name, world_frames):
    """The study has one row at the threshold that the rule looks at: 1 + margin for `unbiased`, 0 for
    `biased_for_loss`."""
    rows = world_frames["study"]["unbiasedness"]
    return world_frames | {
        "study": world_frames["study"] | {"unbiasedness": pd.DataFrame([rows[0 if name == "unbiased" else 1]])}
    }


def test_every_rule_has_a_null_world_or_no_chance_in_it():
    assert {name.split()[0] for name in NULLS} | set(NOT_RANDOM) == set(STATISTICS)
    assert not {name.split()[0] for name in NULLS} & set(NOT_RANDOM)


@pytest.mark.parametrize("name", NULLS)
def test_a_world_without_effect_decides_at_most_five_in_a_hundred(name):
    null, rng, wrong, statistic = NULLS[name], np.random.default_rng(zlib.crc32(name.encode())), 0, name.split()[0]
    for _, (seeds, deviation) in zip(range(WORLDS), cycle(product(SEEDS, DEVIATIONS)), strict=False):
        world_frames = frames(null, rng, seeds, deviation)
        wrong += STATISTICS[statistic](place_of(statistic, world_frames), **null.arguments).verdict in null.wrong
    assert wrong <= allowed(WORLDS, 0.05)
