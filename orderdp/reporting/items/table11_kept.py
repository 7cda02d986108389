"""What a method keeps, measured during training: the figure and the table beside Table 11."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from orderdp.reporting import style
from orderdp.reporting.entries import runs_text
from orderdp.reporting.measures import spread
from orderdp.reporting.results import FINISHED
from orderdp.reporting.sheets import Block, Entry, Sheet, with_error
from orderdp.reporting.summaries import counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURED = {
    "norm_full": ("Norm, all samples", 3),
    "norm_pruned": ("Norm, kept", 3),
    "norm_normalized": ("Norm, kept ÷ mean weight", 3),
    "loss_kept": ("Loss of the kept", 3),
    "loss_dropped": ("Loss of the dropped", 3),
    "forgotten_kept": ("Forgotten, kept (%)", 2),
    "forgotten_dropped": ("Forgotten, dropped (%)", 2),
    "label_tv": ("Shift of labels (%)", 2),
}
"""Column of diagnostics.csv -> heading and digits."""
SHARES = ("forgotten_kept", "forgotten_dropped", "label_tv")


def kept_table(results: pd.DataFrame, diagnostics: pd.DataFrame) -> pd.DataFrame:
    """Gradient norms, losses, forgetting and label shift of what is kept and dropped: means over a run's measurements,
    then over runs.

    Args:
        results: from `results.collect`, of this experiment.
        diagnostics: from `results.diagnostics`, of this experiment.

    Returns:
        One row per workload, prune ratio and method: `planned`, `runs`, `diverged`, and for each of MEASURED its mean
        and `<name>_std` over runs; shares in %.
    """
    records = []
    for (workload, ratio, method), runs in results.groupby(["workload", "prune_ratio", "method"], sort=False):
        done = runs[runs["status"] == FINISHED]
        of_run = diagnostics[diagnostics["run"].isin(done["run"])].groupby("run")
        record: dict[str, Any] = {
            "workload": workload, "prune_ratio": ratio, "method": method, "label": runs.iloc[0]["label"],
            **counts(runs),
        }  # fmt: skip
        for name in MEASURED:
            values: Any = of_run[name].mean() * (100 if name in SHARES else 1) if name in diagnostics else []
            record[name], record[f"{name}_std"], _ = spread(values)
        records.append(record)
    return pd.DataFrame(records)


def kept_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet per workload, a block per prune ratio."""
    return [_sheet(str(workload), part) for workload, part in table.groupby("workload", sort=False)]


def _sheet(workload: str, table: pd.DataFrame) -> Sheet:
    blocks = [
        Block(f"Prune ratio {100 * float(str(ratio)):g} %", tuple(_row(row) for row in part.to_dict("records")))
        for ratio, part in table.groupby("prune_ratio")
    ]
    return Sheet(
        title=f"What is kept, and what that does, on {workload}: mean ± standard deviation over runs",
        columns=("Method", *(heading for heading, _ in MEASURED.values()), "Runs"),
        blocks=tuple(blocks),
        notes=(
            (
                "Means over a run's measurements, at the checkpoints of Table 11. Norms: of the gradient of the mean"
                " loss over all samples, and of the method's own loss over those kept (InfoBatch's weights are in it,"
                " and make it larger by their mean; the third line takes that out). Forgotten: share of the samples"
                " right at the measurement before that are wrong now, among those that were trained on since, and among"
                " those that were not. Shift of labels: total variation distance between the classes of the kept and of"
                " all samples."
            ),
        ),
    )


def _row(row: Mapping[Any, Any]) -> tuple[Entry, ...]:
    texts = [with_error(row[name], row[f"{name}_std"], digits) for name, (_, digits) in MEASURED.items()]
    return (Entry(row["label"]), *map(Entry, texts), Entry(runs_text(row["runs"], row["planned"], row["diverged"])))


