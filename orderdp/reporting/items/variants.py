"""Beyond the paper: variants of OrderDP against it and the full data, with right and with wrong training labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.entries import difference_text, runs_entry
from orderdp.reporting.items.base import Figure, Item, Table
from orderdp.reporting.measures import spread
from orderdp.reporting.results import FINISHED
from orderdp.reporting.sheets import Block, Entry, Sheet, number, with_error
from orderdp.reporting.summaries import FULL, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure


LEAST_PAIRS = 3
"""Seeds from which an interval is given: that of two differences is wider than any of them, or zero by chance."""


def variants(results: pd.DataFrame) -> pd.DataFrame:
    """Each method at each share of wrong labels.

    Args:
        results: from `results.collect`, of this experiment.

    Returns:
        One row per workload, label noise and method, the full data first: measured columns as in `summaries.summarise`,
        with the difference to the full data of the same label noise (its interval from three pairs on), and
        `wrong_labels` (share of wrong labels among all samples trained, mean over seeds; NaN where no label is wrong).
    """
    records: list[dict[str, Any]] = []
    for (workload, noise), block in results.groupby(["workload", "label_noise"], sort=False):
        full = block[block["method"] == FULL]
        for _, runs in block.groupby("method", sort=False):
            done = runs[runs["status"] == FINISHED]
            found = {"workload": workload, "label_noise": noise} | summarise(runs, full)
            if found["pairs"] < LEAST_PAIRS:
                found["difference_ci95"] = float("nan")
            records.append(found | {"wrong_labels": spread(done["wrong_labels"]).mean})
    frame = pd.DataFrame(records)
    return frame.sort_values(["workload", "label_noise"], kind="stable", ignore_index=True)


def variant_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload: a block for each share of wrong labels."""
    return [_sheet(str(workload), part) for workload, part in table.groupby("workload", sort=False)]


def _sheet(workload: str, table: pd.DataFrame) -> Sheet:
    blocks = tuple(
        Block(_noise_name(float(str(noise))), tuple(map(_row, part.to_dict("records"))))
        for noise, part in table.groupby("label_noise", sort=False)
    )
    return Sheet(
        title=f"Test accuracy on {workload} by share of wrong training labels, mean ± standard deviation over seeds",
        columns=("Method", "Accuracy (%)", "Δ to full data", "Wrong among trained (%)", "Really pruned (%)", "Runs"),
        blocks=blocks,
        notes=(
            (
                "Δ: points below (−) or above (+) the full data with the same wrong labels, mean of the differences"
                " paired by seed; from three seeds on ± half of their 95 % t interval. Wrong among trained: share of"
                " wrong labels among all samples that were trained, counted as often as they were."
            ),
        ),
    )


def _noise_name(noise: float) -> str:
    return f"{100 * noise:.6g} % of the labels wrong" if noise else "All labels right"


def _row(row: Mapping[Any, Any]) -> tuple[Entry, ...]:
    if row["status"] != FINISHED:
        return (Entry(str(row["label"])), Entry(str(row["status"])), *[Entry("–")] * 3, runs_entry(row))
    return (
        Entry(str(row["label"])),
        Entry(with_error(row["accuracy"], row["accuracy_std"], 2)),
        Entry(difference_text(row)),
        Entry(number(100 * row["wrong_labels"], 1)),
        Entry(number(100 * row["realised_prune_ratio"], 1)),
        runs_entry(row),
    )


