"""Figures 5 to 8: the weights of the ranks. Computed by `orderdp.theory`, without runs, the same at every scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.items.base import Figure, Item
from orderdp.theory import limit_weights, rank_weights, sup_gap, total_variation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

DRAWN = 500
"""Ranks drawn of one curve at most."""


def figure5(settings: Mapping[str, Any]) -> pd.DataFrame:
    """n gamma_j over j/n as n grows, beside its limit (Proposition 2).

    Args:
        settings: of the experiment; `figure5` has s, q and the sizes n.

    Returns:
        Rows: `n` (infinite: the limit), `j`, `relative_rank` j/n, `weight` n gamma_j or gamma(z).
    """
    own = settings["figure5"]
    s, q = own["s"], own["q"]
    parts = []
    for n in own["n"]:
        ranks = np.unique(np.linspace(1, n, min(n, DRAWN)).round().astype(int))
        gamma = rank_weights(n, s, q)[ranks - 1]
        parts.append(pd.DataFrame({"n": float(n), "j": ranks, "relative_rank": ranks / n, "weight": n * gamma}))
    z = np.linspace(0, 1, DRAWN + 1)
    parts.append(pd.DataFrame({"n": math.inf, "relative_rank": z, "weight": limit_weights(z, s, q)}))
    return pd.concat(parts, ignore_index=True).assign(s=s, q=q)


def draw_figure5(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """One curve for each n, and the limit dashed."""
    figure, ((ax,),) = style.panels(1, 1, 3.6)
    sizes = [n for n in data["n"].unique() if math.isfinite(n)]
    for n, color in zip(sizes, style.shades(len(sizes)), strict=True):
        curve = data[data["n"] == n]
        ax.plot(curve["relative_rank"], curve["weight"], color=color, lw=1.6, label=f"n = {n:,.0f}")
    limit = data[~np.isfinite(data["n"])]
    ax.plot(
        limit["relative_rank"],
        limit["weight"],
        color="#D55E00",
        ls="--",
        lw=1.4,
        label="limit s(1 − F), F of Beta(q, s − q)",
    )
    ax.set_title(f"Weights of the ranks at s = {data['s'].iloc[0]}, q = {data['q'].iloc[0]}")
    _axes(ax, "Rank of the score, j/n (0: largest)", "nγ$_j$")
    return style.finish(figure, [[ax]], footer)


def figure6(settings: Mapping[str, Any]) -> pd.DataFrame:
    """gamma_j/q over the ranks for several q, beside uniform weights, and their distances from uniform for every q.

    Returns:
        Rows of two kinds: `panel` "weights" with `q`, `j`, `weight` gamma_j/q; `panel` "distances" with `q`, `c_s`,
        `total_variation`.
    """
    own = settings["figure6"]
    n, s = own["n"], own["s"]
    every = range(1, s + 1)
    distances = pd.DataFrame(
        {
            "q": list(every),
            "c_s": [sup_gap(n, s, q) for q in every],
            "total_variation": [total_variation(n, s, q) for q in every],
        }
    )
    return pd.concat([_weights(n, s, own["q"]), distances.assign(panel="distances", n=n, s=s)], ignore_index=True)


def draw_figure6(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """The weights at the left; the distances at the right, where the paper says that C_s goes to 0."""
    figure, axes = style.panels(1, 2, 4.3)
    left, right = axes[0]
    _draw_weights(left, data[data["panel"] == "weights"])
    distances = data[data["panel"] == "distances"]
    below = distances[distances["q"] < distances["s"]]
    right.plot(below["q"], below["c_s"], color="#000000", lw=1.6, label="C$_s$, largest distance of the densities")
    right.plot(distances["q"], distances["total_variation"], color="#999999", ls="--", lw=1.6, label="total variation")
    end = distances[distances["q"] == distances["s"]].iloc[0]
    right.plot([end["q"]], [end["c_s"]], "o", color="#000000", ms=5)
    right.annotate(
        f"C$_s$ = {end['c_s']:.0f} only at q = s", (end["q"] - 1, end["c_s"]), (0.6, 0.05), textcoords="axes fraction",
        ha="right", fontsize=8,
        arrowprops={"arrowstyle": "-", "color": "#666666", "lw": 0.8},
    )  # fmt: skip
    right.set_yscale("symlog", linthresh=1)
    right.set_yticks([0, 0.5, 1, 2, 5, 10, 20, 50, 100], ["0", "0.5", "1", "2", "5", "10", "20", "50", "100"])
    right.set_ylim(-0.05, distances["c_s"].max() * 1.3)
    right.set_title("Distance from uniform")
    _axes(right, "Kept candidates q", "Distance (linear below 1)", bottom=None)
    for ax in axes[0]:
        style.legend_below(ax)
    return style.finish(figure, axes, footer, legend=False)


def figure7(settings: Mapping[str, Any]) -> pd.DataFrame:
    """The normalised weights gamma_j/q for several q.

    Returns:
        Rows: `q`, `j`, `weight`, `n`, `s`.
    """
    own = settings["figure7"]
    return _weights(own["n"], own["s"], own["q"])


def draw_figure7(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """One curve for each q, and uniform weights."""
    figure, ((ax,),) = style.panels(1, 1, 3.6)
    _draw_weights(ax, data)
    return style.finish(figure, [[ax]], footer)


def figure8(settings: Mapping[str, Any]) -> pd.DataFrame:
    """The sum of gamma_j/q, which is 1, and by how much floating point misses it.

    Returns:
        Rows: `q`, `total`, `deviation` from 1, `n`, `s`.
    """
    own = settings["figure8"]
    n, s = own["n"], own["s"]
    totals = [math.fsum(rank_weights(n, s, q)) / q for q in own["q"]]
    return pd.DataFrame({"q": own["q"], "total": totals, "deviation": [total - 1 for total in totals], "n": n, "s": s})


def draw_figure8(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """The sums, and their deviation from 1 enlarged."""
    figure, axes = style.panels(1, 2, 3.2)
    left, right = axes[0]
    ours = style.look("orderdp").color
    left.bar(data["q"], data["total"], width=6, color=ours, alpha=0.85)
    left.set_ylim(0, 1.15)
    left.set_title(f"Sum of the weights at n = {data['n'].iloc[0]}, s = {data['s'].iloc[0]}")
    _axes(left, "Kept candidates q", "Σγ$_j$/q")
    right.plot(data["q"], data["deviation"] / np.finfo(float).eps, "o", color=ours)
    right.axhline(0, color="#555555", lw=1)
    right.set_ylim(-4.5, 4.5)
    right.set_title("What floating point leaves of 1")
    _axes(right, "Kept candidates q", "Σγ$_j$/q − 1, in units of 2$^{−52}$", bottom=None)
    return style.finish(figure, axes, footer)


def _weights(n: int, s: int, sizes: Sequence[int]) -> pd.DataFrame:
    parts = [pd.DataFrame({"q": q, "j": np.arange(1, n + 1), "weight": rank_weights(n, s, q) / q}) for q in sizes]
    return pd.concat(parts, ignore_index=True).assign(panel="weights", n=n, s=s)


def _draw_weights(ax: Axes, data: pd.DataFrame) -> None:
    n, s, sizes = data["n"].iloc[0], data["s"].iloc[0], list(data["q"].unique())
    for q, color in zip(sizes, style.shades(len(sizes)), strict=True):
        curve = data[data["q"] == q]
        ax.plot(curve["j"], curve["weight"], color=color, lw=1.6, label=f"q = {q:.0f}" + (" = s" if q == s else ""))
    ax.axhline(1 / n, color="#D55E00", ls="--", lw=1.2, label="uniform, 1/n")
    ax.set_title(f"Weights of the ranks at n = {n:.0f}, s = {s:.0f}")
    _axes(ax, "Rank of the score, j (1: largest)", "γ$_j$/q")


def _axes(ax: Axes, x: str, y: str, bottom: float | None = 0) -> None:
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if bottom is not None:
        ax.set_ylim(bottom=bottom)


ITEMS = {
    "figures5_8": Item(
        caption="""
The chance γ of each rank to be kept (Eq. 3), computed exactly; nothing is trained. Figure 5: nγ over the relative
rank as n grows at fixed s and q, and its limit (Proposition 2 as its proof ends). Figure 6: the weights γ/q of
several q beside uniform ones; at the right, which the paper does not show, how far they are from uniform at every q:
the gap C of Theorem 4 stays at 1 until q = s, where the paper says that it vanishes, while the total variation does
shrink. Figure 7: the same weights at n = 400. Figure 8: their sum, which is 1; at the right what floating point
leaves of it.
""",
        artifacts=(
            Figure("figure5", "Figure 5", ("settings",), figure5, draw_figure5),
            Figure("figure6", "Figure 6", ("settings",), figure6, draw_figure6),
            Figure("figure7", "Figure 7", ("settings",), figure7, draw_figure7),
            Figure("figure8", "Figure 8", ("settings",), figure8, draw_figure8),
        ),
    )
}