def kept_figure(
    results: pd.DataFrame, histories: pd.DataFrame, diagnostics: pd.DataFrame, profiles: pd.DataFrame
) -> pd.DataFrame:
    """Curves of what is kept, mean over the finished runs.

    Args:
        results: from `results.collect`, of this experiment.
        histories: from `results.histories`, of this experiment.
        diagnostics: from `results.diagnostics`, of this experiment.
        profiles: from `results.profiles`, of this experiment.

    Returns:
        Rows: workload, prune_ratio, method, label, `what` ("cosine", "share kept", "coverage", "forgotten, kept",
        "forgotten, dropped"), `x` (share of the training done; the middle of a tenth of the samples by loss, hardest
        first, for the share kept), `value` and `std` over runs. Shares in %.
    """
    finished = results.loc[results["status"] == FINISHED, "run"]
    keys = ["workload", "prune_ratio", "method", "label"]
    taken = diagnostics.assign(x=diagnostics["progress"])
    by_loss = profiles[profiles["by"] == "loss"]
    parts = [
        taken.assign(what="cosine", value=taken["cosine"]),
        *(
            taken.assign(what=f"forgotten, {who}", value=100 * taken[f"forgotten_{who}"])
            for who in ("kept", "dropped")
            if len(taken)
        ),
        (
            histories.assign(what="coverage", x=histories["progress"], value=100 * histories["coverage"])
            if len(histories)
            else histories
        ),
        # The first measurement is before any score is known.
        by_loss[by_loss["epoch"] > by_loss.groupby("run")["epoch"].transform("min")].assign(
            what="share kept", x=lambda rows: (rows["group"] + 0.5) / 10, value=lambda rows: 100 * rows["share"]
        ),
    ]
    columns = [*keys, "what", "x", "value", "std", "runs"]
    found = [part[part["run"].isin(finished)] for part in parts if len(part)]
    if not found:
        return pd.DataFrame(columns=columns)
    rows = pd.concat(found, ignore_index=True).dropna(subset=["value"])
    of_run = rows.groupby([*keys, "what", "x", "run"], sort=False)["value"].mean().reset_index()
    return (
        of_run.groupby([*keys, "what", "x"], sort=False)["value"]
        .agg(value="mean", std="std", runs="count")
        .reset_index()[columns]
    )


PANELS = (
    ("Direction of the gradient", ("cosine",), "Share of the training done", "Cosine to the full gradient"),
    ("What is kept", ("share kept",), "Rank of the loss, in shares (0: hardest)", "Kept of each tenth (%)"),
    ("What was ever trained on", ("coverage",), "Share of the training done", "Samples kept at least once (%)"),
    (
        "What is forgotten",
        ("forgotten, kept", "forgotten, dropped"),
        "Share of the training done",
        "Right before, wrong now (%)",
    ),
)


def draw_kept(data: pd.DataFrame, footer: str) -> Figure:
    """A row of panels per measure, a column per workload and prune ratio."""
    keys: list[Any] = list(data.groupby(["workload", "prune_ratio"], sort=True).groups)
    columns: list[tuple[str, float]] = keys or [("", float("nan"))]
    figure, axes = style.panels(len(PANELS), len(columns), 2.6 * len(PANELS))
    for row, (title, names, x, y) in zip(axes, PANELS, strict=True):
        for ax, (workload, ratio) in zip(row, columns, strict=True):
            part = data[(data["workload"] == workload) & (data["prune_ratio"] == ratio) & data["what"].isin(names)]
            if part.empty:
                style.nothing(ax)
                continue
            for (method, what), curve in part.groupby(["method", "what"], sort=False):
                _draw(ax, str(method), str(what), curve)
            ax.set_title(
                f"{title}, {100 * ratio:g} % pruned" + (f", {workload}" if data["workload"].nunique() > 1 else "")
            )
            ax.set_xlabel(x)
            ax.set_ylabel(y)
        low, high = min(ax.get_ylim()[0] for ax in row), max(ax.get_ylim()[1] for ax in row)
        for ax in row:
            ax.set_ylim(low, high)
    return style.finish(figure, axes, footer)


def _draw(ax: Axes, method: str, what: str, curve: pd.DataFrame) -> None:
    look, curve = style.look(method), curve.sort_values("x")
    dropped = what.endswith("dropped")
    label = f"{curve.iloc[0]['label']}" + (
        ", dropped samples" if dropped else ", kept samples" if what.startswith("forgotten") else ""
    )
    line = ":" if dropped else look.line
    ax.plot(curve["x"], curve["value"], color=look.color, linestyle=line, marker=look.marker, markersize=4, label=label)
    std = curve["std"].fillna(0.0)
    ax.fill_between(curve["x"], curve["value"] - std, curve["value"] + std, color=look.color, alpha=0.12, lw=0)
