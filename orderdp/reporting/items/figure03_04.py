"""Figures over the prune ratio: MatplotlibFigure 3 (against InfoBatch) and Figure 4 (explore and exploit)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.items.base import Figure, Item
from orderdp.reporting.measures import LOSSLESS_TOLERANCE, lossless_ratio
from orderdp.reporting.results import FINISHED
from orderdp.reporting.summaries import FULL, SUMMARY, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

MEASURED = SUMMARY[SUMMARY.index("accuracy") :]


def figure3(results: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and time of each method and prune ratio.

    Args:
        results: from `results.collect`, of this experiment.

    Returns:
        One row per workload, panel, method, prune ratio and explore share, measured columns as in
        `summaries.summarise`, and `lossless`: whether this is the largest realised ratio of its method whose mean
        accuracy is within LOSSLESS_TOLERANCE of the full data's.
    """
    frame = _settings(results)
    frame["lossless"] = False
    for _, part in frame[frame["method"] != FULL].groupby(["workload", "method"], sort=False):
        full = frame[(frame["workload"] == part.iloc[0]["workload"]) & (frame["method"] == FULL)]["accuracy"]
        done = part[part["status"] == FINISHED]
        ratio = (
            lossless_ratio(done["realised_prune_ratio"].tolist(), done["accuracy"].tolist(), full.iloc[0])
            if len(full)
            else None
        )
        frame.loc[done.index[done["realised_prune_ratio"] == ratio], "lossless"] = True
    return frame


def _settings(results: pd.DataFrame) -> pd.DataFrame:
    """One row per workload, panel, method, prune ratio and explore share, over seeds."""
    records: list[dict[str, Any]] = []
    keys = ["workload", "panel", "method", "prune_ratio", "explore"]
    for values, runs in results.groupby(keys, sort=False, dropna=False):
        here = dict(zip(keys, values, strict=True))
        full = results[(results["workload"] == here["workload"]) & (results["method"] == FULL)]
        summary = summarise(runs, full)
        named = {key: summary[key] for key in ("stands_for", "label", "status", "planned", "seeds", "diverged")}
        records.append(here | named | {key: summary[key] for key in MEASURED})
    frame = pd.DataFrame(records)
    lost = (frame["planned"] - frame["seeds"]).groupby(frame["method"]).transform("sum")
    planned = frame["planned"].groupby(frame["method"]).transform("sum")
    missing = " (" + lost.astype(str) + " of " + planned.astype(str) + " runs missing or diverged)"
    return frame.assign(legend=frame["label"] + missing.where(lost > 0, ""))


