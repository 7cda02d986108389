"""The statistics behind tables and figures: pure functions of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95

LOSSLESS_TOLERANCE = 0.1
"""Points of accuracy. Paper: footnote 1, "typically within 0.1%"."""

PHASES: tuple[tuple[str, float, float], ...] = (
    ("0-30", 0.0, 0.3),
    ("30-50", 0.3, 0.5),
    ("50-70", 0.5, 0.7),
    ("70-100", 0.7, 1.0),
)
"""Phases of training of Table 9: name in % and (from, to], as shares of the epochs."""

FIFTHS = tuple((index / 5, (index + 1) / 5) for index in range(5))
"""Phases of training of Tables 8 and 11: (from, to] as shares of the epochs."""


class Spread(NamedTuple):
    """Mean and sample standard deviation (n - 1; NaN for fewer than two values) of `count` values."""

    mean: float
    std: float
    count: int  # type: ignore[assignment]


class Difference(NamedTuple):
    """Mean of paired differences, half the width of its 95 % t interval (NaN for fewer than two pairs), number of
    pairs."""

    mean: float
    half_width: float
    pairs: int


def spread(values: Iterable[float]) -> Spread:
    """Mean and sample standard deviation, missing values left out."""
    x = np.array([value for value in values if value == value], dtype=float)
    if len(x) == 0:
        return Spread(float("nan"), float("nan"), 0)
    return Spread(float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else float("nan"), len(x))


def paired_difference(ours: Mapping[int, float], reference: Mapping[int, float]) -> Difference:
    """Difference ours - reference, paired by seed.

    Paired because runs of one seed share initial weights, order and augmentation: what these add to both runs cancels.

    Args:
        ours: seed -> value.
        reference: seed -> value; only seeds on both sides count.
    """
    mean, std, count = spread(ours[seed] - reference[seed] for seed in sorted(set(ours) & set(reference)))
    if count < 2:
        return Difference(mean, float("nan"), count)
    return Difference(mean, float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * std / count**0.5, count)


def lossless_ratio(
    ratios: Sequence[float], accuracies: Sequence[float], full: float, tolerance: float = LOSSLESS_TOLERANCE
) -> float | None:
    """Largest realised prune ratio whose mean accuracy is at least that of the full data less the tolerance.

    Args:
        ratios: realised prune ratios in [0, 1).
        accuracies: mean accuracy in % at each.
        full: mean accuracy in % on the full data.
        tolerance: in points.

    Returns:
        None if no ratio qualifies.
    """
    within = [ratio for ratio, accuracy in zip(ratios, accuracies, strict=True) if accuracy >= full - tolerance - 1e-9]
    return max(within, default=None)


def in_phase(progress: pd.Series, start: float, end: float) -> pd.Series:
    """Whether an epoch that ends at `progress` lies in (start, end]; both as shares of the planned epochs."""
    return (progress > start + 1e-9) & (progress <= end + 1e-9)


def taken_in_phase(progress: pd.Series, start: float, end: float) -> pd.Series:
    """Whether what was measured before an epoch, at `progress`, lies in [start, end): the phase of the epoch that
    follows."""
    return (progress >= start - 1e-9) & (progress < end - 1e-9)


def pooled(means: pd.Series, stds: pd.Series, steps: pd.Series) -> tuple[float, float]:
    """Mean and standard deviation over all steps of several epochs.

    Args:
        means: per epoch, over its steps.
        stds: per epoch, population standard deviation over its steps.
        steps: per epoch, how many.

    Returns:
        What one would get from the steps themselves (population standard deviation).
    """
    weights = steps / steps.sum()
    mean = float((weights * means).sum())
    second_moment = float((weights * (stds**2 + means**2)).sum())
    return mean, max(second_moment - mean**2, 0.0) ** 0.5


def rolling_window(epochs: int) -> int:
    """Epochs in the window of the rolling deviation: a twentieth of the training, at least 3."""
    return max(3, round(epochs / 20))


def pearson(x: pd.Series, y: pd.Series) -> tuple[float, int]:
    """Pearson's R over the pairs that have both values, and their number; NaN for fewer than three pairs or a
    constant."""
    both = x.notna() & y.notna()
    x, y = x[both], y[both]
    if len(x) < 3 or x.std() == 0 or y.std() == 0:
        return float("nan"), len(x)
    return float(np.corrcoef(x, y)[0, 1]), len(x)


def over_seeds(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean and sample standard deviation (0 for one seed) of a column over seeds, for every epoch."""
    grouped = frame.groupby("epoch")[column]
    return pd.DataFrame({"mean": grouped.mean(), "std": grouped.std().fillna(0.0)})
