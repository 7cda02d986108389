"""What the printed formulas give, and what is right."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from scipy.special import betainc

from orderdp.reporting.claims.statistics.computed import memory_constant
from orderdp.reporting.errata.values import Settings, Values, shares
from orderdp.theory import (
    convergence_bound,
    limit_weights,
    rank_weights,
    selection_probabilities,
    sup_gap,
    surrogate_gap,
    surrogate_loss,
    total_variation,
)


def beta_limit(settings: Settings) -> Values:
    """Proposition 2's distribution function, as printed and as its proof ends."""
    n, s, q, z = 1000, 10, 3, 0.01
    gamma = float(limit_weights(z, s, q))
    values = {"printed": 1 - n / s * gamma, "right": 1 - gamma / s, "beta": float(betainc(q, s - q, z))}
    return {"n": n, "s": s, "q": q, "z": z} | values


def vanishing_weight(settings: Settings) -> Values:
    """gamma_j itself tends to 0; n gamma_j to the limit."""
    n, s, q, z = 1_000_000, 10, 3, 0.1
    gamma = float(rank_weights(n, s, q)[round(z * n) - 1])
    values = {"weight": gamma, "scaled": n * gamma, "limit": float(limit_weights(z, s, q))}
    return {"n": n, "s": s, "q": q, "z": z} | values


def upper_limit(settings: Settings) -> Values:
    """The sum of the weights with the upper limit of A.1 and with that of Eq. 3."""
    n, s, q = 9, 5, 3
    printed, right = (_eq3_sum(n, s, q, top) for top in (1, q))
    return {"n": n, "s": s, "q": q, "printed": printed, "right": right}


def _eq3_sum(n: int, s: int, q: int, top: int) -> Fraction:
    """Sum over j of Eq. 3, l from max(1, s-n+j) to min(top, j), in exact fractions."""
    total = 0
    for j in range(1, n + 1):
        for rank in range(max(1, s - n + j), min(top, j) + 1):
            total += math.comb(j - 1, rank - 1) * math.comb(n - j, s - rank)
    return Fraction(total, math.comb(n, s))


def average_chance(settings: Settings) -> Values:
    """Three samples, of which the middle one's chance is q/n."""
    n, s, q = 3, 2, 1
    weights = ", ".join(str(Fraction(w).limit_denominator(100)) for w in rank_weights(n, s, q))
    return {"n": n, "s": s, "q": q, "weights": weights, "average": Fraction(q, n)}


def stale_scores(settings: Settings) -> Values:
    """Expected step of Algorithm 1 on 40 parabolas (theta - a_i)^2 / 2, exactly, with fresh scores and with those that
    Eq. 2 keeps."""
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
    means = {"surrogate": surrogate, "fresh": fresh, "stale": stale, "full": float(slopes.mean())}
    return {"n": n, "s": s, "q": q} | means


def no_chance(settings: Settings) -> Values:
    """Samples without any chance at given scores: those of the last s - q ranks."""
    n, s, q = settings["n"], settings["s"], settings["q"]
    none = n - s + q
    assert not rank_weights(n, s, q)[none:].any()
    return {"n": n, "s": s, "q": q, "count": n - none}


def rank_chances(settings: Settings) -> Values:
    """The chance to be a candidate, and that of the hardest and of the last s - q ranks to be kept."""
    n, s, q = settings["n"], settings["s"], settings["q"]
    weights = rank_weights(n, s, q)
    chances = {"candidate": s / n, "first": weights[0], "last": weights[-1]}
    return {"n": n, "s": s, "q": q} | chances | {"none": no_chance(settings)["count"]}


def placed_sets(settings: Settings) -> Values:
    """Sets of s out of n in which rank j is the l-th: as A.1 counts them and as they are."""
    n, s, j, place = 9, 5, 4, 2
    printed = math.comb(n - j, s - place)
    return {"n": n, "s": s, "j": j, "place": place, "printed": printed, "right": math.comb(j - 1, place - 1) * printed}


def vanishing_terms(settings: Settings) -> Values:
    """Eq. 15's summands at both ends of the range of l, which A.2 sets to 0."""
    n, s, q, j, low = 9, 5, 4, 6, 3
    first = s - n + j

    def term(rank: int, place: int) -> Fraction:
        return Fraction(math.comb(place - 1, rank - 1) * math.comb(n - place, s - rank), math.comb(n, s))

    terms = {"first": first, "at_first": term(first, j), "low": low, "at_low": term(low, low)}
    return {"n": n, "s": s, "q": q, "j": j} | terms


def quantile_order(settings: Settings) -> Values:
    """The losses 1 to n, weighed in ascending order as Eq. 28 and 31 print it, and in descending order as Eq. 3
    does."""
    n, s, q = 9, 5, 2
    losses = np.arange(1.0, n + 1)
    printed, right = float(rank_weights(n, s, q) / q @ losses), surrogate_loss(losses, s, q)
    return {"n": n, "s": s, "q": q, "printed": printed, "right": right}


def sum_of_weights(settings: Settings) -> Values:
    """The sum in exact fractions."""
    n, s, q = 40, 17, 6
    return {"n": n, "s": s, "q": q, "total": _eq3_sum(n, s, q, q)}


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
    return {"n": n, "s": s} | {
        "least": min(sup_gap(n, s, q) for q in range(1, s)),
        "equal": sup_gap(n, s, s),
        "variations": ", ".join(f"{total_variation(n, s, q):.3g}" for q in sizes),
        "sizes": ", ".join(map(str, sizes)),
    }


def undefined_rank(settings: Settings) -> Values:
    """Smallest Q_n over random losses, and the gap between L_q and L by the other way round: probabilities of the
    samples."""
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


def memory(settings: Settings) -> Values:
    """Growth of the scores that Algorithm 1 has to remember."""
    sizes, (explore, exploit) = [1000, 4000], shares(settings)
    finding = memory_constant({}, n=sizes, epochs=200, explore=explore, exploit=exploit)
    return {"growth": finding.value, "sizes": sizes[1] / sizes[0]}
