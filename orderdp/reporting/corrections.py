"""The values of `errata.csv`: what the paper's printed formulas give, and what is right. No result is typed in: printed numbers come from
`published.csv` or from evaluating the printed formula, right ones from `orderdp.theory`.

A function takes the settings of the experiment (n, s and q of the paper's default split) and returns the values that its row's texts name.
Where a formula is shown at other sizes, they are examples, and the row states them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.special import betainc

from orderdp.reporting.evidence.computed import memory_constant
from orderdp.reporting.evidence.toy import orderdp_of
from orderdp.reporting.published import load_published, value
from orderdp.theory import (
    convergence_bound,
    expectations,
    expected_jaccard,
    infobatch_outcomes,
    limit_weights,
    rank_weights,
    selection_probabilities,
    sup_gap,
    surrogate_gap,
    total_variation,
)

Settings = Mapping[str, Any]
Values = dict[str, Any]

ROUNDING = 0.051
"""Points by which a printed gap may differ from the difference of two printed accuracies."""


def beta_limit(settings: Settings) -> Values:
    """Proposition 2's distribution function, as printed and as its proof ends."""
    n, s, q, z = 1000, 10, 3, 0.01
    gamma = float(limit_weights(z, s, q))
    return {"n": n, "s": s, "q": q, "z": z, "printed": 1 - n / s * gamma, "right": 1 - gamma / s, "beta": float(betainc(q, s - q, z))}


def vanishing_weight(settings: Settings) -> Values:
    """gamma_j itself tends to 0; n gamma_j to the limit."""
    n, s, q, z = 1_000_000, 10, 3, 0.1
    gamma = float(rank_weights(n, s, q)[round(z * n) - 1])
    return {"n": n, "s": s, "q": q, "z": z, "weight": gamma, "scaled": n * gamma, "limit": float(limit_weights(z, s, q))}


def upper_limit(settings: Settings) -> Values:
    """The sum of the weights with the upper limit of A.1 and with that of Eq. 3."""
    n, s, q = 9, 5, 3
    return {"n": n, "s": s, "q": q, "printed": _eq3_sum(n, s, q, lambda j: min(1, j)), "right": _eq3_sum(n, s, q, lambda j: min(q, j))}


def _eq3_sum(n: int, s: int, q: int, upper: Callable[[int], int]) -> Fraction:
    """Sum over j of Eq. 3, l from max(1, s-n+j) to `upper(j)`, in exact fractions."""
    total = 0
    for j in range(1, n + 1):
        for rank in range(max(1, s - n + j), upper(j) + 1):
            total += math.comb(j - 1, rank - 1) * math.comb(n - j, s - rank)
    return Fraction(total, math.comb(n, s))


def average_chance(settings: Settings) -> Values:
    """Three samples, of which the middle one's chance is q/n."""
    weights = rank_weights(3, 2, 1)
    return {"weights": ", ".join(str(Fraction(w).limit_denominator(100)) for w in weights), "average": str(Fraction(1, 3))}


def stale_scores(settings: Settings) -> Values:
    """Expected step of Algorithm 1 on 40 parabolas (theta - a_i)^2 / 2, exactly, with fresh scores and with those that Eq. 2 keeps."""
    n, s, q, steps, rate = 40, 20, 6, 200, 0.1
    draw = np.random.default_rng(0)
    centres, theta, scores = draw.normal(size=n), 3.0, np.full(n, np.inf)
    for _ in range(steps):
        pool = draw.choice(n, s, replace=False)
        kept = pool[np.argsort(-scores[pool], kind="stable")[:q]]
        theta -= rate * float((theta - centres[kept]).mean())
        scores[kept] = (theta - centres[kept]) ** 2 / 2
    slopes, losses = theta - centres, (theta - centres) ** 2 / 2
    surrogate = float(rank_weights(n, s, q) / q @ slopes[np.argsort(-losses, kind="stable")])
    fresh, stale = (float(selection_probabilities(known, s, q) / q @ slopes) for known in (losses, scores))
    return {"n": n, "s": s, "q": q, "surrogate": surrogate, "fresh": fresh, "stale": stale, "full": float(slopes.mean())}


