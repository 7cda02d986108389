"""One screen of text on a choice of s and q: what it keeps, how far it leaves the data's distribution, what it never
sees."""

from __future__ import annotations

import math
import textwrap

import numpy as np

from orderdp.theory import checks
from orderdp.theory.coverage import expected_jaccard, fixed_never_kept, left_after, random_jaccard
from orderdp.theory.distances import sup_gap, total_variation, wasserstein
from orderdp.theory.weights import rank_weights

PUBLISHED = {0.7: (0.5, "the paper's"), 0.4: (0.75, "the released scripts'")}
"""prune ratio -> (explore, whose). The paper states the first as its default (4.2); the second is in the ImageNet
scripts only."""
RANKED = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the pruning, counted in logarithms, that ranking does; chance does the rest."""
WIDTH, BAR, BINS = 80, 40, 10
LEGEND = (
    "No chance: the easiest, which never rank among q of any s. Covered: kept at least once, if those not kept yet come"
    " first (unseen, the default; for many samples), if the ranking never changes (fixed), if every epoch draws a new"
    " one (random)."
)
CHOOSING = (
    "Down the table ranking decides more and chance less: training moves to the hardest samples (C_s, TV, W1) and comes"
    " back to the same ones (Jaccard). That is bias, not accuracy: begin with the even split{}, go up where the hardest"
    " samples may be mislabelled or the ranking hardly changes, down where the scores can be trusted."
)


def splits(prune_ratio: float) -> list[tuple[float, float]]:
    """Ways to reach a prune ratio that are worth considering: (explore, exploit), from nearly random to greedy.

    explore = keep^(1-a), exploit = keep^a, where ranking does a share a = 0.1 ... 1 of the pruning (1/2, the even
    split, is the default of `OrderDP.at_ratio`), and the split of the paper or its released scripts at a ratio for
    which they have one.

    Args:
        prune_ratio: 1 - q/n, in (0, 1).

    Returns:
        Pairs whose product is 1 - prune_ratio. explore rises, lies above 1 - prune_ratio, is at most 1 and has three
        decimals.

    Raises:
        ValueError: a ratio outside its range.

    Example:
        >>> splits(0.7)[:2]
        [(0.338, 0.8875739644970415), (0.405, 0.7407407407407408)]
    """
    keep = 1 - checks.share("splits", "prune_ratio", prune_ratio, one=False)
    explores = {round(keep ** (1 - ranked), 3) for ranked in RANKED}
    explores |= {explore for explore, _ in _published(prune_ratio)}
    return [(explore, keep / explore) for explore in sorted(explores) if explore > keep]


def describe(n: int, s: int, q: int, epochs: int = 200) -> str:
    """What a choice of s and q does, on one screen.

    Args:
        n: samples.
        s: candidates of an epoch; 1..n.
        q: samples kept; 1..s.
        epochs: T, for the coverage; at least 1.

    Returns:
        Lines of at most 80 columns.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> print(describe(50_000, 25_000, 15_000).splitlines()[0])
        OrderDP, every epoch
    """
    n, s, q, _ = checks.sizes("describe", n, s, q)
    epochs = checks.whole("describe", "epochs", epochs, 1)
    explore, exploit = s / n, q / s
    unseen, fixed, moving = _covered(n, s, q, epochs)
    lines = [
        "OrderDP, every epoch",
        f"  samples      n = {n:,}",
        f"  candidates   s = {s:,} at random     explore s/n = {explore:.4g}",
        f"  kept         q = {q:,} of largest score     exploit q/s = {exploit:.4g}",
        f"  prune ratio  {percent(1 - q / n)}, exactly",
        f"  speed-up     {n / q:,.2f}x fewer steps at most; the cost of selecting is not counted",
        "",
        f"Chance to be kept in an epoch, by rank of the score; uniform is {percent(q / n)}",
        *_profile(n, s, q),
        "",
        "Distance of what is trained on from the data, 0 where q = s",
        f"  {sup_gap(n, s, q):8.4g}  C_s, largest gap of the densities (Theorem 4); at least 1 if q < s",
        f"  {total_variation(n, s, q):8.4f}  total variation: share of the training moved to other ranks",
        f"  {wasserstein(n, s, q):8.4f}  1-Wasserstein: how far in relative rank, on average",
        "",
        f"Samples kept at least once in {epochs:,} epoch{'s' if epochs > 1 else ''}",
        f"  {unseen:>8}  if those not kept yet come first, the default (for many samples)",
        f"  {fixed:>8}  if the ranking never changes; more epochs give {percent(1 - (s - q) / n)} at most",
        f"  {moving:>8}  if every epoch draws a new ranking",
        "",
        "Jaccard similarity of two epochs' sets",
        f"  {expected_jaccard(explore, exploit):8.3f}  if the ranking never changes; the most that many samples allow",
        f"  {random_jaccard(q / n):8.3f}  if every epoch draws a new ranking",
    ]
    return "\n".join(lines)


def describe_splits(prune_ratio: float, n: int = 50_000, epochs: int = 200) -> str:
    """The splits of a prune ratio into exploring and exploiting, with the measures of `describe`, and how to choose.

    Args:
        prune_ratio: 1 - q/n, in (0, 1).
        n: samples.
        epochs: T, for the coverage; at least 1.

    Returns:
        Lines of at most 80 columns.

    Raises:
        ValueError: an argument outside its range, or a ratio that keeps none or all of the samples.

    Example:
        >>> print(describe_splits(0.7).splitlines()[0])
        Pruning 70.0% of 50,000 samples: q = 15,000, at most 3.33x fewer steps
    """
    keep = 1 - checks.share("describe_splits", "prune_ratio", prune_ratio, one=False)
    n = checks.whole("describe_splits", "n", n, 1)
    epochs = checks.whole("describe_splits", "epochs", epochs, 1)
    q = round(keep * n)
    if not 0 < q < n:
        raise ValueError(
            f"The 'prune_ratio' of describe_splits must keep and leave out at least one of n = {n:,} samples. Got"
            f" {prune_ratio!r}."
        )
    published = _published(prune_ratio)
    marks = {round(math.sqrt(keep), 3): "=", **{explore: "*" for explore, _ in published}}
    columns = (7, 8, 10, 7, 6, 6, 8, 7, 7, 7, 7)
    heads = ("explore", "exploit", "s", "C_s", "TV", "W1", "chance", "unseen", "fixed", "random", "fixed")
    lines = [
        f"Pruning {percent(prune_ratio)} of {n:,} samples: q = {q:,}, at most {n / q:,.2f}x fewer steps",
        "",
        f"{'far from uniform':>44}{'no':>8}{f'covered in {epochs:,}':>20}{'Jaccard':>8}",
        "".join(head.rjust(width) for head, width in zip(heads, columns, strict=True)),
    ]
    # Few samples round several splits to the same candidates; of these the last has its mark.
    rows = {max(q, round(explore * n)): marks.get(explore, "") for explore, _ in splits(prune_ratio)}
    lines += [_row(n, s, q, epochs, mark) for s, mark in rows.items() if s > q]
    lines += ["= the even split, explore = exploit" + "".join(f"   * {whose}" for _, whose in published), ""]
    other = "".join(f" or {whose}" for _, whose in published)
    return "\n".join([*lines, *textwrap.wrap(LEGEND, WIDTH), *textwrap.wrap(CHOOSING.format(other), WIDTH)])


def percent(value: float) -> str:
    """A share as a percentage that says 0% and 100% only where it means it."""
    if 0 < value < 0.0005:
        return f"{100 * value:.2g}%" if value >= 1e-7 else "<1e-5%"
    return ">99.9%" if 0.9995 <= value < 1 else f"{100 * value:.4g}%" if value in (0, 1) else f"{100 * value:.1f}%"


def _published(prune_ratio: float) -> list[tuple[float, str]]:
    """(explore, whose) of `PUBLISHED` at this ratio: one or none."""
    return [split for ratio, split in PUBLISHED.items() if math.isclose(ratio, prune_ratio)]


def _row(n: int, s: int, q: int, epochs: int, mark: str) -> str:
    sigma, rho = s / n, q / s
    unseen, fixed, moving = _covered(n, s, q, epochs)
    return (
        f"{sigma:7.3f}{mark:1}{rho:7.3f}{s:10,}{_short(sup_gap(n, s, q)):>7}"
        f"{total_variation(n, s, q):6.3f}{wasserstein(n, s, q):6.3f}"
        f"{percent((s - q) / n):>8}{unseen:>7}{fixed:>7}{moving:>7}{expected_jaccard(sigma, rho):7.3f}"
    )


def _short(value: float) -> str:
    """A number of at most six characters."""
    return f"{value:.2f}" if value < 100 else f"{value:.0f}" if value < 1e6 else f"{value:.0e}"


def _covered(n: int, s: int, q: int, epochs: int) -> tuple[str, str, str]:
    """Share kept at least once: unseen first, fixed and random; all, where less than half a sample is expected to be
    missing."""
    unseen, moving = (float(left_after(epochs, s / n, q / s, start)) for start in ("unseen_first", "random"))
    shares = (1 - never if n * never >= 0.5 else 1.0 for never in (unseen, fixed_never_kept(epochs, n, s, q), moving))
    first, second, third = map(percent, shares)
    return first, second, third


def _profile(n: int, s: int, q: int) -> list[str]:
    """Mean gamma of each tenth of the ranks, as numbers and bars; of each rank where there are fewer than ten."""
    parts = np.array_split(rank_weights(n, s, q), min(BINS, n))
    lines, seen = [], 0
    for part in parts:
        first, seen = seen, seen + len(part)
        span = f"{100 * first / n:3.0f}-{100 * seen / n:3.0f}%"
        end = "hardest" if first == 0 else "easiest" if seen == n else ""
        bar = "█" * round(BAR * float(part.mean()) / (s / n))
        lines.append(f"  {span} {end:7} {percent(float(part.mean())):>8}  {bar}".rstrip())
    if q < s:
        lines.append(f"  The {s - q:,} easiest, {percent((s - q) / n)}, have none: q of any s candidates are harder.")
    return lines
