"""One look for all figures: a colour, marker and line style per method, sizes, footer, and how they are saved."""

from __future__ import annotations

import io
import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orderdp.files import write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 8.0
"""Inches: 1200 pixels at DPI."""
DPI = 150


class Look(NamedTuple):
    """How one method is drawn in every figure."""

    color: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]


# Okabe and Ito's colours, which readers with any of the usual colour deficiencies tell apart; markers and dashes differ
# as well, for prints without colour. Their yellow is left out: too pale for lines on white.
LOOKS = {
    "full": Look("#000000", "o", "-"),
    "full_same_steps": Look("#000000", "x", (0, (1, 1))),
    "random": Look("#E69F00", "v", (0, (5, 1))),
    "random_rescaled": Look("#E69F00", "^", (0, (1, 1))),
    "epsilon_greedy": Look("#CC79A7", "P", (0, (3, 1, 1, 1))),
    "ucb": Look("#009E73", "D", (0, (3, 1, 1, 1, 1, 1))),
    "infobatch": Look("#D55E00", "s", (0, (4, 1, 1, 1))),
    "infobatch_nominal": Look("#D55E00", "p", (0, (1, 1))),
    "orderdp": Look("#0072B2", "*", "-"),
    # Variants of OrderDP share its hue: pale where they keep other ranks, dark where they rank otherwise or at another
    # pace.
    "orderdp_bottom": Look("#56B4E9", "v", ":"),
    "orderdp_mixed": Look("#56B4E9", "D", "--"),
    "orderdp_trimmed": Look("#56B4E9", "^", "-"),
    "orderdp_ema": Look("#0072B2", "o", "--"),
    "orderdp_gradient_norm": Look("#0072B2", "s", (0, (3, 1, 1, 1))),
    "orderdp_margin": Look("#0072B2", "P", ":"),
    "orderdp_rising": Look("#0072B2", ">", (0, (5, 1))),
}
FAMILIES = {
    "static_random": "random", "static_random_plain": "random", "contextual_diversity": "geometry",
    "herding": "geometry",
    "k_center": "geometry", "prototypes_hard": "geometry", "prototypes_easy": "geometry",
    "facility_location": "geometry",
    "least_confidence": "uncertainty", "entropy": "uncertainty", "margin": "uncertainty", "deepfool": "uncertainty",
    "forgetting": "training dynamics", "grand_4": "training dynamics", "el2n_2": "training dynamics",
    "el2n_20": "training dynamics",
    "craig": "gradient matching", "glister": "gradient matching", "gradmatch": "gradient matching",
    "influence": "influence",
    "dataset_pruning": "influence",
}  # fmt: skip
"""Static method -> its family, families together. Twenty methods need more than colours: each family has a hue, dark to
light, and in it every method a marker and dashes."""
SHADES = {
    "random": ("#555555", "#999999"),
    "geometry": ("#0B3D2E", "#117733", "#3C9D5B", "#44AA99", "#7BC8A4", "#A3B18A"),
    "uncertainty": ("#5B1A45", "#882255", "#AA4499", "#D48BBF"),
    "training dynamics": ("#5C4400", "#8C6D00", "#B8860B", "#DDCC77"),
    "gradient matching": ("#221166", "#5544AA", "#8888DD"),
    "influence": ("#991100", "#EE7755"),
}
MARKERS, DASHES = "osD^vP", ("-", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1)), (0, (7, 2)))
OTHERS = (Look("#56B4E9", "h", "--"), Look("#56B4E9", "<", ":"), Look("#999999", ">", "--"), Look("#999999", "d", ":"))

RC: dict[Any, Any] = {
    "figure.dpi": DPI,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "orderdp",
}


def look(method: str) -> Look:
    """The method's look; static methods take theirs from their family, others without one of their own share a few by
    the sum of their letters, always the same."""
    if (family := FAMILIES.get(method)) is not None:
        place = [other for other in FAMILIES if FAMILIES[other] == family].index(method)
        return Look(SHADES[family][place], MARKERS[place], DASHES[place])
    return LOOKS.get(method) or OTHERS[sum(map(ord, method)) % len(OTHERS)]


def shades(count: int) -> list[str]:
    """Colours in order from dark to light, for the steps of one quantity: blue to green, which differ in lightness
    alone."""
    import matplotlib

    palette = matplotlib.colormaps["viridis"]
    return [matplotlib.colors.to_hex(palette(0.85 * step / max(count - 1, 1))) for step in range(count)]


