"""One figure per benchmark, from the rows that it wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from orderdp.reporting import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LOOKS = {
    "orderdp_batches": style.LOOKS["orderdp_margin"],
    "orderdp_scheduled": style.LOOKS["orderdp_rising"],
    "orderdp_by_sort": style.LOOKS["orderdp_bottom"],
    "static": style.OTHERS[3],
}
"""Of methods that the report's figures do not show; the others look as they do there."""


def look_of(method: str) -> style.Look:
    """The method's look."""
    return LOOKS.get(method) or style.look(method)


def footer(frame: pd.DataFrame) -> str:
    """The machine that the numbers were taken on."""
    row = frame.iloc[0]
    threads = f"{row['threads']} thread{'' if row['threads'] == 1 else 's'} of {row['cores']} cores"
    return f"{row['cpu']}, {row['vectors']} · {threads} · torch {row['torch']}"


def selection(frame: pd.DataFrame) -> Figure:
    """Ratio to a full sort, and milliseconds, over the number of samples."""
    figure, [[left, right]] = style.panels(1, 2, 3.9)
    for method, part in frame.groupby("method", sort=False):
        look = look_of(str(method))
        options: dict[str, Any] = {
            "color": look.color,
            "marker": look.marker,
            "linestyle": look.line,
            "label": method,
            "markersize": 4,
        }
        left.plot(part["n"], 1000 * part["seconds"], **options)
        right.plot(part["n"], part["ratio"], **options)
        right.fill_between(part["n"], part["ratio_low"], part["ratio_high"], color=look.color, alpha=0.12, linewidth=0)
    sort = frame.drop_duplicates("n")
    left.plot(
        sort["n"], 1000 * sort["reference_seconds"], color="#555555", linestyle="--", linewidth=2, label="full sort"
    )
    right.axhline(1, color="#555555", linestyle="--", linewidth=2)
    for ax, title, y in (
        (left, "Drawing an epoch", "Time (ms)"),
        (right, "Over a full sort of as many scores", "Ratio"),
    ):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_title(title)
        ax.set_xlabel("Samples in the data set")
        ax.set_ylabel(y)
    right.set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    right.minorticks_off()
    return style.finish(figure, [[left, right]], footer(frame))


def overhead(frame: pd.DataFrame) -> Figure:
    """Epoch over its share of a full epoch."""
    labels = [f"{row.method}, {row.kept:,} of {row.samples:,}" for row in frame.itertuples()]
    return dots(
        frame,
        labels,
        "A pruned epoch over its share of a full epoch",
        "Time of the epoch / (kept share × time of a full epoch)",
    )


def diagnosis(frame: pd.DataFrame) -> Figure:
    """A measured run, and the measuring, over a run."""
    labels = [f"{row.thing}: {row.method}, {100 * row.prune_ratio:g} % left out" for row in frame.itertuples()]
    return dots(
        frame,
        labels,
        "What a run pays for being measured, and what measuring it takes",
        "Ratio to the time of a run that is not measured",
    )


def engine(frame: pd.DataFrame) -> Figure:
    """Speed-up over the customary loop."""
    labels = [f"{row.thing}\nover {row.reference}, {row.precision}" for row in frame.itertuples()]
    return dots(frame, labels, "The customary loop over the engine, on one core", "Ratio of times")


def loader(frame: pd.DataFrame) -> Figure:
    """Pruner over RandomSampler."""
    labels = [f"{row.case}, {row.workers} workers" for row in frame.itertuples()]
    return dots(
        frame, labels, "A pruner in a DataLoader over RandomSampler", "Ratio of times, equal numbers of samples"
    )


def photos(frame: pd.DataFrame) -> Figure:
    """Images a second of the project's loader, and its time over that of others."""
    labels = [f"{row[2]} ({row[3]}), {row[4]}" for row in frame.itertuples()]
    return dots(
        frame, labels, f"Photographs ({frame['photographs'].iloc[0]}): this loader over others", "Ratio of times"
    )


def gpu(frame: pd.DataFrame) -> Figure:
    """Times over the engine's."""
    labels = [f"{row.thing} ({row.images_per_s:,.0f} images/s)" for row in frame.itertuples()]
    return dots(frame, labels, f"ResNet-18 on {frame['device'].iloc[0]}", "Time over the engine's")


def workflow(frame: pd.DataFrame) -> Figure:
    """Seconds of a command over the number of runs, and of bare Snakemake."""
    figure, [[left, right]] = style.panels(1, 2, 3.4)
    looks = dict(zip(dict.fromkeys(frame["command"]), ("orderdp", "infobatch", "ucb"), strict=True))
    for command, part in frame.groupby("command", sort=False):
        look = style.look(looks[command])
        left.plot(part["runs"], part["seconds"], color=look.color, marker=look.marker, label=command)
        left.plot(part["runs"], part["reference_seconds"], color=look.color, linestyle=":", label="_")
        right.plot(part["runs"], part["ratio"], color=look.color, marker=look.marker, label=command)
    left.plot([], [], color="#555555", linestyle=":", label="bare Snakemake")
    right.axhline(1, color="#555555", linestyle="--", linewidth=1)
    for ax, title, y in (
        (left, "Whole command", "Time (s)"),
        (right, "Over bare Snakemake, a job for each run", "Ratio"),
    ):
        ax.set_xscale("log")
        ax.set_title(title)
        ax.set_xlabel("Runs")
        ax.set_ylabel(y)
        ax.set_ylim(bottom=0)
    return style.finish(figure, [[left, right]], footer(frame))


