"""What a trial's runs say: accuracies and durations with intervals, the largest saving that they support, and a
recommendation that claims no more than that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orderdp.grid.params import even_split
from orderdp.reporting.claims.statistics.intervals import Estimate, geometric_mean, interval_text, mean, share
from orderdp.reporting.claims.statistics.resolution import least_deviation
from orderdp.reporting.measures import CONFIDENCE
from orderdp.trial.planning import FULL, PRUNING, SAVING, SHORTER

LEVEL = (1 - CONFIDENCE) / 2
"""Of one limit: how often a method's largest ratio without loss is stated too large, at most."""
WORDS = {
    FULL: "Full data",
    SHORTER: "Full data, as many steps",
    "random": "Random pruning",
    "infobatch": "InfoBatch",
    "orderdp": "OrderDP",
}
FEWEST = 3
"""Seeds without which nothing is concluded."""
MOST_ADVISED = 20
"""Seeds beyond which nobody is advised to train more."""


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    method: str
    ratio: float | None
    seed: int
    accuracy: float
    """On the test part, in %."""
    seconds: float
    """Of selection and training."""
    realised: float
    """Share of the sample visits that it left out."""
    diverged: bool = False


@dataclass(frozen=True, eq=False)
class Arm:
    """A method at a prune ratio."""

    method: str
    ratio: float | None
    accuracy: Estimate
    """%."""
    gap: Estimate | None
    """Accuracy less that of the full data, paired by seed, in points; None of the full data itself."""
    time: Estimate | None
    """Duration over that of the full data, paired by seed."""
    realised: float
    diverged: int
    lossless: bool = False
    """Whether these seeds support that it loses no more than the tolerance."""

    @property
    def words(self) -> str:
        """`OrderDP, 30 % pruned`."""
        return WORDS[self.method] + ("" if self.ratio is None else f", {100 * self.ratio:g} % pruned")

    @property
    def saved(self) -> str:
        """Time that it saves, in words."""
        assert self.time is not None
        less = 100 * (1 - self.time.value)
        return f"{less:.0f} % less time" if less >= 0.5 else f"{-less:.0f} % more time" if less <= -0.5 else "no time"


@dataclass(frozen=True, eq=False)
class Findings:
    """What the trial found.

    Attributes:
        arms: the full data first, then by ratio.
        seeds: how many.
        tolerance: points of accuracy that count as no loss.
        learned: whether the full data is better than always naming the most frequent class.
        majority: share of the most frequent class in the test part, in %.
        chosen: the arm that is recommended; None to train on everything.
        advice: sentences, the most important first.
    """

    arms: list[Arm]
    seeds: int
    tolerance: float
    learned: bool
    majority: float
    chosen: Arm | None
    advice: list[str]

    @property
    def full(self) -> Arm:
        """The full data."""
        return self.arms[0]