def panels(rows: int, columns: int, height: float) -> tuple[Figure, list[list[Axes]]]:
    """An empty figure of the common width.

    Args:
        rows: rows of panels.
        columns: panels in a row.
        height: of the whole figure, in inches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(RC)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def legend_below(ax: Axes) -> None:
    """A panel's own legend, where panels show different things."""
    columns = 1 if len(ax.get_legend_handles_labels()[1]) < 5 else 2
    ax.legend(loc="upper left", bbox_to_anchor=(-0.12, -0.2), fontsize=7.5, handlelength=2.2, ncols=columns)


def finish(figure: Figure, axes: list[list[Axes]], footer: str, legend: bool = True) -> Figure:
    """The footer, and below the panels a legend of everything in them, each once, unless the panels have their own."""
    entries: dict[str, Any] = {}
    for ax in (ax for row in axes for ax in row if legend):
        entries |= {
            label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True) if label not in entries
        }
    # The footer has the lowest strip to itself: the layout ends above it, and so does the legend that hangs outside of
    # the layout.
    lines = textwrap.wrap(footer, 140)
    inches = 0.17 + 0.12 * (len(lines) - 1)
    strip = inches / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, strip, 1, 1 - strip))  # type: ignore[union-attr, call-arg]
    if entries:
        columns, pad = _legend_columns(list(entries)), inches * 72 / RC["legend.fontsize"]
        below: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "borderaxespad": pad}
        figure.legend(list(entries.values()), list(entries), **below)
    height = 0.05 / figure.get_figheight()
    figure.text(0.993, height, "\n".join(lines), ha="right", va="bottom", fontsize=6.5, color="#666666")
    return figure


def _legend_columns(labels: list[str]) -> int:
    """As many as fit the width, in rows of equal length."""
    fit = max(1, int(105 // (max(map(len, labels)) + 9)))
    rows = math.ceil(len(labels) / fit)
    return math.ceil(len(labels) / rows)


def nothing(ax: Axes, text: str = "no finished run") -> None:
    """Says in an empty panel why it is empty."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color="#666666")
    ax.set_xticks([])
    ax.set_yticks([])


def remark(ax: Axes, x: float, y: float, text: str, color: str = "#666666", **alignment: Any) -> None:
    """A line of text inside a panel, readable above points and lines; x and y in [0, 1] of the panel."""
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.0}
    ax.text(
        x, y, text, transform=ax.transAxes, color=color, fontsize=8, fontweight="bold", bbox=box, zorder=5, **alignment
    )


SCALE_FREE = "computed here, the same at every scale"
"""Footer of what no training of a scale takes part in."""


def footer(frame: pd.DataFrame, scale: str) -> str:
    """What the numbers of a figure were measured on: `digits-resnet8 (for cifar10-resnet18), 3 seeds; scale quick:
    scaled down`."""
    parts = []
    for workload, rows in frame.groupby("workload", sort=False):
        paper = str(rows.iloc[0]["stands_for"]).split(",")
        parts.append(str(workload) if str(workload) in paper else f"{workload} (for {', '.join(paper)})")
    seeds = frame["seed"].nunique()
    scaled = "; scaled down" if any("(for " in part for part in parts) else ""
    return f"{'; '.join(parts)} · {seeds} seed{'' if seeds == 1 else 's'} · scale {scale}{scaled}"


def save(figure: Figure, stem: Path) -> None:
    """Writes `<stem>.png` and `<stem>.pdf`, without dates or versions in them: the same figure gives the same bytes."""
    _settle(figure)
    png, pdf = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    write(stem.with_suffix(".png"), _small(png))
    write(stem.with_suffix(".pdf"), pdf.getvalue())


def _settle(figure: Figure) -> None:
    """Lays the figure out for good, to a millionth of its size: the last digits that the layout finds differ from
    process to process."""
    if (engine := figure.get_layout_engine()) is None:
        return
    engine.execute(figure)
    figure.set_layout_engine("none")
    for ax in figure.axes:
        left, bottom, width, height = (round(side, 6) for side in ax.get_position().bounds)
        ax.set_position((left, bottom, width, height))


def _small(png: io.BytesIO) -> bytes:
    """The image with a palette of its 256 main colours: a third of the size, and no difference to the eye in line
    drawings."""
    from PIL import Image

    content = io.BytesIO()
    Image.open(png).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        content, format="png", optimize=True, dpi=(DPI, DPI)
    )
    return content.getvalue()


def time_unit(largest_s: float) -> tuple[float, str]:
    """Seconds per unit, and the unit, in which durations up to `largest_s` are easy to read."""
    return (3600.0, "h") if largest_s > 3 * 3600 else (60.0, "min") if largest_s > 300 else (1.0, "s")


def label(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_title(title)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