def no_chance(settings: Settings) -> Values:
    """Samples without any chance at given scores: those of the last s - q ranks."""
    n, s, q = settings["n"], settings["s"], settings["q"]
    none = n - s + q
    assert not rank_weights(n, s, q)[none:].any()
    return {"n": n, "s": s, "q": q, "count": n - none}


def sum_of_weights(settings: Settings) -> Values:
    """The sum in exact fractions."""
    n, s, q = 40, 17, 6
    return {"n": n, "s": s, "q": q, "total": _eq3_sum(n, s, q, lambda j: min(q, j))}


def induction_base(settings: Settings) -> Values:
    """Both sums of D.2's first step."""
    n, s = 12, 5
    printed = Fraction(n * math.comb(n - 1, s - 1), math.comb(n, s))
    right = Fraction(sum(math.comb(n - j, s - 1) for j in range(1, n + 1)), math.comb(n, s))
    return {"n": n, "s": s, "printed": printed, "right": right}


def batch_weights(settings: Settings) -> Values:
    """Sum of the weights (n/s) gamma_j / q over j <= s, for two sizes q."""
    n, s = 200, 100

    def total(q: int) -> float:
        return math.fsum(n / s * rank_weights(n, s, q)[:s] / q)

    return {"n": n, "s": s, "first": 30, "second": 60, "at_first": total(30), "at_second": total(60)}


def squared_gap(settings: Settings) -> Values:
    """C_s and its square."""
    n, s, q = 200, 100, 30
    gap = sup_gap(n, s, q)
    return {"n": n, "s": s, "q": q, "gap": gap, "square": gap**2}


def gap_near_equality(settings: Settings) -> Values:
    """C_s and the total variation as q approaches s."""
    n, s = 200, 100
    sizes = (30, 50, 80, 99)
    return {
        "n": n, "s": s, "least": min(sup_gap(n, s, q) for q in range(1, s)), "equal": sup_gap(n, s, s),
        "variations": ", ".join(f"{total_variation(n, s, q):.3g}" for q in sizes), "sizes": ", ".join(map(str, sizes)),
    }  # fmt: skip


def undefined_rank(settings: Settings) -> Values:
    """Smallest Q_n over random losses, and the gap between L_q and L by the other way round: probabilities of the samples."""
    draw, n, s, q = np.random.default_rng(0), 60, 30, 12
    losses = draw.exponential(size=(1000, n))
    least = min(surrogate_gap(row, s, q) for row in losses)
    by_sample = float((selection_probabilities(losses[0], s, q) / q - 1 / n) @ losses[0])
    return {"draws": len(losses), "least": least, "by_sample": by_sample, "by_rank": surrogate_gap(losses[0], s, q)}


def missing_factor(settings: Settings) -> Values:
    """Theorem 3's bound at the rate R/(G sqrt(T)) with R = G = 1, and without the 2 below the line."""
    steps = 100
    bound = convergence_bound(1.0, 1.0, np.full(steps, steps**-0.5))
    return {"steps": steps, "right": bound, "printed": 2 * bound}


def toy_probabilities(settings: Settings) -> Values:
    """The chances of {3} and {4} in E.1."""
    found = {outcome.kept: outcome.probability for outcome in orderdp_of(*_toy())}
    printed_3, printed_4 = (_toy_printed("OrderDP", kept, "probability") for kept in ("3", "4"))
    return {"printed_3": printed_3, "printed_4": printed_4, "right_3": found[(3,)], "right_4": found[(4,)]}


def toy_expectation(settings: Settings) -> Values:
    """E.1's expectation: printed, from the printed probabilities, and right."""
    gradients, _ = _toy()
    follows = sum(gradient * _toy_printed("OrderDP", str(gradient), "probability") for gradient in gradients)
    printed, right = _toy_printed("OrderDP", "", "expected-gradient"), expectations(orderdp_of(*_toy())).mean
    return {"printed": float(printed), "follows": float(follows), "right": float(right)}


