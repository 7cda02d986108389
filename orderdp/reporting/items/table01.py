"""Table 1 and its figures: static pruning methods by family, what they cost, how alike their samples are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.entries import difference_text, published_entry, published_heading, runs_text
from orderdp.reporting.items.base import Figure, Item, Table
from orderdp.reporting.paper import published_cells, published_workloads, workload_label
from orderdp.reporting.ratios import others_note
from orderdp.reporting.results import FINISHED
from orderdp.reporting.sheets import Block, Entry, Sheet, with_error
from orderdp.reporting.summaries import FULL, mark_best, published_of, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

ORDERDP = "orderdp"
REFERENCE = "static_random"
TITLES = {
    "random": "Random",
    "geometry": "Geometry",
    "uncertainty": "Uncertainty",
    "training dynamics": "Training dynamics",
    "gradient matching": "Gradient matching",
    "influence": "Influence",
}
"""Family of static methods -> its heading, in the order of tables and panels."""


def table1(results: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Static methods at several prune ratios, with full data and OrderDP.

    Args:
        results: from `results.collect`, of this experiment.
        costs: from `subsets.costs`, of this experiment.

    Returns:
        One row per workload, prune ratio and method, the full data first (repeated at every ratio): `family` (a key of
        TITLES, empty for the full data and OrderDP), measured columns as in `summaries.summarise`, `select_s` and
        `proxy_s` (means over seeds; of OrderDP the seconds that all its selections took; of the full data none), `best`
        and the published columns as in `summaries.table2`.
    """
    published = published_cells("table1")
    records: list[dict[str, Any]] = []
    for workload, of_workload in results.groupby("workload", sort=False):
        full = of_workload[of_workload["method"] == FULL]
        spent = costs[costs["workload"] == workload].groupby("method")[["select_s", "proxy_s"]].mean()
        for ratio in sorted(of_workload["prune_ratio"].dropna().unique()):
            block = [summarise(full, full)] if len(full) else []
            block += [
                summarise(runs, full)
                for _, runs in of_workload[of_workload["prune_ratio"] == ratio].groupby("method", sort=False)
            ]
            mark_best(block)
            for record in block:
                method = record["method"]
                runs = of_workload[(of_workload["method"] == method) & (of_workload["prune_ratio"] == ratio)]
                record |= {"workload": workload, "prune_ratio": ratio, "family": style.FAMILIES.get(method, "")}
                record |= _cost(method, runs, spent)
                records.append(record | published_of(published, method, record["stands_for"], ratio))
    return pd.DataFrame(records)


def _cost(method: str, runs: pd.DataFrame, spent: pd.DataFrame) -> dict[str, float]:
    if method in spent.index:
        of_method: Any = spent.loc[method]
        return {column: float(of_method[column]) for column in ("select_s", "proxy_s")}
    return {
        "select_s": float(runs["selection_s"].mean()) if method == ORDERDP else float("nan"),
        "proxy_s": float("nan"),
    }


