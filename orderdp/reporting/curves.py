"""Figures over the course of training: Figure 1 (dynamics) and Figures 12 and 13 (time to accuracy)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.measures import pearson, rolling_window, spread
from orderdp.reporting.ratios import at_place
from orderdp.reporting.results import FINISHED
from orderdp.reporting.sheets import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUP = ["workload", "method", "prune_ratio"]


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
    for legend, runs, first in _methods(results):
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


def _methods(results: pd.DataFrame) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """(legend, finished runs, coordinates) per method; the legend says what is missing."""
    for _, runs in results.groupby(GROUP, sort=False, dropna=False):
        done = runs[runs["status"] == FINISHED]
        keys = ("workload", "stands_for", "method", "label", "seed")
        first: dict[str, Any] = {key: runs.iloc[0][key] for key in keys}
        missing = [f"{count} {status}" for status, count in runs["status"].value_counts().items() if status != FINISHED]
        yield first["label"] + (f" ({', '.join(missing)})" if missing else ""), list(done["run"]), first


def over_seeds(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean and sample standard deviation (0 for one seed) of a column over seeds, for every epoch."""
    grouped = frame.groupby("epoch")[column]
    return pd.DataFrame({"mean": grouped.mean(), "std": grouped.std().fillna(0.0)})


def draw_figure1(data: pd.DataFrame, footer: str) -> Figure:
    """Four panels per workload, see the caption."""
    workloads = list(dict.fromkeys(data["workload"]))
    figure, axes = style.panels(2 * len(workloads), 2, 6.2 * len(workloads))
    for index, workload in enumerate(workloads):
        (a, b), (c, d) = axes[2 * index : 2 * index + 2]
        part = data[data["workload"] == workload]
        window = part["window"].max() if "window" in part else float("nan")
        for method, runs in part.groupby("method", sort=False):
            _draw_method(str(method), runs, (a, b, c))
        _label(a, "(a) Test accuracy", "Epoch", "Test accuracy (%)")
        _label(b, "(b) Gradient norm, ± spread over steps", "Epoch", "Gradient norm")
        over = f" over {window:.0f} epochs" if window == window else ""
        _label(c, f"(c) Rolling deviation{over}", "Epoch", "Std of gradient norm")
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


def _label(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_title(title)
    ax.set_xlabel(x)
    ax.set_ylabel(y)


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
    _label(ax, "(d) Joint distribution over epochs", "Test accuracy (%)", "Gradient norm")
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
        shown = [(ratio, *method) for ratio, rows in at_place(results, place, last) for method in _methods(rows)]
        for ratio, legend, cells, first in shown:
            base = first | {"legend": legend, "prune_ratio": ratio}
            del base["seed"]
            epochs = histories[histories["run"].isin(cells)].dropna(subset=["test_accuracy"] if cells else [])
            for epoch, rows in epochs.groupby("epoch"):
                accuracy = spread(rows["test_accuracy"])
                point = {
                    "time_s": rows["time_s"].mean(),
                    "test_accuracy": accuracy.mean,
                    "test_accuracy_std": accuracy.std,
                }
                records.append(base | {"epoch": epoch, **point, "seeds": accuracy.count})
            if not cells:
                records.append(base)
        columns = [
            "workload", "stands_for", "method", "label", "legend", "prune_ratio", "epoch", "time_s", "test_accuracy",
            "test_accuracy_std", "seeds",
        ]  # fmt: skip
        return pd.DataFrame(records, columns=columns)

    return data


def draw_time_to_accuracy(data: pd.DataFrame, footer: str) -> Figure:
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
        _label(row[0], title, f"Selection and training time ({unit})", "Test accuracy (%)")
        _label(row[1], "Upper end, enlarged", f"Selection and training time ({unit})", "Test accuracy (%)")
    return style.finish(figure, axes, footer)


def _draw_time(ax: Axes, method: str, line: pd.DataFrame, divisor: float) -> None:
    look = style.look(method)
    x, y, std = line["time_s"] / divisor, line["test_accuracy"], line["test_accuracy_std"].fillna(0.0)
    every = max(1, len(line) // 10)
    ax.plot(
        x, y, color=look.color, linestyle=look.line, marker=look.marker, markevery=every, label=line.iloc[0]["legend"]
    )
    ax.fill_between(x, y - std, y + std, color=look.color, alpha=0.15, lw=0)
