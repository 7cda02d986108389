"""Claims about what is saved at the largest prune ratio without loss."""

from __future__ import annotations

import pandas as pd

from orderdp.reporting.evidence.accuracy import ACCURACY
from orderdp.reporting.evidence.deciding import Context, Finding, NotRun, beyond
from orderdp.reporting.evidence.intervals import geometric_mean
from orderdp.reporting.evidence.runs import FULL, OURS, Frames, name_of, percent, pick, quotients, settings
from orderdp.reporting.measures import lossless_ratio
from orderdp.reporting.results import FINISHED


def lossless_time_ratio(frames: Frames, *, rival: str, ours: str = OURS) -> Finding:
    """Time of `ours` over that of the rival, each at its largest ratio without loss, paired by seed: below 1?

    The ratio is that of `measures.lossless_ratio` over all that the experiment tries; a method that has none trains on the full data.
    """
    rows = pick(frames, [ours, rival, FULL])
    estimates = []
    for workload, part in rows.groupby("workload", sort=False):
        (mine, at), (theirs, its) = _at_largest(part, ours), _at_largest(part, rival)
        estimates.append(geometric_mean(list(quotients(mine, theirs, "time_s").values()), f"on {workload} ({at} against {its})"))
    if not estimates:
        raise NotRun(f"no runs of {ours} and {rival} that could be compared")
    statistic = f"time of {name_of(rows, ours)} over that of {name_of(rows, rival)}, each at its largest ratio without loss"
    return beyond(estimates, Context(statistic, "×", runs=rows, favours=ours), threshold=1.0, side=-1)


def _at_largest(rows: pd.DataFrame, method: str) -> tuple[pd.DataFrame, str]:
    """The method's runs at its largest ratio without loss, and that ratio in words; the full data's runs where it has none."""
    full = rows[rows["method"] == FULL]
    # A mean over the seeds that went well says nothing of the ratio.
    whole = [(here, runs) for here, runs in settings(rows[rows["method"] == method]) if (runs["status"] == FINISHED).all()]
    realised = [float(runs["realised_prune_ratio"].mean()) for _, runs in whole]
    largest = lossless_ratio(realised, [float(runs[ACCURACY].mean()) for _, runs in whole], float(full[ACCURACY].mean()))
    if largest is None:
        return full, "none"
    here, runs = whole[realised.index(largest)]
    return runs, percent(here["prune_ratio"])
