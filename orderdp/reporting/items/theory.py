"""The theorems checked by experiment: the numbers and the curves of a study, see `orderdp.theory.experiments`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.items.base import Figure, Item, Table
from orderdp.reporting.measures import spread
from orderdp.reporting.sheets import Block, Entry, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

SCORES = {"fresh": ("#0072B2", "-", "o", "fresh scores"), "stale": ("#D55E00", "--", "s", "stale scores (Eq. 2)")}
TERMS = {
    "losses": {
        "surrogate": ("#0072B2", "-", "L$_q$ on the training set"),
        "loss": ("#000000", "-", "L on the training set"),
        "population": ("#009E73", "--", "L held out"),
        "q_n": ("#CC79A7", ":", "Q$_n$ = L$_q$ − L"),
    },
    "sides": {
        "left": ("#000000", "-", "left side"),
        "right": ("#D55E00", "-", "right side"),
        "optimization_bound": ("#E69F00", "--", "its optimization term"),
        "bias_bound": ("#56B4E9", ":", "its bias term"),
    },
}
"""Panel of Theorem 4 -> column of the study -> colour, line and label."""


def theorems(study: Mapping[str, Any]) -> pd.DataFrame:
    """The study's numbers in one table.

    Args:
        study: from `results.study`; empty if it is not run.

    Returns:
        Rows: `theorem`, `scores`, `case` (in words), `value`, `low`, `high` (95 % interval; NaN where there is none),
        `reference` and what it is, `against`.
    """
    if not study:
        return pd.DataFrame(columns=["theorem", "scores", "case", "value", "low", "high", "reference", "against"])
    records = []
    for row in study["unbiasedness"].to_dict("records"):
        case = f"mean update along ∇L_q − ∇L, {row['draws']:,} draws (s = {row['s']}, q = {row['q']})"
        interval = {
            "value": row["estimate"],
            "low": row["estimate"] - row["half_width"],
            "high": row["estimate"] + row["half_width"],
        }
        records.append(
            {
                "theorem": "1",
                "scores": row["scores"],
                "case": case,
                **interval,
                "reference": row["target"],
                "against": "∇L_q",
            }
        )
        records.append(
            {
                "theorem": "1",
                "scores": row["scores"],
                "case": case,
                **interval,
                "reference": row["full"],
                "against": "∇L",
            }
        )
    for (scores, steps), runs in study["convergence"].groupby(["scores", "steps"], sort=False):
        for gap, name in (("gap_averaged", "averaged iterate"), ("gap_best", "best iterate")):
            records.append({
                "theorem": "3", "scores": scores, "case": f"L_q less its minimum, {name}, T = {steps:,}",
                "value": spread(runs[gap]).mean,
                "low": runs[gap].min(), "high": runs[gap].max(), "reference": runs["bound"].iloc[0], "against": "GR/√T",
            })  # fmt: skip
    tightest = (
        study["generalization"].assign(room=lambda rows: rows["right"] - rows["left"]).sort_values("room").iloc[0]
    )
    records.append({
        "theorem": "4", "scores": "fresh",
        "case": f"L(θ*) − L_q(θᵗ) at step {tightest['step']:.0f}, where the bound is tightest",
        "value": tightest["left"], "reference": tightest["right"], "against": "bias and optimization bounds",
    })  # fmt: skip
    return pd.DataFrame(records)


def theorem_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet, a block per theorem."""
    if table.empty:
        return [Sheet("The theorems by experiment: not run", ("",), (Block("", ((Entry("not run"),),)),))]
    blocks = [
        Block(f"Theorem {theorem}", tuple(_row(row) for row in part.to_dict("records")))
        for theorem, part in table.groupby("theorem")
    ]
    return [
        Sheet(
            title="The theorems by experiment: logistic regression under Algorithm 1",
            columns=("", "Scores", "Measured", "Interval", "Held against", "Which is"),
            blocks=tuple(blocks),
            notes=(
                (
                    "Theorem 1: 95 % intervals; an unbiased estimate of ∇L_q has the first reference inside, and the"
                    " second would be that of a plain mini-batch. Theorem 3: mean over seeds, in brackets the smallest"
                    " and largest; the theorem covers fresh scores only. Theorem 4: the loss on held-out samples"
                    " represents the expected risk."
                ),
            ),
        )
    ]


def _row(row: Mapping[Any, Any]) -> tuple[Entry, ...]:
    interval = "–" if row["low"] != row["low"] else f"[{row['low']:.4g}, {row['high']:.4g}]"
    return tuple(
        map(
            Entry,
            (row["case"], row["scores"], f"{row['value']:.4g}", interval, f"{row['reference']:.4g}", row["against"]),
        )
    )