def draw_figure3(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """Per workload: accuracy and time over the realised prune ratio."""
    workloads = list(dict.fromkeys(data["workload"]))
    figure, axes = style.panels(len(workloads), 2, 3.9 * len(workloads))
    for row, workload in zip(axes, workloads, strict=True):
        part = data[data["workload"] == workload]
        _draw_row(row, part, [(str(m), p) for m, p in part[part["method"] != FULL].groupby("method", sort=False)])
        row[0].set_title(f"Accuracy, {workload}")
        row[1].set_title(f"Time, {workload}")
        for ax in row:
            ax.set_xlabel("Realised prune ratio (%)")
        for position, (_, mark) in enumerate(part[part["lossless"]].iterrows()):
            _mark_lossless(row[0], mark, position)
        if not part["lossless"].any() and part["accuracy"].notna().any():
            style.remark(row[0], 0.03, 0.05, f"no ratio within {LOSSLESS_TOLERANCE:g} points of full data")
    return style.finish(figure, axes, footer)


def _mark_lossless(ax: Axes, row: pd.Series, position: int) -> None:
    look, x = style.look(row["method"]), 100 * row["realised_prune_ratio"]
    ax.axvline(x, color=look.color, linestyle=":", lw=1)
    text = f"{row['label']} lossless up to {x:.1f} %"
    style.remark(ax, 0.03, 0.05 + 0.075 * position, text, look.color)


def figure4(results: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and time of OrderDP by explore share and by prune ratio.

    Args:
        results: from `results.collect`, of this experiment; its `panel` is "fixed ratio" or "varying ratio".

    Returns:
        One row per workload, panel, prune ratio and explore share (s/n), with `exploit` (q/s) and measured columns as
        in `summaries.summarise`; the full data has an empty panel.
    """
    frame = _settings(results)
    return frame.assign(exploit=(1 - frame["prune_ratio"]) / frame["explore"])


def draw_figure4(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """Per workload two rows: at a fixed ratio over the explore share, and over the ratio."""
    workloads = list(dict.fromkeys(data["workload"]))
    figure, axes = style.panels(2 * len(workloads), 2, 6.2 * len(workloads))
    for index, workload in enumerate(workloads):
        part = data[data["workload"] == workload]
        full = part[part["method"] == FULL]
        for row, panel in zip(axes[2 * index : 2 * index + 2], ("fixed ratio", "varying ratio"), strict=True):
            mine = part[part["panel"] == panel]
            x = "explore" if panel == "fixed ratio" else "realised_prune_ratio"
            _draw_row(row, pd.concat([full, mine]), [(str(m), p) for m, p in mine.groupby("method", sort=False)], x)
            for ax, what in zip(row, ("Accuracy", "Time"), strict=True):
                ax.set_title(what + _panel_title(panel, mine) + (f", {workload}" if len(workloads) > 1 else ""))
                ax.set_xlabel("Explored share s/n (%)" if x == "explore" else "Realised prune ratio (%)")
    return style.finish(figure, axes, footer)


def _panel_title(panel: str, rows: pd.DataFrame) -> str:
    ratios = rows["prune_ratio"].dropna().unique()
    return f" at {100 * ratios[0]:.6g} % pruned" if panel == "fixed ratio" and len(ratios) == 1 else f", {panel}"


def _draw_row(
    row: list[Axes], part: pd.DataFrame, methods: list[tuple[str, pd.DataFrame]], x: str = "realised_prune_ratio"
) -> None:
    """Accuracy at the left, time at the right, each with the line of the full data."""
    divisor, unit = style.time_unit(part["time_s"].max())
    for ax, column, scale in ((row[0], "accuracy", 1.0), (row[1], "time_s", divisor)):
        if part[column].notna().sum() == 0:
            style.nothing(ax)
            continue
        _draw_full(ax, part[part["method"] == FULL], column, scale)
        for method, rows in methods:
            _draw_line(ax, method, rows.sort_values(x), x, column, scale)
    row[0].set_ylabel("Test accuracy (%)")
    row[1].set_ylabel(f"Selection and training time ({unit})")
    if part["time_s"].notna().any():
        row[1].set_ylim(bottom=0)


def _draw_full(ax: Axes, full: pd.DataFrame, column: str, scale: float) -> None:
    look = style.look(FULL)
    for _, row in full.dropna(subset=column).iterrows():
        mean, std = row[column] / scale, row[f"{column}_std"] / scale
        ax.axhline(mean, color=look.color, linestyle="--", lw=1.2, label=row["legend"])
        if std == std:
            ax.axhspan(mean - std, mean + std, color=look.color, alpha=0.08, lw=0)


def _draw_line(ax: Axes, method: str, rows: pd.DataFrame, x: str, column: str, scale: float) -> None:
    look, done = style.look(method), rows.dropna(subset=column)
    ax.errorbar(
        100 * done[x], done[column] / scale, yerr=done[f"{column}_std"].fillna(0.0) / scale, color=look.color,
        linestyle=look.line,
        marker=look.marker, markersize=7 if look.marker == "*" else 5, capsize=2, elinewidth=0.9,
        label=rows.iloc[0]["legend"],
    )  # fmt: skip


ITEMS = {
    "figure3": Item(
        caption="""
Accuracy and time of OrderDP and InfoBatch over the prune ratio that was really reached, which for InfoBatch is not
the requested one. Points are means over seeds with one standard deviation; the dashed line and its band are the full
data. Time is that of selection and training without evaluation. The dotted line marks the lossless ratio: the largest
realised ratio whose mean accuracy lies at most 0.1 points below the full data's (footnote 1 of the paper), even where
a smaller ratio misses that mark.

The paper states limits of InfoBatch of 77.9 % (CIFAR-10) and 72.2 % (CIFAR-100); they depend on how losses are
distributed there.
""",
        artifacts=(Figure("figure3", "Figure 3", ("results",), figure3, draw_figure3),),
    ),
    "figure4": Item(
        caption="""
Top: one prune ratio, split in several ways between exploring (the share s/n of the data drawn as candidates) and
exploiting (the share q/s of candidates kept, those with the highest losses). At the left end nearly all candidates
are kept, which is close to random pruning; at s/n = 100 % the highest losses of the whole data are kept. Bottom:
several prune ratios with the split used in the other experiments. Means over seeds with one standard deviation; the
dashed line and its band are the full data. Time is that of selection and training without evaluation.
""",
        artifacts=(Figure("figure4", "Figure 4", ("results",), figure4, draw_figure4),),
    ),
}