def toy_prune_rate(settings: Settings) -> Values:
    """Table 10's first row, and the expected share pruned."""
    outcomes = infobatch_outcomes(*_toy())
    (first,) = [outcome for outcome in outcomes if outcome.kept == (3, 4, 5)]
    printed, expected = _toy_printed("InfoBatch", "3+4+5", "prune-ratio"), expectations(outcomes).prune_ratio
    return {"printed": float(printed), "right": float(first.prune_ratio), "expected": float(expected)}


def toy_estimators(settings: Settings) -> Values:
    """InfoBatch's expectation by both denominators, beside the full gradient."""
    found = expectations(infobatch_outcomes(*_toy()))
    return {
        "full": float(_toy_printed("Whole Dataset", "", "expected-gradient")),
        "printed": float(found.mean),
        "right": float(found.per_sample),
        "ours": float(expectations(orderdp_of(*_toy())).mean),
    }


def _toy() -> tuple[list[int], float]:
    """Gradients and prune ratio of E.1, from the name of its columns: toy/gradients-1-to-5/80."""
    frame = load_published()
    model, ratio = frame.loc[frame["table"] == "table10", ["model", "ratio"]].iloc[0]
    _, first, _, last = model.split("-")
    return list(range(int(first), int(last) + 1)), float(ratio) / 100


def _toy_printed(row: str, kept: str, quantity: str) -> Fraction:
    """A number of E.1 as printed."""
    frame = load_published()
    found = frame[(frame["table"] == "table10") & (frame["row"] == row) & (frame["kept"] == kept) & (frame["quantity"] == quantity)]
    return Fraction(found["printed"].item())


def truncated_size(settings: Settings) -> Values:
    """int() of a float product against the nearest integer."""
    n, share = settings["n"], 0.58
    return {"n": n, "share": share, "truncated": int(share * n), "rounded": round(share * n)}


def memory(settings: Settings) -> Values:
    """Growth of the scores that Algorithm 1 has to remember."""
    sizes, (explore, exploit) = [1000, 4000], _shares(settings)
    finding = memory_constant({}, n=sizes, epochs=200, explore=explore, exploit=exploit)
    return {"growth": finding.value, "sizes": sizes[1] / sizes[0]}


def _shares(settings: Settings) -> tuple[float, float]:
    """s/n and q/s of the default split."""
    return settings["s"] / settings["n"], settings["q"] / settings["s"]


def wrong_gaps(settings: Settings) -> Values:
    """Every printed gap of Tables 1 and 2 that is not the difference of the printed accuracies."""
    frame = load_published()
    found = []
    for table in ("table1", "table2"):
        of_table = frame[frame["table"] == table].set_index(["row", "column"])["value"]
        for (row, column), gap in of_table.items():
            if not str(column).endswith("/gap"):
                continue
            where = str(column).removesuffix("/gap")
            full = of_table[("Whole Dataset", where.rpartition("/")[0] + "/0")]
            right = full - of_table[(row, where)]
            if abs(abs(right) - abs(gap)) > ROUNDING:
                found.append((table.replace("table", "Table "), row, where, gap, right))
    printed = "; ".join(f"{table}, {row} on {where}: {gap:.1f}" for table, row, where, gap, _ in found)
    return {"count": len(found), "printed": printed, "right": "; ".join(f"{right:.1f}" for *_, right in found)}


def only_lossless(settings: Settings) -> Values:
    """Table 2 at 30 %: who else prints the full data's accuracy."""
    frame = load_published()
    table = frame[(frame["table"] == "table2") & (frame["quantity"] == "accuracy")]
    full = table[table["row"] == "Whole Dataset"].set_index(["dataset", "model"])["value"]
    others = table[(table["ratio"] == "30") & ~table["row"].isin(["Whole Dataset", "OrderDP"])]
    equal = [
        f"{row} on {d}/{m}" for row, d, m, v in others[["row", "dataset", "model", "value"]].itertuples(index=False) if v >= full[(d, m)]
    ]
    return {"who": ", ".join(equal), "count": len(equal)}