def draw_variants(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """Per workload one line per method: accuracy in a panel for each share of wrong labels, and at the right what share
    was trained."""
    workloads, noises = list(dict.fromkeys(data["workload"])), sorted(data["label_noise"].unique())
    methods = list(dict.fromkeys(data.sort_values("label_noise", kind="stable")["method"]))
    figure, axes = style.panels(len(workloads), len(noises) + 1, (0.75 + 0.27 * len(methods)) * len(workloads) + 0.25)
    for row, workload in zip(axes, workloads, strict=True):
        part = data[data["workload"] == workload]
        labels = part.drop_duplicates("method").set_index("method")["label"].to_dict()
        title = f", {workload}" if len(workloads) > 1 else ""
        limits = _limits(part)
        for index, (ax, noise) in enumerate(zip(row, noises, strict=False)):
            _draw_accuracy(ax, part[part["label_noise"] == noise], methods)
            ax.set_title(f"{100 * noise:.6g} % wrong labels" + (title if index == 0 else ""))
            ax.set_xlabel("Test accuracy (%)")
            ax.set_xlim(limits)
        _draw_wrong(row[-1], part[part["label_noise"] > 0], methods)
        for index, ax in enumerate(row):
            ax.set_yticks(range(len(methods)), [labels.get(m, m) if index == 0 else "" for m in methods])
            ax.set_ylim(len(methods) - 0.5, -0.5)
            ax.tick_params(axis="y", length=0)
    return style.finish(figure, axes, footer)


def _limits(part: pd.DataFrame) -> tuple[float, float] | None:
    """One range of accuracy for all panels, so that they can be compared."""
    error = part["accuracy_std"].fillna(0.0)
    low, high = (part["accuracy"] - error).min(), (part["accuracy"] + error).max()
    if low != low:
        return None
    margin = 0.06 * (high - low) + 0.1
    return low - margin, high + margin


def _draw_accuracy(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
    for row in part.to_dict("records"):
        look, error = style.look(row["method"]), row["accuracy_std"]
        if row["status"] != FINISHED:
            at: dict[str, Any] = {
                "transform": ax.get_yaxis_transform(),
                "ha": "center",
                "va": "center",
                "fontsize": 8,
                "color": "#666666",
            }
            ax.text(0.5, methods.index(row["method"]), row["status"], **at)
            continue
        ax.errorbar(
            row["accuracy"], methods.index(row["method"]), xerr=None if error != error else error, color=look.color,
            marker=look.marker,
            markersize=7 if look.marker == "*" else 5, capsize=2, elinewidth=0.9,
        )  # fmt: skip
        if row["method"] == FULL:
            ax.axvline(row["accuracy"], color=look.color, linestyle="--", lw=0.9)
    ax.xaxis.get_major_locator().set_params(nbins=4)  # type: ignore[call-arg]


def _draw_wrong(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
    """Filled marks and a dashed line for the largest share of wrong labels, paler ones for the others."""
    ax.set_title("Among the trained")
    ax.set_xlabel("Wrong labels (%)")
    noises = sorted(part["label_noise"].unique())
    for noise in noises:
        alpha = 1.0 if noise == noises[-1] else 0.4
        ax.axvline(100 * noise, color="#000000", alpha=alpha, linestyle="--", lw=0.9)
        for row in part[part["label_noise"] == noise].dropna(subset="wrong_labels").to_dict("records"):
            look, y = style.look(row["method"]), methods.index(row["method"])
            size = 7 if look.marker == "*" else 5
            ax.plot(
                100 * row["wrong_labels"],
                y,
                color=look.color,
                alpha=alpha,
                marker=look.marker,
                markersize=size,
                linestyle="",
            )
    if noises:
        ax.set_xlim(0, 108 * max(noises[-1], part["wrong_labels"].max()))
    else:
        style.nothing(ax, "no wrong labels")


ITEMS = {
    "variants": Item(
        caption="""
Not in the paper: its section F names such variants, and noisy labels, as future work. Half of the data is pruned.
Each variant differs from OrderDP in one thing. *Easiest* keeps the candidates of smallest loss, *half easiest* keeps
half from either end. *Trimmed* first leaves out the fifth of the candidates with the largest known losses; samples
never seen are never left out. *Mean of losses* ranks by a moving average with weight 0.3 on the newest loss,
*gradient norm* by the distance between predicted probabilities and label, *margin* by how far the most probable other
class lies above the label's. *Rising ratio* prunes linearly more over the training, half on average.

Wrong labels are drawn once for a data set: each is another class, uniformly, the same in all runs, and what is wrong
at 10 % is wrong at 20 % too. Test labels are right. Points and whiskers are mean and standard deviation over seeds; a
dashed line in the panels of accuracy is the full data with the same wrong labels. At the right: the share of wrong
labels among all samples trained, pale for the smaller shares; the dashed lines are the shares in the data. A method
that trains wrong labels more often than they occur lies beyond its line. The table compares with the full data seed
by seed. A method or a share of wrong labels that is not listed was not run at this scale.
""",
        artifacts=(
            Table("variants", "Table of variants", ("results",), variants, variant_sheets),
            Figure("variants_accuracy", "Figure of variants", ("results",), variants, draw_variants),
        ),
    )
}