def table1_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload: a block per family, accuracy and difference to the full data at each ratio, costs,
    published values."""
    return [_sheet(str(workload), part) for workload, part in table.groupby("workload", sort=False)]


def _sheet(workload: str, table: pd.DataFrame) -> Sheet:
    papers, ratios = published_workloads(str(table.iloc[0]["stands_for"])), sorted(table["prune_ratio"].unique())
    blocks = []
    for heading, families in [("", [""]), *((title, [family]) for family, title in TITLES.items())]:
        part = table[table["family"].fillna("").isin(families)]
        rows = tuple(_row(rows, ratios, papers) for _, rows in part.groupby("method", sort=False))
        if rows:
            blocks.append(Block(heading, rows))
    percent = [f"{100 * ratio:.6g} %" for ratio in ratios]
    return Sheet(
        title=f"Test accuracy (%) of static pruning on {workload}, mean ± standard deviation over seeds",
        columns=(
            "Method", *(text for _ in ratios for text in ("Accuracy", "Δ to full data")), "Choosing (s)", "Proxy (s)",
            "Runs",
            *(f"{workload_label(where)}, {text}" for where in papers for text in percent),
        ),
        blocks=tuple(blocks),
        spans=(
            ("", 1), *((f"{text} pruned", 2) for text in percent), ("Cost", 2), ("", 1),
            (published_heading(workload, table), len(papers) * len(ratios)),
        ),
        notes=(
            "Bold: highest mean at this ratio among the methods that the paper's table has, however small its lead.",
            "Empty: a ratio at which this scale does not train the method. Δ: points below (−) or above (+) the full "
            "data, mean of the differences paired by seed ± half of their 95 % t interval. "
            "Choosing: seconds for the coresets of all ratios from evidence that is there; of OrderDP, all selections "
            "of a run. Proxy: seconds of "
            "training, and of DeepFool's search, for that evidence, as if no other method had shared it. "
            "Published: accuracy in %, in brackets the printed gap.",
            *others_note(table),
        ),
    )  # fmt: skip


def _row(rows: pd.DataFrame, ratios: list[float], papers: list[str]) -> tuple[Entry, ...]:
    first, here = rows.iloc[0], {row["prune_ratio"]: row for row in rows.to_dict("records")}
    measured: list[Entry] = []
    for ratio in ratios:
        row = here.get(ratio)
        if row is None:
            measured += [Entry(""), Entry("")]
        elif row["status"] != FINISHED:
            measured += [Entry(str(row["status"])), Entry("–")]
        else:
            measured.append(Entry(with_error(row["accuracy"], row["accuracy_std"], 2), best=bool(row["best"])))
            measured.append(Entry(difference_text(row)))
    once = rows.head(1) if first["method"] == FULL else rows
    runs = Entry(runs_text(*(int(once[column].sum()) for column in ("seeds", "planned", "diverged"))))
    published = [
        published_entry(row.get(f"published {w}"), row.get(f"published gap {w}"))
        for w in papers
        for row in (here.get(r, {}) for r in ratios)
    ]
    cost = [Entry(_seconds(rows["select_s"].mean())), Entry(_seconds(first["proxy_s"]))]
    return (Entry(str(first["label"])), *measured, *cost, runs, *published)


def _seconds(value: float) -> str:
    return "–" if value != value else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def draw_accuracy(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """Accuracy over the prune ratio, a panel per family, full data, OrderDP and the random subset in each.

    Args:
        data: from :func:`table1`.
        footer: what it was measured on.
    """
    workloads = list(dict.fromkeys(data["workload"]))
    figure, axes = style.panels(2 * len(workloads), 3, 6.6 * len(workloads))
    for index, workload in enumerate(workloads):
        part = data[data["workload"] == workload]
        flat = [ax for row in axes[2 * index : 2 * index + 2] for ax in row]
        for ax, (family, title) in zip(flat, TITLES.items(), strict=True):
            _draw_family(ax, part, family)
            ax.set_title(title + (f", {workload}" if len(workloads) > 1 else ""))
        _share_y(flat, part)
        for ax in flat[::3]:
            ax.set_ylabel("Test accuracy (%)")
        for ax in flat[3:]:
            ax.set_xlabel("Prune ratio (%)")
    return style.finish(figure, axes, footer)


def _draw_family(ax: Axes, part: pd.DataFrame, family: str) -> None:
    full = part[(part["method"] == FULL) & (part["status"] == FINISHED)].head(1)
    for _, row in full.iterrows():
        ax.axhline(row["accuracy"], color=style.look(FULL).color, linestyle="--", lw=1.2, label=row["label"])
    shown = part[
        ((part["family"] == family) | part["method"].isin([ORDERDP, REFERENCE])) & (part["status"] == FINISHED)
    ]
    own = {}
    for method in _ordered(shown):
        rows, look, main = shown[shown["method"] == method], style.look(method), style.FAMILIES.get(method) == family
        common = method in (ORDERDP, REFERENCE)  # in the legend of the figure; the others in that of their panel
        line = ax.errorbar(
            100 * rows["prune_ratio"], rows["accuracy"], yerr=rows["accuracy_std"].fillna(0.0) if main else None,
            color=look.color,
            linestyle=look.line, marker=look.marker, markersize=7 if look.marker == "*" else 5, capsize=2,
            elinewidth=0.8,
            label=rows.iloc[0]["label"] if common else None, zorder=3 if main else 2, lw=1.5 if main else 1.1,
        )  # fmt: skip
        if not common:
            own[rows.iloc[0]["label"]] = line
    if own:
        ax.legend(list(own.values()), list(own), loc="lower left", fontsize=7.5, handlelength=3.2, labelspacing=0.35)
    if not len(shown):
        style.nothing(ax)
    ax.set_xticks([100 * ratio for ratio in sorted(part["prune_ratio"].unique())])


def _ordered(part: pd.DataFrame) -> list[str]:
    """The methods of a part: full data, OrderDP, then family by family."""
    return [method for method in (FULL, ORDERDP, *style.FAMILIES) if method in set(part["method"])]


def _share_y(axes: list[Axes], part: pd.DataFrame) -> None:
    """One scale for the panels of a workload, so that families compare by eye."""
    done = part[part["status"] == FINISHED]
    if len(done):
        error = done["accuracy_std"].fillna(0.0)
        low, high = float((done["accuracy"] - error).min()), float((done["accuracy"] + error).max())
        for ax in axes:
            ax.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))


def draw_cost(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """Accuracy over the seconds that choosing took, its proxy included; a panel per prune ratio.

    Args:
        data: from :func:`table1`.
        footer: what it was measured on.
    """
    workloads, ratios = list(dict.fromkeys(data["workload"])), sorted(data["prune_ratio"].unique())
    figure, axes = style.panels(len(workloads), len(ratios), 4.6 * len(workloads))
    for row, workload in zip(axes, workloads, strict=True):
        for ax, ratio in zip(row, ratios, strict=True):
            part = data[(data["workload"] == workload) & (data["prune_ratio"] == ratio) & (data["status"] == FINISHED)]
            _draw_costs(ax, part)
            ax.set_title(f"{100 * ratio:.6g} % pruned" + (f", {workload}" if len(workloads) > 1 else ""))
            ax.set_xlabel("Proxy and choosing (s)")
        row[0].set_ylabel("Test accuracy (%)")
    return style.finish(figure, axes, footer)


def _draw_costs(ax: Axes, part: pd.DataFrame) -> None:
    cost = part["select_s"] + part["proxy_s"].fillna(0.0)
    if not cost.notna().any():
        style.nothing(ax)
        return
    for _, row in part[part["method"] == FULL].iterrows():
        ax.axhline(row["accuracy"], color=style.look(FULL).color, linestyle="--", lw=1.2, label=row["label"])
        ax.axvline(row["time_s"], color="#999999", linestyle=":", lw=1.2, label="Training, all data (s)")
    for method in _ordered(part):
        row, seconds = part[part["method"] == method].iloc[0], float(cost[part["method"] == method].iloc[0])
        if seconds == seconds:
            look = style.look(row["method"])
            size = 9 if look.marker == "*" else 6
            ax.plot(
                [seconds],
                [row["accuracy"]],
                color=look.color,
                marker=look.marker,
                markersize=size,
                linestyle="none",
                label=row["label"],
            )
    ax.set_xscale("log")


def overlap_data(overlaps: pd.DataFrame) -> pd.DataFrame:
    """The overlaps as they come from `subsets.overlaps`, of this experiment."""
    return overlaps


def draw_overlap(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """A heat map per workload, at the highest prune ratio.

    Args:
        data: from :func:`overlap_data`.
        footer: what it was measured on.
    """
    workloads = list(dict.fromkeys(data["workload"])) or [""]
    figure, axes = style.panels(len(workloads), 1, 7.4 * len(workloads))
    for (ax,), workload in zip(axes, workloads, strict=True):
        part = data[data["workload"] == workload]
        if not len(part):
            style.nothing(ax, "no coreset chosen yet")
            continue
        ratio = part["prune_ratio"].max()
        _draw_map(ax, part[part["prune_ratio"] == ratio])
        ax.set_title(
            f"Samples kept by both at {100 * ratio:.6g} % pruned (%), {workload}; by chance {100 * (1 - ratio):.6g}.\n"
            "Diagonal: the same method with two seeds"
        )
    return style.finish(figure, axes, footer)


def _draw_map(ax: Axes, part: pd.DataFrame) -> None:
    labels = dict(zip(part["other"], part["other_label"], strict=True)) | dict(
        zip(part["method"], part["label"], strict=True)
    )
    order = [method for method in style.FAMILIES if method in labels]
    place = {method: index for index, method in enumerate(order)}
    values = np.full((len(order), len(order)), np.nan)
    for method, other, overlap in part[["method", "other", "overlap"]].itertuples(index=False):
        values[place[method], place[other]] = values[place[other], place[method]] = 100 * overlap
    image = ax.imshow(values, cmap="cividis", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(values):
        if value == value:
            ax.text(
                column,
                row,
                f"{value:.0f}",
                ha="center",
                va="center",
                fontsize=6,
                color="white" if value < 55 else "black",
            )
    ticks = range(len(order))
    ax.set_xticks(
        ticks, [labels[method] for method in order], rotation=60, ha="right", rotation_mode="anchor", fontsize=7
    )
    ax.set_yticks(ticks, [labels[method] for method in order], fontsize=7)
    families = [style.FAMILIES[method] for method in order]
    for index in range(1, len(order)):
        if families[index] != families[index - 1]:
            ax.axhline(index - 0.5, color="white", lw=1.6)
            ax.axvline(index - 0.5, color="white", lw=1.6)
    ax.grid(visible=False)
    ax.figure.colorbar(image, ax=ax, shrink=0.75, label="Samples in common (%)")


ITEMS = {
    "table1": Item(
        caption="""
