"""Claims about the prune ratio and its split between exploring and exploiting."""

from __future__ import annotations

from itertools import combinations

from orderdp.reporting.claims.statistics.accuracy import ACCURACY
from orderdp.reporting.claims.statistics.deciding import Context, Finding, decide_equivalence, decide_one_sided
from orderdp.reporting.claims.statistics.intervals import geometric_mean, mean
from orderdp.reporting.claims.statistics.runs import (
    ORDERDP,
    Frames,
    NotRun,
    by_seed,
    differences,
    label_of,
    pick,
    quotients,
    settings,
)
from orderdp.reporting.ratios import percent
from orderdp.reporting.results import FINISHED


def exact_ratio(frames: Frames, *, method: str = ORDERDP) -> Finding:
    """Largest deviation of the realised ratio from that of the grid over a seed's runs, in samples per epoch, against
    one sample."""
    rows = pick(frames, [method])
    done = rows[rows["status"] == FINISHED]
    off = (done["realised_prune_ratio"] - done["prune_ratio"]).abs() * done["n"]
    off = off.round(6).groupby([done["workload"], done["seed"]]).max()
    estimates = [mean(part.tolist(), f"on {workload}") for workload, part in off.groupby(level=0)]
    if not estimates:
        raise NotRun(f"no run of {method} finished")
    deviation = f"largest deviation of {label_of(rows, method)} from its prune ratio in the grid"
    statistic = f"{deviation}, in samples per epoch, over {len(done)} runs"
    return decide_one_sided(estimates, Context(statistic, "samples", runs=rows, favours=method), threshold=1.0, side=-1)


def falls_short(frames: Frames, *, method: str, ratio: float, margin: float) -> Finding:
    """Asked less realised prune ratio of a method, in points, against a margin."""
    rows = pick(frames, [method], ratio)
    estimates = []
    for setting, runs in settings(rows):
        realised = by_seed(runs, "realised_prune_ratio")
        short = [100 * (ratio - realised[seed]) for seed in sorted(realised)]
        estimates.append(mean(short, f"on {setting['workload']}"))
    statistic = f"asked ({percent(ratio)}) less realised prune ratio of {label_of(rows, method)}"
    return decide_one_sided(estimates, Context(statistic, "points", runs=rows, favours=method), threshold=margin)


def same_across_splits(frames: Frames, *, what: str, margin: float, panel: str, method: str = ORDERDP) -> Finding:
    """Equivalence of every two splits of one prune ratio, paired by seed.

    Args:
        frames: limited to the claim's experiments.
        what: "accuracy" (difference, margin in points) or "time" (ratio, margin as a share: 0.1 allows 1/1.1 to 1.1).
        margin: what still counts as the same.
        panel: of the experiment that varies the split alone.
        method: its name.
    """
    rows = pick(frames, [method], panel=panel)
    estimates = []
    for (setting, runs), (other, other_runs) in combinations(settings(rows), 2):
        apart = abs(setting["prune_ratio"] - other["prune_ratio"])
        if setting["workload"] != other["workload"] or apart > 1e-9:
            continue
        where = f" on {setting['workload']}" if rows["workload"].nunique() > 1 else ""
        label = f"s/n = {setting['explore']:g} against {other['explore']:g}{where}"
        if what == "accuracy":
            estimates.append(mean(differences(runs, other_runs, ACCURACY), label))
        else:
            estimates.append(geometric_mean(list(quotients(runs, other_runs, "time_s").values()), label))
    if not estimates:
        raise NotRun("this scale has no two splits of one prune ratio")
    if what == "accuracy":
        context = Context("difference in accuracy between two splits", "points", runs=rows, favours=method)
        return decide_equivalence(estimates, context, -margin, margin)
    context = Context("ratio of the times of two splits", "×", runs=rows, favours=method)
    return decide_equivalence(estimates, context, 1 / (1 + margin), 1 + margin)
