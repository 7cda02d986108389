"""Tables 8 and 11: how alike successive kept sets are, and how well their gradient points, by phase of training."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from orderdp.reporting.entries import published_line, runs_text
from orderdp.reporting.items.base import Figure, Item, Table
from orderdp.reporting.items.table11_kept import draw_kept, kept_figure, kept_sheets, kept_table
from orderdp.reporting.measures import FIFTHS, in_phase, spread, taken_in_phase
from orderdp.reporting.paper import is_comparable, printed, published_cells, published_workloads, workload_label
from orderdp.reporting.results import FINISHED
from orderdp.reporting.sheets import Block, Entry, Sheet, muted, number, with_error
from orderdp.reporting.summaries import counts
from orderdp.theory import expected_jaccard, random_jaccard

FINAL = "final"
NAMES = {f"{100 * start:g}-{100 * end:g}": (start, end) for start, end in FIFTHS}
"""Phase as `published.csv` writes it -> (from, to], shares of the epochs."""


def table8(results: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """Jaccard similarity of the sets that neighbouring epochs keep.

    Paper: "between consecutive checkpoints", whose distance it does not say; here: consecutive epochs, averaged over
    each fifth of them.

    Args:
        results: from `results.collect`, of this experiment.
        histories: from `results.histories`, of this experiment.

    Returns:
        One row per workload, prune ratio, method and phase ("0-20", ..., "final": the last epoch), over the finished
        runs: `mean` and `std` over runs of each run's mean over the phase; `planned`, `runs`, `diverged`,
        `realised_prune_ratio`; `published`, `published_std`; `static` (the similarity under a ranking that never
        changes: the most there can be; OrderDP only) and `chance` (under a random one).
    """
    values = []
    for run, history in histories.groupby("run", sort=False):
        for phase, (start, end) in NAMES.items():
            values.append((run, phase, history.loc[in_phase(history["progress"], start, end), "jaccard"].mean()))
        values.append((run, FINAL, history["jaccard"].iloc[-1]))
    table = _by_phase(results, pd.DataFrame(values, columns=["run", "phase", "value"]), "table8", "jaccard")
    keep = 1 - table["prune_ratio"]
    shares = zip(table["explore"], keep, strict=True)
    table["static"] = [
        expected_jaccard(explore, share / explore) if explore == explore else float("nan") for explore, share in shares
    ]
    table["chance"] = [random_jaccard(share) for share in keep]
    return table


def table11(results: pd.DataFrame, diagnostics: pd.DataFrame) -> pd.DataFrame:
    """Cosine between the gradient on the kept samples, with the method's weights, and the gradient on all samples, at
    the same weights.

    Args:
        results: from `results.collect`, of this experiment.
        diagnostics: from `results.diagnostics`, of this experiment.

    Returns:
        As `table8`, without its last two columns; a measurement before an epoch belongs to the phase that it is in, and
        "final" is the one after the last epoch.
    """
    values = []
    for run, measured in diagnostics.groupby("run", sort=False):
        for phase, (start, end) in (NAMES | {FINAL: (1.0, math.inf)}).items():
            values.append((run, phase, measured.loc[taken_in_phase(measured["progress"], start, end), "cosine"].mean()))
    return _by_phase(results, pd.DataFrame(values, columns=["run", "phase", "value"]), "table11", "cosine")


def _by_phase(results: pd.DataFrame, values: pd.DataFrame, table: str, quantity: str) -> pd.DataFrame:
    published, records = published_cells(table), []
    for (workload, ratio, method), runs in results.groupby(["workload", "prune_ratio", "method"], sort=False):
        first, done = runs.iloc[0], runs[runs["status"] == FINISHED]
        base = {
            "workload": workload, "stands_for": first["stands_for"], "prune_ratio": ratio, "method": method,
            "label": first["label"],
            "explore": first["explore"], **counts(runs),
            "realised_prune_ratio": spread(done["realised_prune_ratio"]).mean,
        }  # fmt: skip
        mine = values[values["run"].isin(done["run"])]
        where = f"{published_workloads(first['stands_for'])[0]}/{100 * float(str(ratio)):g}"
        for phase in (*NAMES, FINAL):
            mean, std, _ = spread(mine.loc[mine["phase"] == phase, "value"])
            column = f"{where}/progress={'100' if phase == FINAL else phase}/{quantity}"
            theirs = dict(zip(("published", "published_std"), printed(published, str(method), column), strict=True))
            records.append(base | {"phase": phase, "mean": mean, "std": std} | theirs)
    return pd.DataFrame(records)


def table8_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload, a block per prune ratio, the published line below each method's."""
    note = (
        "Ranking never changed: what OrderDP's s would give if the order of the samples stood still, s/(2n − s)"
        " whatever is kept, and so the most it can reach. Ranking by chance: what any method gives that keeps this"
        " share at random."
    )
    return [
        _sheet(str(workload), part, "Jaccard similarity of successive kept sets", note)
        for workload, part in table.groupby("workload", sort=False)
    ]