def conclude(outcomes: Sequence[Outcome], tolerance: float, majority: float, n_test: int) -> Findings:
    """Compares every method with the full data.

    For each method, from the smallest ratio on, it is tested whether the loss is larger than the tolerance, and the
    tests stop at the first that does not reject that (one-sided, at 2.5 %; tests in a fixed order need no correction).
    So a method's largest ratio without loss is too large in 2.5 % of trials at most.

    Args:
        outcomes: of all finished runs.
        tolerance: points of accuracy that count as no loss.
        majority: share of the most frequent class among the test samples, in %.
        n_test: test samples.
    """
    groups: dict[tuple[str, float | None], dict[int, Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.method, outcome.ratio), {})[outcome.seed] = outcome
    full = groups.pop((FULL, None))
    floor = least_deviation([outcome.accuracy for outcome in outcomes])
    arms = [_arm(FULL, None, full, None, floor)]
    largest: dict[str, Arm | None] = {}
    for method in SAVING:
        own = sorted(((ratio or 0.0), runs) for (name, ratio), runs in groups.items() if name == method)
        found = [_arm(method, ratio, runs, full, floor) for ratio, runs in own]
        supported = _supported(found, tolerance)
        found = [replace(arm, lossless=index < supported) for index, arm in enumerate(found)]
        largest[method] = found[supported - 1] if supported else None
        arms += found
    arms = [arms[0], *sorted(arms[1:], key=lambda arm: arm.ratio or 0.0)]
    learned = _learned(full, majority, n_test)
    chosen: Arm | None = None
    if not learned:
        advice = _nothing_learned(arms[0], majority)
    elif (chosen := _best(largest)) is None:
        advice = _no_pruning(arms, largest[SHORTER], tolerance)
    else:
        shorter = groups.get((SHORTER, chosen.ratio), {})
        pairs = [(a, shorter[seed]) for seed, a in groups[chosen.method, chosen.ratio].items() if seed in shorter]
        against = mean([a.accuracy - b.accuracy for a, b in pairs if not b.diverged], least=floor)
        advice = _pruning(chosen, largest, against, tolerance)
    return Findings(arms, len(full), tolerance, learned, majority, chosen, advice)


def _arm(
    method: str, ratio: float | None, runs: Mapping[int, Outcome], full: Mapping[int, Outcome] | None, floor: float
) -> Arm:
    finished = [run for run in runs.values() if not run.diverged]
    lost = len(runs) - len(finished)
    accuracy = mean([run.accuracy for run in finished], least=floor / math.sqrt(2))
    realised = sum(run.realised for run in finished) / max(1, len(finished))
    if full is None:
        return Arm(method, ratio, accuracy, None, None, realised, lost)
    both = [(run, full[run.seed]) for run in finished if run.seed in full and not full[run.seed].diverged]
    gap = mean([a.accuracy - b.accuracy for a, b in both], least=floor)
    time = geometric_mean([a.seconds / b.seconds for a, b in both])
    return Arm(method, ratio, accuracy, gap, time, realised, lost)


def _supported(arms: Sequence[Arm], tolerance: float) -> int:
    """How many of these ratios, from the smallest on, are shown to lose no more than the tolerance."""
    count = 0
    for arm in arms:
        assert arm.gap is not None
        # Half of a two-sided test at 5 %: the interval lies above.
        if arm.diverged or arm.gap.count < FEWEST or not arm.gap.low > -tolerance:
            break
        count += 1
    return count


def _learned(full: Mapping[int, Outcome], majority: float, n_test: int) -> bool:
    """Whether every run on the full data is better than naming the most frequent class, beyond what chance gives with
    so many test samples."""
    runs = [run for run in full.values() if not run.diverged]
    return bool(runs) and all(100 * share(round(run.accuracy * n_test / 100), n_test).low > majority for run in runs)


def _best(largest: Mapping[str, Arm | None]) -> Arm | None:
    """Of the pruning methods the arm with the largest supported ratio; of several OrderDP, or else the most
    accurate."""
    found = [arm for method in PRUNING if (arm := largest[method]) is not None]
    return max(found, key=lambda arm: (arm.ratio or 0.0, arm.method == "orderdp", arm.accuracy.value), default=None)


def _nothing_learned(full: Arm, majority: float) -> list[str]:
    if full.accuracy.count == 0:
        return [
            "The training on the full data diverged, so there is nothing to compare with. Choose another network"
            " (--model), or look at the data."
        ]
    return [
        f"Do not prune here. The network learned nothing: on the test part it is not better"
        f" ({full.accuracy.value:.1f} %) than always naming the most frequent class ({majority:.1f} %), so nothing can"
        " be lost, and nothing is shown.",
        "Look at the labels first. If they are right, try another network (--model) or a longer training (--epochs).",
    ]