Static methods choose their samples once, by networks that were trained before (the proxy), and every run trains on
that fixed subset for as many epochs as OrderDP. One protocol for all: the proxy has the network and the recipe of the
workload, without augmentation, and is trained once; each class keeps its share of the budget to the sample, but for
*Random, unbalanced*; CRAIG and GradMatch weigh their samples, with a mean of 1. What is shared by all seeds is the
proxy: the spread over seeds contains the randomness of training and of ties, not that of the proxy.

The paper's table has K-Center and Margin where its text names K-means and Entropy; both are here, and Facility
Location, GradMatch and the unbalanced random subset are ours. It does not say what the numbers in GraNd-4, EL2N-2 and
EL2N-20 count: here they are the epoch at which the score is taken, at the proxy's 20 epochs or at the same share of
fewer, averaged over four networks. GLISTER compares with held-out samples of the training set, never with the test
set, and chooses among the others.

The cost of choosing is what nobody prints: seconds of the proxy that a method looks at, and of the choice itself. It
is paid once for all ratios and seeds, so that it weighs less the more runs share it; the dotted line is one training
on all data.

Overlap: two random subsets of one seed are cut from one order, hence their overlap; whatever else comes out as by
chance has nothing in common.
""",
        artifacts=(
            Table("table1", "Table 1", ("results", "costs"), table1, table1_sheets),
            Figure("table1_accuracy", "Table 1 as curves", ("results", "costs"), table1, draw_accuracy),
            Figure("table1_cost", "Cost of Table 1's methods", ("results", "costs"), table1, draw_cost),
            Figure("table1_overlap", "Overlap of Table 1's coresets", ("overlaps",), overlap_data, draw_overlap),
        ),
    )
}
