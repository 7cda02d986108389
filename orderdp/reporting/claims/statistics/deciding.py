"""From estimates to a verdict: the two rules that all claims about runs share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from orderdp.reporting.claims.statistics.intervals import NAN, Estimate, holm, interval_text, number_text
from orderdp.reporting.claims.statistics.power import power_text
from orderdp.reporting.claims.statistics.runs import shortfalls
from orderdp.reporting.measures import CONFIDENCE
from orderdp.reporting.results import DIVERGED

SUPPORTED, CONTRADICTED, INCONCLUSIVE, NOT_RUN = "supported", "contradicted", "inconclusive", "not run"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, NOT_RUN)

FEWEST = 3
"""Seeds that a verdict needs. Two runs may agree by chance; a single run decides nothing."""


@dataclass(frozen=True)
class Finding:
    """What a statistic says about a claim."""

    verdict: str
    statistic: str
    """What the number is, in words."""
    value: float = NAN
    low: float = NAN
    high: float = NAN
    unit: str = ""
    claimed: str = ""
    """What the number would be if the claim holds: `above 0`."""
    decided_from: str = ""
    """`3 seeds`, `computed`, ..."""
    reason: str = ""
    """Why this verdict, where the number alone does not say it."""
    comparisons: tuple[str, ...] = ()
    """Every comparison with its interval, where there are several."""
    detectable: float = NAN
    """Difference from the threshold that one comparison finds with 80 % probability, where it is a mean of paired
    differences."""


@dataclass(frozen=True)
class Context:
    """How a finding reads: its number in words and its unit; the runs behind it, and whose success the claim asserts.

    `factor` scales numbers for readers only (100 for shares shown in %), `trials` names what is counted, `notes` go
    with the reasons, as does what the runs really pruned where it is not the ratio of the grid, `claimed` replaces
    the threshold in words, `detectable` is from `power.smallest_detectable`.
    """

    statistic: str
    unit: str = ""
    factor: float = 1.0
    runs: pd.DataFrame | None = None
    favours: str = ""
    trials: str = "seeds"
    notes: tuple[str, ...] = ()
    claimed: str = ""
    detectable: float = NAN


def decide_one_sided(estimates: Sequence[Estimate], context: Context, threshold: float = 0.0, side: int = 1) -> Finding:
    """Whether every estimate lies above the threshold (side 1) or below it (side -1).

    Supported: all 95 % intervals lie wholly on the claimed side; asking it of all needs no correction
    (intersection-union test). Contradicted: an estimate lies on the other side, significantly at 5 % after Holm's
    correction for the number of estimates. One is shown: the one that contradicts, or the one whose interval reaches
    farthest to the other side.
    """
    adjusted = holm([estimate.p(threshold) for estimate in estimates])
    wrong = [(p, e) for p, e in zip(adjusted, estimates, strict=True) if side * (e.value - threshold) < 0]
    refuted = min((pair for pair in wrong if pair[0] <= 1 - CONFIDENCE), key=lambda pair: pair[0], default=None)
    nearest = min(estimates, key=lambda e: _or_worst(side * (e.low if side > 0 else e.high) - side * threshold))
    holds = all(side * ((e.low if side > 0 else e.high) - threshold) > 0 for e in estimates)
    fails = any(side * ((e.high if side > 0 else e.low) - threshold) < 0 for e in estimates)
    claimed = f"{'above' if side > 0 else 'below'} {number_text(threshold * context.factor, '')}"
    return _finding(estimates, context, claimed, nearest, refuted, holds, fails)


def decide_equivalence(estimates: Sequence[Estimate], context: Context, lowest: float, highest: float) -> Finding:
    """Whether every estimate is equivalent: lies between two margins.

    Two one-sided tests at 2.5 % each. Supported: all 95 % intervals lie wholly between the margins. Contradicted: an
    estimate lies outside, significantly at 5 % after Holm's correction.
    """

    def p(estimate: Estimate) -> float:
        return (
            estimate.p(highest) if estimate.value > highest else estimate.p(lowest) if estimate.value < lowest else 1.0
        )

    adjusted = holm([p(estimate) for estimate in estimates])
    outside = [(p, e) for p, e in zip(adjusted, estimates, strict=True) if not lowest <= e.value <= highest]
    refuted = min((pair for pair in outside if pair[0] <= 1 - CONFIDENCE), key=lambda pair: pair[0], default=None)
    nearest = min(estimates, key=lambda e: _or_worst(min(e.low - lowest, highest - e.high)))
    holds = all(e.low > lowest and e.high < highest for e in estimates)
    fails = any(e.low > highest or e.high < lowest for e in estimates)
    claimed = f"{number_text(lowest * context.factor, '')} to {number_text(highest * context.factor, '')}"
    return _finding(estimates, context, claimed, nearest, refuted, holds, fails)


def decide_exact(holds: bool, statistic: str, value: float, claimed: str, unit: str = "", reason: str = "") -> Finding:
    """A claim that arithmetic decides: no seeds, no interval."""
    verdict = SUPPORTED if holds else CONTRADICTED
    return Finding(verdict, statistic, value, unit=unit, claimed=claimed, decided_from="computed", reason=reason)


def _or_worst(room: float) -> float:
    """An estimate without interval is the least favourable of all."""
    return room if room == room else float("-inf")


def _finding(
    estimates: Sequence[Estimate],
    context: Context,
    claimed: str,
    shown: Estimate,
    refuted: tuple[float, Estimate] | None,
    holds: bool,
    fails: bool,
) -> Finding:
    lost = _diverged(context.runs)
    own_lost = sum(method == context.favours for _, method in lost)
    verdict, reasons = _verdict(estimates, context, refuted, holds, fails, own_lost)
    if verdict == CONTRADICTED and refuted is not None:
        shown = refuted[1]
    if lost:
        reasons.append("diverged: " + ", ".join(name for name, _ in lost))
    if context.runs is not None:
        reasons.append(shortfalls(context.runs))
    reasons += context.notes
    reasons.append(power_text(context.detectable, min(estimate.count for estimate in estimates), claimed.split()[-1]))
    several = len(estimates) > 1
    scaled = {e: (e.value * context.factor, e.low * context.factor, e.high * context.factor) for e in estimates}
    comparisons = tuple(f"{e.label}: {interval_text(*scaled[e], context.unit)}" for e in estimates)
    return Finding(
        verdict,
        context.statistic + (f"; of {len(estimates)} the least favourable: {shown.label}" if several else ""),
        *scaled[shown],
        unit=context.unit,
        claimed=context.claimed or claimed,
        decided_from=f"{shown.count:,} {context.trials if shown.count != 1 else context.trials.removesuffix('s')}",
        reason="; ".join(filter(None, reasons)),
        detectable=context.detectable,
        comparisons=comparisons if several else (),
    )


def _verdict(
    estimates: Sequence[Estimate],
    context: Context,
    refuted: tuple[float, Estimate] | None,
    holds: bool,
    fails: bool,
    own_lost: int,
) -> tuple[str, list[str]]:
    """The verdict and why, where the interval alone does not show it."""
    count, several = min(estimate.count for estimate in estimates), len(estimates) > 1
    if count < FEWEST:
        return INCONCLUSIVE, [f"too few {context.trials}: {count}, at least {FEWEST} are needed"]
    if refuted is not None:
        p = f"p = {refuted[0]:.2g} after Holm's correction for {len(estimates)} comparisons"
        return CONTRADICTED, [p] if several else []
    if holds and own_lost:
        return INCONCLUSIVE, [f"holds for the runs that finished, but {own_lost} of {context.favours} diverged"]
    if holds:
        return SUPPORTED, []
    if fails:
        correction = f"Holm's correction for {len(estimates)} comparisons"
        return INCONCLUSIVE, [f"an interval lies on the other side, but not after {correction}"]
    return INCONCLUSIVE, []


def _diverged(runs: pd.DataFrame | None) -> list[tuple[str, str]]:
    """(run, method) of the runs that diverged."""
    if runs is None:
        return []
    lost = runs[runs["status"] == DIVERGED].drop_duplicates("run")
    return list(zip(lost["run"], lost["method"], strict=True))