def imagenet_time(settings: Settings) -> Values:
    """Table 3's hours and what they save."""
    full, ours, random = (value("table3", row, f"ImageNet-1K/ResNet-50/{at}/time") for row, at in
                          (("Whole Dataset", 0), ("OrderDP", 40), ("Dynamic Random", 40)))  # fmt: skip
    return {
        "ours": ours,
        "random": random,
        "saved": 100 * (1 - ours / full),
        "claimed": value("text", "OrderDP", "all/all/any/saved-above"),
    }


def jaccard_order(settings: Settings) -> Values:
    """Table 8 in the first fifth at 70 %, where InfoBatch is printed higher; and what a ranking that stands still gives."""
    column = "CIFAR100/ResNet-18/70/progress={}/jaccard"
    infobatch, ours = (value("table8", row, column.format("0-20")) for row in ("InfoBatch", "OrderDP"))
    last = value("table8", "OrderDP", column.format("100"))
    explore, exploit = _shares(settings)
    still = {"explore": explore, "static": expected_jaccard(explore, exploit), "last": last, "needs": 2 * last / (1 + last)}
    return {"infobatch": infobatch, "ours": ours} | still


def nominal_ratio(settings: Settings) -> Values:
    """The share of the samples that lay below the mean, if the released InfoBatch pruned them as far as it can."""
    nominal, real = (value("table9", "InfoBatch", f"CIFAR100/ResNet-50/61/{name}") for name in ("nominal-prune-ratio", "prune-ratio"))
    clamped = min(nominal, 1 - settings["min_keep"])
    return {"nominal": nominal, "clamped": clamped, "real": real, "below": real / clamped}


def saved_shares(settings: Settings) -> Values:
    """Table 7's savings of OrderDP, which depend on the optimizer."""
    frame = load_published()
    shares = frame[(frame["table"] == "table7") & (frame["row"] == "OrderDP") & (frame["quantity"] == "saved")]["value"]
    return {"least": shares.min(), "most": shares.max()}


def lossless_rows(settings: Settings) -> Values:
    """Table 6's first column."""
    where = "CIFAR10/ResNet-18"
    return {
        "full": value("table6", "Whole Dataset", f"{where}/0"),
        "ours": value("table6", "OrderDP", f"{where}/lossless"),
        "tolerance": value("text", "OrderDP", "all/all/lossless/gap-below"),
    }


def method_count(settings: Settings) -> Values:
    """Static methods that Table 1 prints."""
    frame = load_published()
    rows = set(frame[frame["table"] == "table1"]["row"]) - {"Whole Dataset", "OrderDP"}
    return {"count": len(rows)}


def nothing(settings: Settings) -> Values:
    """For what is found by reading."""
    return {}


CORRECTIONS: dict[str, Callable[[Settings], Values]] = {
    "beta_limit": beta_limit,
    "vanishing_weight": vanishing_weight,
    "upper_limit": upper_limit,
    "average_chance": average_chance,
    "stale_scores": stale_scores,
    "no_chance": no_chance,
    "sum_of_weights": sum_of_weights,
    "induction_base": induction_base,
    "batch_weights": batch_weights,
    "squared_gap": squared_gap,
    "gap_near_equality": gap_near_equality,
    "undefined_rank": undefined_rank,
    "missing_factor": missing_factor,
    "toy_probabilities": toy_probabilities,
    "toy_expectation": toy_expectation,
    "toy_prune_rate": toy_prune_rate,
    "toy_estimators": toy_estimators,
    "truncated_size": truncated_size,
    "memory": memory,
    "wrong_gaps": wrong_gaps,
    "only_lossless": only_lossless,
    "imagenet_time": imagenet_time,
    "jaccard_order": jaccard_order,
    "nominal_ratio": nominal_ratio,
    "saved_shares": saved_shares,
    "lossless_rows": lossless_rows,
    "method_count": method_count,
    "nothing": nothing,
}
"""Name in `errata.csv` -> function."""
