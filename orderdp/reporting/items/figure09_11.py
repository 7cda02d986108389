"""Figures 9 to 11: how often each sample is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.items.base import Figure, Item
from orderdp.reporting.ratios import at_place
from orderdp.reporting.results import FINISHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure


def usage_at(place: int, last: bool = False) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The data function of the figure at one prune ratio, chosen as `ratios.at_place` says."""

    def data(selections: pd.DataFrame) -> pd.DataFrame:
        """Histogram of the usage counts of finished runs.

        Args:
            selections: from `results.selections`, of this experiment.

        Returns:
            One row per workload, method and usage count without gaps: `uses`, `samples` (how many samples were used
            that often, mean over seeds) with `samples_min` and `samples_max`, `expected_uses` (mean over samples),
            `total` samples, `seeds`.
        """
        keys = ["workload", "stands_for", "method", "label", "prune_ratio"]
        parts = []
        finished = [rows[rows["status"] == FINISHED] for _, rows in at_place(selections, place, last)]
        for values, runs in (group for rows in finished for group in rows.groupby(keys, sort=False)):
            # A count that one seed has and another has not is 0 there.
            wide = runs.pivot(index="uses", columns="seed", values="samples").fillna(0)
            part = pd.DataFrame(
                {"samples": wide.mean(axis=1), "samples_min": wide.min(axis=1), "samples_max": wide.max(axis=1)}
            ).reset_index()
            coordinates: dict[str, Any] = dict(zip(keys, values, strict=True))
            found = {
                "expected_uses": runs.drop_duplicates("seed")["expected_uses"].mean(),
                "total": int(wide.iloc[:, 0].sum()),
                "seeds": wide.shape[1],
            }
            parts.append(part.assign(**coordinates, **found))
        columns = [*keys, "uses", "samples", "samples_min", "samples_max", "expected_uses", "total", "seeds"]
        return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)

    return data


def draw_usage(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """One histogram per workload, method and prune ratio."""
    parts = [part for _, part in data.groupby(["workload", "method", "prune_ratio"], sort=False)]
    figure, axes = style.panels(max(1, len(parts)), 1, 3.4 * max(1, len(parts)))
    for (ax,), part in zip(axes, parts, strict=False):
        _draw_histogram(ax, part, str(part.iloc[0]["workload"]))
    if not parts:
        style.nothing(axes[0][0])
    return style.finish(figure, axes, footer)


def _draw_histogram(ax: Axes, part: pd.DataFrame, workload: str) -> None:
    method, first = str(part.iloc[0]["method"]), part.iloc[0]
    look = style.look(method)
    whiskers = None
    if len(part) <= 40 and first["seeds"] > 1:
        whiskers = [part["samples"] - part["samples_min"], part["samples_max"] - part["samples"]]
    ax.bar(
        part["uses"], part["samples"], width=0.9 if len(part) <= 40 else 1.0, color=look.color, alpha=0.85,
        yerr=whiskers,
        error_kw={"elinewidth": 0.9, "capsize": 2, "ecolor": "#333333"},
    )  # fmt: skip
    expected = first["expected_uses"]
    ax.axvline(expected, color="#D55E00", linestyle="--", lw=1.2, label=f"Mean: {expected:.2f} uses")
    ax.set_title(f"{first['label']} at {100 * first['prune_ratio']:.6g} % pruned, {workload}")
    ax.set_xlabel("Times used in training")
    ax.set_ylabel("Samples")
    ax.set_xlim(-0.8, part["uses"].max() + 0.8)
    ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    ax.grid(axis="x", visible=False)
    ax.set_title(never_used(part), loc="right", fontweight="normal", fontsize=8)


def never_used(part: pd.DataFrame) -> str:
    """The share of samples that no epoch used: mean over seeds, and the seed with the most."""
    zero, total = part[part["uses"] == 0], part.iloc[0]["total"]
    mean, worst = (0.0, 0.0) if zero.empty else (zero.iloc[0]["samples"], zero.iloc[0]["samples_max"])
    return f"Never used: {mean:.3g} of {total:,} samples ({100 * mean / total:.2g} %), at most {worst:.0f} in a seed"


ITEMS = {
    "figures9_11": Item(
        caption="""
How often OrderDP used each sample during training: number of samples per usage count, mean over seeds; whiskers span
the seeds. Only epochs that were trained count. The dashed line is the mean, epochs times the share kept. How many
samples were never used is written above the bars: the paper's claim is that there are none.
""",
        artifacts=(
            # One figure per prune ratio of the grid, ascending; the last shows any that are left.
            Figure("figure9", "Figure 9", ("selections",), usage_at(0), draw_usage),
            Figure("figure10", "Figure 10", ("selections",), usage_at(1), draw_usage),
            Figure("figure11", "Figure 11", ("selections",), usage_at(2, last=True), draw_usage),
        ),
    )
}