def theorem_curves(study: Mapping[str, Any]) -> pd.DataFrame:
    """What the figure draws.

    Returns:
        Rows: `panel` ("convergence": T against gap_averaged, with its bound; "losses" and "sides" of Theorem 4 along
        the steps), `x`, `what`, `value` (mean over seeds), `low` and `high` (least and most over seeds; none for the
        bound).
    """
    columns = ["panel", "x", "what", "value", "low", "high"]
    if not study:
        return pd.DataFrame(columns=columns)
    records: list[dict[str, Any]] = []
    for (scores, steps), runs in study["convergence"].groupby(["scores", "steps"], sort=False):
        gap = runs["gap_averaged"]
        records.append(
            {
                "panel": "convergence",
                "x": steps,
                "what": scores,
                "value": gap.mean(),
                "low": gap.min(),
                "high": gap.max(),
            }
        )
        if scores == "fresh":
            records.append({"panel": "convergence", "x": steps, "what": "bound", "value": runs["bound"].iloc[0]})
    for panel, names in TERMS.items():
        along = study["generalization"].groupby("step")[list(names)]
        mean, low, high = along.mean(), along.min(), along.max()
        for what in names:
            records += [
                {
                    "panel": panel,
                    "x": step,
                    "what": what,
                    "value": mean.at[step, what],
                    "low": low.at[step, what],
                    "high": high.at[step, what],
                }
                for step in mean.index
            ]
    return pd.DataFrame(records, columns=columns)


def draw_theorems(data: pd.DataFrame, footer: str) -> MatplotlibFigure:
    """Convergence against its bound, the losses along a run, and the terms of Theorem 4."""
    figure, axes = style.panels(1, 3, 4.1)
    if data.empty:
        for ax in axes[0]:
            style.nothing(ax, "not run")
        return style.finish(figure, axes, footer)
    _draw_convergence(axes[0][0], data[data["panel"] == "convergence"])
    _draw_lines(axes[0][1], data[data["panel"] == "losses"], TERMS["losses"], "Theorem 4: losses along a run")
    _draw_lines(axes[0][2], data[data["panel"] == "sides"], TERMS["sides"], "Theorem 4: its two sides")
    axes[0][2].set_yscale("symlog", linthresh=1)
    axes[0][2].set_yticks([-2, 0, 1, 10, 100, 1000], ["−2", "0", "1", "10", "100", "1000"])
    return style.finish(figure, axes, footer, legend=False)


def _draw_convergence(ax: Axes, data: pd.DataFrame) -> None:
    for what, (color, line, marker, label) in SCORES.items():
        curve = data[data["what"] == what].sort_values("x")
        error = [curve["value"] - curve["low"], curve["high"] - curve["value"]]
        ax.errorbar(
            curve["x"], curve["value"], yerr=error, color=color, linestyle=line, marker=marker, capsize=2, label=label
        )
    bound = data[data["what"] == "bound"].sort_values("x")
    ax.plot(bound["x"], bound["value"], color="#000000", ls=":", label="bound GR/√T")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_title("Theorem 3: averaged iterate")
    ax.set_xlabel("Steps T")
    ax.set_ylabel("L$_q$ less its minimum")
    style.legend_below(ax)


def _draw_lines(ax: Axes, data: pd.DataFrame, lines: Mapping[str, tuple[str, str, str]], title: str) -> None:
    for what, (color, line, label) in lines.items():
        curve = data[data["what"] == what].sort_values("x")
        ax.plot(curve["x"], curve["value"], color=color, linestyle=line, label=label)
        ax.fill_between(curve["x"], curve["low"], curve["high"], color=color, alpha=0.15, lw=0)
    ax.set_xscale("log")
    ax.set_title(title)
    ax.set_xlabel("Step of the run")
    ax.set_ylabel("Loss")
    style.legend_below(ax)


ITEMS = {
    "theory": Item(
        caption="""
The theorems on a problem where they can be checked: multinomial logistic regression with a small ridge on
scikit-learn's digits, convex in every sample, its minimum certified by a lower bound. Theorem 1: the mean of very
many updates at one point, with scores that are the present losses and with those that Algorithm 1 keeps. Theorem 3:
Algorithm 1 at the theorem's step size R/(G√T) against its bound. Theorem 4: both sides along a run; the loss on
held-out digits stands for the expected risk.
""",
        artifacts=(
            Table("theorems", "The theorems", ("study",), theorems, theorem_sheets),
            Figure("theorems", "The theorems", ("study",), theorem_curves, draw_theorems),
        ),
    )
}
