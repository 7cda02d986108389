"""Figures 12 and 13: time to accuracy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.items.base import Figure, Item
from orderdp.reporting.measures import spread
from orderdp.reporting.ratios import at_place
from orderdp.reporting.summaries import legend_entries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure


def time_to_accuracy(place: int, last: bool = False) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    """The data function of the figure at one prune ratio, chosen as `ratios.at_place` says."""

    def data(results: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
        """Accuracy against time: one row per method and epoch, over the finished runs.

        Returns:
            workload, method, legend, `epoch`, `time_s` (selection and training since the start, mean over seeds),
            `test_accuracy` (mean over seeds, %) with `test_accuracy_std`, `seeds`. Methods without a finished run have
            one row with their `legend`.
        """
        records: list[dict[str, Any]] = []
        shown = [(ratio, *method) for ratio, rows in at_place(results, place, last) for method in legend_entries(rows)]
        for ratio, legend, names, first in shown:
            base = first | {"legend": legend, "prune_ratio": ratio}
            del base["seed"]
            epochs = histories[histories["run"].isin(names)].dropna(subset=["test_accuracy"] if names else [])
            for epoch, rows in epochs.groupby("epoch"):
                accuracy = spread(rows["test_accuracy"])
                point = {
                    "time_s": rows["time_s"].mean(),
                    "test_accuracy": accuracy.mean,
                    "test_accuracy_std": accuracy.std,
                }
                records.append(base | {"epoch": epoch, **point, "seeds": accuracy.count})
            if not names:
                records.append(base)
        columns = [
            "workload", "stands_for", "method", "label", "legend", "prune_ratio", "epoch", "time_s", "test_accuracy",
            "test_accuracy_std", "seeds",
        ]  # fmt: skip
        return pd.DataFrame(records, columns=columns)

    return data


def draw_time_to_accuracy(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """One row per workload and prune ratio: the whole training at the left, its upper end enlarged at the right."""
    parts = [part for _, part in data.groupby(["workload", "prune_ratio"], sort=False)] or [data]
    figure, axes = style.panels(len(parts), 2, 3.7 * len(parts))
    for row, part in zip(axes, parts, strict=True):
        if part["test_accuracy"].notna().sum() == 0:
            for ax in row:
                style.nothing(ax)
            continue
        divisor, unit = style.time_unit(part["time_s"].max())
        for method, line in part.groupby("method", sort=False):
            for ax in row:
                _draw_time(ax, str(method), line, divisor)
        best = part["test_accuracy"].max()
        # From where the slowest finisher ends its second half: the part in which methods differ.
        low = part.groupby("method")["test_accuracy"].apply(lambda a: a.iloc[len(a) // 2 :].min()).min()
        row[1].set_ylim(low - 0.05 * (best - low) - 0.1, min(best + 0.15 * (best - low) + 0.1, 100.4))
        title = f"Prune ratio {100 * float(part.iloc[0]['prune_ratio']):.6g} %"
        title += f", {part.iloc[0]['workload']}" if data["workload"].nunique() > 1 else ""
        style.label(row[0], title, f"Selection and training time ({unit})", "Test accuracy (%)")
        style.label(row[1], "Upper end, enlarged", f"Selection and training time ({unit})", "Test accuracy (%)")
    return style.finish(figure, axes, footer)


def _draw_time(ax: Axes, method: str, line: pd.DataFrame, divisor: float) -> None:
    look = style.look(method)
    x, y, std = line["time_s"] / divisor, line["test_accuracy"], line["test_accuracy_std"].fillna(0.0)
    every = max(1, len(line) // 10)
    ax.plot(
        x, y, color=look.color, linestyle=look.line, marker=look.marker, markevery=every, label=line.iloc[0]["legend"]
    )
    ax.fill_between(x, y - std, y + std, color=look.color, alpha=0.15, lw=0)


READS = ("results", "histories")
ITEMS = {
    "figures12_13": Item(
        caption="""
Accuracy on the test set against the seconds spent on selection and training since the start (evaluation is off the
clock): for each epoch, mean accuracy over seeds at the mean time over seeds, band of one standard deviation of the
accuracy. Random is dynamic random pruning. Wall-clock times hold for the machine named below the page, with whatever
else ran on it at the time.
""",
        artifacts=(
            # As Figures 9 to 11: one per prune ratio.
            Figure("figure12", "Figure 12", READS, time_to_accuracy(0), draw_time_to_accuracy),
            Figure(
                "figure13", "Figure 13", ("results", "histories"), time_to_accuracy(1, last=True), draw_time_to_accuracy
            ),
        ),
    )
}