def load(frame: pd.DataFrame) -> Figure:
    """Seconds and memory of each command on many finished runs."""
    figure, [[left, right]] = style.panels(1, 2, 3.9)
    usual = frame[~frame["command"].str.contains("first")][::-1]
    for ax, column, title, x in (
        (left, "took_s", f"On {frame['runs'].iloc[0]:,} finished runs", "Time (s)"),
        (right, "memory_mb", "Memory at most", "MB"),
    ):
        ax.barh(usual["command"], usual[column], color=style.look("orderdp").color)
        ax.set_title(title)
        ax.set_xlabel(x)
    right.set_yticklabels([])
    return style.finish(figure, [[left, right]], footer(frame))


def scheduler(frame: pd.DataFrame) -> Figure:
    """Snakemake's main process with and without our start hook."""
    labels = [f"{row.jobs} jobs of {row.job_s:g} s" for row in frame.itertuples()]
    return dots(
        frame,
        labels,
        "Snakemake's main process, without its default rate limit over with it",
        "Ratio of processor times",
    )


def tuning(frame: pd.DataFrame) -> Figure:
    """Each choice divided by what it replaces."""
    labels = [f"{row.choice}\nover {row.instead_of}" for row in frame.itertuples()]
    return dots(frame, labels, "Choices of the engine", "Ratio of times, below 1 is faster")


def dots(frame: pd.DataFrame, labels: list[str], title: str, x: str) -> Figure:
    """Medians with quartiles, and the goal of each line where it has one."""
    figure, [[ax]] = style.panels(1, 1, 1.5 + 0.42 * len(frame))
    places = range(len(frame) - 1, -1, -1)
    error = [frame["ratio"] - frame["ratio_low"], frame["ratio_high"] - frame["ratio"]]
    ax.errorbar(
        frame["ratio"],
        places,
        xerr=error,
        fmt="o",
        color=style.look("orderdp").color,
        capsize=3,
        label="median and quartiles",
    )
    goals = frame["goal"].notna().tolist()
    if any(goals):
        heights = [place for place, has in zip(places, goals, strict=True) if has]
        ax.plot(frame.loc[goals, "goal"], heights, "|", color="#D55E00", markersize=16, markeredgewidth=2, label="goal")
    ax.axvline(1, color="#555555", linestyle="--", linewidth=1)
    for place, ratio in zip(places, frame["ratio"], strict=True):
        ax.annotate(
            f"{ratio:.3g}", (ratio, place), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=7.5
        )
    ax.set_yticks(list(places), labels)
    ax.set_ylim(-0.6, len(frame) - 0.3)
    ax.set_title(title)
    ax.set_xlabel(x)
    return style.finish(figure, [[ax]], footer(frame))


def accuracy(frame: pd.DataFrame) -> Figure:
    """Time to each accuracy over that of the full data set; a dash where it was not reached."""
    figure, [[ax]] = style.panels(1, 1, 3.6)
    methods = list(dict.fromkeys(frame["method"]))
    for place, method in enumerate(methods):
        part = frame[frame["method"] == method].reset_index()
        look = style.look(method)
        positions = part.index + 0.8 * (place + 0.5) / len(methods) - 0.4
        final = part["final_accuracy"].iloc[0]
        ax.bar(
            positions,
            part["ratio"].fillna(0),
            0.72 / len(methods),
            color=look.color,
            label=f"{method} (ends at {final:.1f} %)",
        )
        for x, ratio in zip(positions, part["ratio"], strict=True):
            text = f"{ratio:.2f}" if ratio == ratio else "–"
            ax.annotate(
                text,
                (x, 0 if ratio != ratio else ratio),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    targets = list(dict.fromkeys(frame["accuracy"]))
    ax.set_xticks(range(len(targets)), [f"{target:g} %" for target in targets])
    ax.set_xlabel("Test accuracy (–: not reached)")
    ax.set_ylabel("Time over full data's")
    first = frame.iloc[0]
    seeds = f"{first['repeats']} seed{'' if first['repeats'] == 1 else 's'}"
    ax.set_title(
        f"Time to a fixed accuracy: {first['scale']}, {first['samples']:,} samples, {first['epochs']} epochs, {seeds}"
    )
    return style.finish(figure, [[ax]], footer(frame))


def memory(frame: pd.DataFrame) -> Figure:
    """Bytes per sample of every method at each moment."""
    figure, [[ax]] = style.panels(1, 1, 5.2)
    methods = list(dict.fromkeys(frame["method"]))
    moments = list(dict.fromkeys(frame["moment"]))
    for place, (moment, color) in enumerate(zip(moments, style.shades(len(moments)), strict=True)):
        part = frame[frame["moment"] == moment]
        positions = [row + 0.26 * (1 - place) for row in range(len(methods) - 1, -1, -1)]
        ax.barh(positions, part["bytes_per_sample"], 0.24, color=color, label=moment)
        for y, value in zip(positions, part["bytes_per_sample"], strict=True):
            ax.annotate(f"{value:.3g}", (value, y), xytext=(3, -1), textcoords="offset points", va="center", fontsize=6)
    ax.set_yticks(range(len(methods) - 1, -1, -1), methods)
    ax.set_xlabel("Bytes per sample of the data set")
    ax.set_title("Memory of a pruner")
    return style.finish(figure, [[ax]], footer(frame))


FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "selection": selection,
    "overhead": overhead,
    "diagnosis": diagnosis,
    "engine": engine,
    "loader": loader,
    "accuracy": accuracy,
    "memory": memory,
    "tuning": tuning,
    "workflow": workflow,
    "scheduler": scheduler,
    "load": load,
    "photos": photos,
    "gpu": gpu,
}
