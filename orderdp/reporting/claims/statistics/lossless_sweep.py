"""Confidence set of the largest prune ratio without loss, by tests in a fixed order of the ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import pandas as pd

from orderdp.reporting.claims.statistics.accuracy import gap
from orderdp.reporting.claims.statistics.intervals import Estimate
from orderdp.reporting.claims.statistics.runs import FULL, by_seed, settings
from orderdp.reporting.measures import CONFIDENCE, LOSSLESS_TOLERANCE
from orderdp.reporting.results import FINISHED


@dataclass(frozen=True, eq=False)
class Sweep:
    """The ratios of one method on one workload, from none (index 0, the full data) to the one with the most really
    pruned."""

    ratios: list[float]
    """Of the grid; 0 for none."""
    realised: list[float]
    """Really pruned, mean over seeds; 0 for none."""
    times: list[dict[int, float]]
    """Seed -> seconds of selection and training."""
    exclusion: list[float]
    """Per ratio: the smallest level of a one-sided limit that excludes it as the largest ratio without loss."""
    chosen: int
    """Index of the largest ratio whose mean accuracy lies within the tolerance."""

    def kept(self, level: float) -> list[int]:
        """Indices of the ratios that one-sided limits at this level leave, in order; not empty for levels below 0.5."""
        return [index for index, p in enumerate(self.exclusion) if p > level]

    def limits(self, level: float = (1 - CONFIDENCE) / 2) -> tuple[float, float]:
        """Smallest and largest ratio of the confidence set; at the default level that of 95 %."""
        kept = self.kept(level)
        return self.ratios[kept[0]], self.ratios[kept[-1]]


def exclusions(gaps: Sequence[Estimate], tolerance: float = LOSSLESS_TOLERANCE) -> list[float]:
    """How surely each ratio is not the largest without loss: a p-value for none and one for each ratio, in the same
    order.

    Lower limit: from the smallest ratio on, test that the loss is larger than the tolerance, and stop at the first test
    that is not rejected. Upper limit: from the largest ratio down, test that the loss is within the tolerance, and stop
    in the same way. Tests in an order that was fixed beforehand need no correction (Maurer, Hothorn and Lehmacher
    1995): the first true hypothesis in the order is rejected with the probability of one test at most, so each limit
    errs with its level at most, whatever ratio the means happen to favour. The lower limit errs only if a ratio is
    taken for lossless that is not; the upper one only if the true largest ratio is taken for lossy. Accuracy need not
    fall with the ratio.

    Args:
        gaps: accuracy at a ratio less that of the full data in points, paired by seed; smallest realised ratio first.
        tolerance: points that count as no loss.

    Returns:
        len(gaps) + 1 values in [0, 1]; a one-sided limit at level a excludes those that are at most a.

    Example:
        >>> from orderdp.reporting.claims.statistics.intervals import mean
        >>> [round(p, 3) for p in exclusions([mean([0.1, 0.2, 0.3]), mean([-5.1, -5.2, -5.3])])]
        [0.018, 0.982, 0.0]
    """
    lossless = [_above(gap, -tolerance) for gap in gaps]
    low = [
        *accumulate(lossless, max),
        1.0,
    ]  # of none: that the first ratio is lossless, too; the last has no ratio beyond
    lossy = [1 - p for p in lossless]
    high = [1.0, *reversed(list(accumulate(reversed(lossy), max)))]  # none is never excluded from above
    return [min(pair) for pair in zip(low, high, strict=True)]


def sweep(rows: pd.DataFrame, method: str) -> Sweep:
    """The sweep of a method; rows of one workload, with those of the full data.

    A ratio with a run that diverged is left out: a mean over the seeds that went well says nothing of the ratio.
    """
    full = rows[rows["method"] == FULL]
    pruned = rows[(rows["method"] == method) & (rows["method"] != FULL)]
    whole = [runs for _, runs in settings(pruned) if (runs["status"] == FINISHED).all()]
    whole.sort(key=lambda runs: float(runs["realised_prune_ratio"].mean()))
    gaps = [gap(runs, full, "", rows) for runs in whole]
    within = [index for index, estimate in enumerate(gaps, 1) if estimate.value >= -LOSSLESS_TOLERANCE - 1e-9]
    ratios = [0.0, *(float(runs["prune_ratio"].iloc[0]) for runs in whole)]
    times = [by_seed(runs, "time_s") for runs in (full, *whole)]
    realised = [0.0, *(float(runs["realised_prune_ratio"].mean()) for runs in whole)]
    return Sweep(ratios, realised, times, exclusions(gaps), max(within, default=0))


def _above(estimate: Estimate, threshold: float) -> float:
    """One-sided p-value of the hypothesis that the true number is at most the threshold; without an interval, nothing
    is known: 0.5."""
    p = estimate.p(threshold)
    return p / 2 if estimate.value > threshold else 1 - p / 2