def _pruning(chosen: Arm, largest: Mapping[str, Arm | None], against: Estimate, tolerance: float) -> list[str]:
    assert chosen.gap is not None and chosen.ratio is not None
    percent, within = f"{100 * chosen.ratio:g} %", f"{tolerance:g} points"
    split = f" with explore={even_split(chosen.ratio):g}" if chosen.method == "orderdp" else ""
    advice = [
        f"Prune {percent} with {WORDS[chosen.method]}{split}: {chosen.saved}, accuracy {_gap(chosen)} to the full data."
        f" These {chosen.gap.count} seeds support that it loses no more than {within}."
    ]
    shorter = largest[SHORTER]
    if against.count >= FEWEST and against.low > 0:
        advice.append(
            f"What is pruned matters: this is {against.value:.2f} [{against.low:.2f}, {against.high:.2f}] points better"
            " than all data for as many steps."
        )
    elif shorter is not None and (shorter.ratio or 0) >= chosen.ratio:
        advice.append(
            f"A shorter training saves as much: all data for as many steps ({_gap(shorter)} at"
            f" {100 * (shorter.ratio or 0):g} %). These seeds show no gain of pruning over it."
        )
    else:
        advice.append(
            "All data for as many steps is not shown to be without loss at this ratio, and these seeds do not tell the"
            f" two apart ({interval_text(against.value, against.low, against.high, 'points')})."
        )
    others = [WORDS[method] for method in PRUNING if method != chosen.method and _as_far(largest[method], chosen)]
    if others:
        advice.append(f"So it is of {' and '.join(others)}: these seeds do not show which is better.")
    return advice


def _as_far(arm: Arm | None, chosen: Arm) -> bool:
    return arm is not None and (arm.ratio or 0) >= (chosen.ratio or 0)


def _no_pruning(arms: Sequence[Arm], shorter: Arm | None, tolerance: float) -> list[str]:
    least = min(arm.ratio for arm in arms if arm.ratio is not None)
    first = [arm for arm in arms if arm.ratio == least and arm.method in PRUNING]
    within, percent = f"{tolerance:g} points", f"{100 * least:g} %"
    if all(arm.gap is not None and arm.gap.high < -tolerance for arm in first):
        losses = "; ".join(f"{WORDS[arm.method]} {_gap(arm)}" for arm in first)
        advice = [f"Do not prune here. At {percent} every method loses more than {within}: {losses}."]
    else:
        best = max(first, key=lambda arm: -math.inf if arm.gap is None else arm.gap.value)
        advice = [
            f"Train on everything for now: these seeds do not show that {percent} can be pruned without loss."
            f" Nearest is {WORDS[best.method]}, {_gap(best)} to the full data, where a loss of up to {within} would"
            " count as none."
        ]
        if best.gap is not None and (seeds := needed(best.gap, tolerance)) is not None:
            advice.append(f"If nothing is lost, about {seeds} seeds would show it: --seeds {seeds}.")
    if shorter is not None:
        advice.append(
            f"A shorter training on all data is supported: as many steps as with {100 * (shorter.ratio or 0):g} %"
            f" pruned, {shorter.saved}, {_gap(shorter)}."
        )
    return advice


def _gap(arm: Arm) -> str:
    gap = arm.gap
    return "–" if gap is None else interval_text(gap.value, gap.low, gap.high, "points")


def needed(gap: Estimate, tolerance: float) -> int | None:
    """Seeds with which half of the interval is narrower than the tolerance, if the runs vary as much as these; None for
    more than MOST_ADVISED, or for no more than there are."""
    from scipy.special import stdtrit

    if gap.count < 2 or gap.low != gap.low:
        return None
    deviation = (gap.high - gap.low) / 2 / float(stdtrit(gap.count - 1, 1 - LEVEL)) * math.sqrt(gap.count)
    for seeds in range(FEWEST, MOST_ADVISED + 1):
        if float(stdtrit(seeds - 1, 1 - LEVEL)) * deviation / math.sqrt(seeds) < tolerance:
            return seeds if seeds > gap.count else None
    return None
