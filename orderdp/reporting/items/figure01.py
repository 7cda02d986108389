"""Figure 1: training dynamics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.items.base import Figure, Item
from orderdp.reporting.measures import over_seeds, pearson, rolling_window
from orderdp.reporting.sheets import signed
from orderdp.reporting.summaries import legend_entries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure


def figure1(results: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and gradient norm of each run and epoch, ready for the four panels.

    Args:
        results: from `results.collect`, of this experiment: says which methods and seeds there are.
        histories: from `results.histories`, of this experiment.

    Returns:
        One row per workload, method, seed and epoch of the finished runs: `test_accuracy` (%), `grad_norm` and
        `grad_norm_std` (mean and standard deviation over the epoch's steps), `rolling_std` (sample standard deviation
        of grad_norm over the last `window` epochs), `pearson_r` of the run (test accuracy against grad_norm over its
        epochs) and its number of `points`. Methods without a finished run have one row with their `legend`.
    """
    parts = []
    for legend, runs, first in legend_entries(results):
        if not runs:
            parts.append(pd.DataFrame([first | {"legend": legend}]))
        for _, run in histories[histories["run"].isin(runs)].groupby("seed"):
            parts.append(_dynamics(run).assign(legend=legend))
    return pd.concat(parts, ignore_index=True)


def _dynamics(run: pd.DataFrame) -> pd.DataFrame:
    window = rolling_window(len(run))
    r, points = pearson(run["test_accuracy"], run["grad_norm_mean"])
    columns = ["workload", "stands_for", "method", "label", "seed", "epoch", "test_accuracy"]
    return run[columns].assign(
        grad_norm=run["grad_norm_mean"],
        grad_norm_std=run["grad_norm_std"],
        rolling_std=run["grad_norm_mean"].rolling(window).std(),
        window=window,
        pearson_r=r,
        points=points,
    )


def draw_figure1(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """Four panels per workload, see the caption."""
    workloads = list(dict.fromkeys(data["workload"]))
    figure, axes = style.panels(2 * len(workloads), 2, 6.2 * len(workloads))
    for index, workload in enumerate(workloads):
        (a, b), (c, d) = axes[2 * index : 2 * index + 2]
        part = data[data["workload"] == workload]
        window = part["window"].max() if "window" in part else float("nan")
        for method, runs in part.groupby("method", sort=False):
            _draw_method(str(method), runs, (a, b, c))
        style.label(a, "(a) Test accuracy", "Epoch", "Test accuracy (%)")
        style.label(b, "(b) Gradient norm, ± spread over steps", "Epoch", "Gradient norm")
        over = f" over {window:.0f} epochs" if window == window else ""
        style.label(c, f"(c) Rolling deviation{over}", "Epoch", "Std of gradient norm")
        for ax in (a, b, c):
            if not any(np.size(line.get_xdata()) for line in ax.lines):
                style.nothing(ax)
                continue
            ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
            ax.set_xlim(a.get_xlim())
            if ax is not a:
                ax.set_ylim(bottom=0)
        _draw_joint(d, part)
    return style.finish(figure, axes, footer)


def _draw_method(method: str, runs: pd.DataFrame, axes: tuple[Axes, Axes, Axes]) -> None:
    look, legend = style.look(method), runs.iloc[0]["legend"]
    if "epoch" not in runs or runs["epoch"].isna().all():
        axes[0].plot(
            [], [], color=look.color, linestyle=look.line, marker=look.marker, label=legend
        )  # in the legend all the same
        return
    every = max(1, int(runs["epoch"].max()) // 10)
    bands = (over_seeds(runs, "test_accuracy"), over_seeds(runs, "grad_norm"), over_seeds(runs, "rolling_std"))
    bands[1]["std"] = runs.groupby("epoch")["grad_norm_std"].mean()
    for ax, band, has_band in zip(axes, bands, (True, True, False), strict=True):
        band = band.dropna(subset="mean")
        ax.plot(
            band.index, band["mean"], color=look.color, linestyle=look.line, marker=look.marker, markevery=every,
            label=legend if ax is axes[0] else None,
        )  # fmt: skip
        if has_band:
            ax.fill_between(
                band.index, band["mean"] - band["std"], band["mean"] + band["std"], color=look.color, alpha=0.15, lw=0
            )


def _draw_joint(ax: Axes, part: pd.DataFrame) -> None:
    """Joint distribution: density contours where there are points enough, and every point."""
    style.label(ax, "(d) Joint distribution over epochs", "Test accuracy (%)", "Gradient norm")
    if "pearson_r" not in part or part["pearson_r"].notna().sum() == 0:
        style.nothing(ax)
        return
    import seaborn

    lines = []
    for method, runs in part.dropna(subset=["test_accuracy", "grad_norm"]).groupby("method", sort=False):
        look = style.look(str(method))
        many = len(runs) > 100
        ax.scatter(
            runs["test_accuracy"], runs["grad_norm"], s=5 if many else 13, color=look.color, marker=look.marker,
            alpha=0.25 if many else 0.6, lw=0.3
        )  # fmt: skip
        if len(runs) >= 20:
            seaborn.kdeplot(
                data=runs, x="test_accuracy", y="grad_norm", ax=ax, color=look.color, levels=(0.25, 0.5, 0.75),
                linewidths=0.8, cut=0,
                bw_adjust=1.2, gridsize=80,
            )  # fmt: skip
        each = runs.drop_duplicates("seed")
        r = signed(each["pearson_r"].mean(), 2)
        lines.append((f"R = {r} ({len(each)} × {each['points'].max():.0f} points)", look.color))
    # Norms fall while accuracy rises: the upper right is where the points are not.
    for index, (text, color) in enumerate(lines):
        style.remark(ax, 0.98, 0.98 - 0.075 * index, text, color, ha="right", va="top")
    for values, limit in ((part["test_accuracy"], ax.set_xlim), (part["grad_norm"], ax.set_ylim)):
        margin = 0.04 * (values.max() - values.min())
        limit(values.min() - margin, values.max() + margin)


ITEMS = {
    "figure1": Item(
        caption="""
Training dynamics with a part of the data pruned. (a) Accuracy on the test set after each epoch: mean over seeds, band
of one standard deviation over seeds. (b) Norm of the mini-batch gradient: mean over the steps of an epoch, averaged
over seeds; the band is one standard deviation over the steps, averaged over seeds. InfoBatch's gradients contain its
sample weights, as they are applied. (c) Standard deviation of the epoch means in (b) within a rolling window,
averaged over seeds; the window is a twentieth of the training and at least three epochs. (d) Accuracy against
gradient norm, one point for each epoch and seed, with density contours where there are 20 points or more; Pearson's R
is computed for each run over its epochs and then averaged over seeds.

The paper prints R = -0.93 for the full data (CIFAR-100, ResNet-18, 200 epochs).
""",
        artifacts=(Figure("figure1", "Figure 1", ("results", "histories"), figure1, draw_figure1),),
    )
}