def table11_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload, a block per prune ratio, the published line below each method's."""
    note = "A dash: no measurement falls into this phase at this scale, whose checkpoints params.yaml names."
    return [
        _sheet(str(workload), part, "Cosine between the pruned and the full gradient", note)
        for workload, part in table.groupby("workload", sort=False)
    ]


def _sheet(workload: str, table: pd.DataFrame, what: str, note: str) -> Sheet:
    stands_for = str(table.iloc[0]["stands_for"])
    where = workload_label(published_workloads(stands_for)[0])
    same = "" if is_comparable(workload, stands_for) else "; other data and network, so the lines are not comparable"
    blocks = [
        Block(f"Prune ratio {100 * float(str(ratio)):g} %", tuple(_rows(part)))
        for ratio, part in table.groupby("prune_ratio")
    ]
    return Sheet(
        title=f"{what} on {workload}, mean ± standard deviation over runs",
        columns=(
            "Share of the epochs",
            *(f"{name.replace('-', '–')} %" for name in NAMES),
            "End",
            "Really pruned (%)",
            "Runs",
        ),
        blocks=tuple(blocks),
        notes=(f"Published: measured on {where} over 5 runs of 200 epochs{same}.", note),
    )


def _rows(part: pd.DataFrame) -> Iterator[tuple[Entry, ...]]:
    for _, lines in part.groupby("method", sort=False):
        first = lines.iloc[0]
        ours = [with_error(mean, std, 3) for mean, std in zip(lines["mean"], lines["std"], strict=True)]
        runs = runs_text(first["runs"], first["planned"], first["diverged"])
        yield (
            Entry(first["label"]),
            *map(Entry, ours),
            Entry(number(100 * first["realised_prune_ratio"], 1)),
            Entry(runs),
        )
        yield from published_line(first["label"], lines, 3, blanks=2)
    if "static" in part:
        if (static := part["static"].dropna()).size:
            yield muted(("Ranking never changed (OrderDP)", *[f"{static.iloc[0]:.3f}"] * 6, "", ""))
        yield muted(("Ranking by chance", *[f"{part['chance'].iloc[0]:.3f}"] * 6, "", ""))


ITEMS = {
    "table8": Item(
        caption="""
Jaccard similarity of the sets that two successive epochs keep, mean over the epochs of each fifth of training, then
mean and standard deviation over runs. The two grey lines are theory: what OrderDP would reach if the order of the
samples never changed, and what any method reaches that keeps the same share at random. The number thus measures
mostly how many candidates are drawn, which the paper does not state for this table.
""",
        artifacts=(Table("table8", "Table 8", ("results", "histories"), table8, table8_sheets),),
    ),
    "table11": Item(
        caption="""
Cosine of the angle between the gradient on the kept samples, with the method's weights, and the gradient on all
samples, at the same network weights, in evaluation mode and without augmentation; before the epochs that end at the
checkpoints, and once after the last epoch. Measured in a separate job, from weights that the run kept. The table
and the figure below it say what is kept: norms, losses, forgetting, labels, and which tenths of the samples by loss.

In the figure, "forgotten" is the share of the samples that were right at the measurement before and are wrong now.
""",
        artifacts=(
            Table("table11", "Table 11", ("results", "diagnostics"), table11, table11_sheets),
            Table("kept", "What is kept", ("results", "diagnostics"), kept_table, kept_sheets),
            Figure("kept", "What is kept", ("results", "histories", "diagnostics", "profiles"), kept_figure, draw_kept),
        ),
    ),
}
