"""The weights as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from orderdp.theory import checks
from orderdp.theory.distances import sup_gap, total_variation, wasserstein
from orderdp.theory.weights import limit_weights, rank_weights

FORMATS = (".png", ".pdf", ".svg")
POINTS = 4000
"""Drawn at most: more than the pixels of a page's width."""
LIMIT_SHARE = 0.1
"""s/n up to which the limit at fixed s is drawn; with s in proportion to n the weights near a step instead."""
WEIGHTS, UNIFORM, BETA, INK = "#0072B2", "#555555", "#D55E00", "#333333"


def plot(n: int, s: int, q: int, path: Path | str) -> None:
    """Draws n gamma_j/q over j/n, beside uniform weights and, where s is small, the Beta limit of Proposition 2.

    Args:
        n: samples.
        s: candidates; 1..n.
        q: kept candidates; 1..s.
        path: of the file to write, .png, .pdf or .svg.

    Raises:
        ValueError: an argument outside its range, or another ending.
        RuntimeError: matplotlib is not installed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "split.png"
        >>> plot(200, 100, 30, path)
        >>> path.stat().st_size > 10_000
        True
    """
    n, s, q, _ = checks.sizes("plot", n, s, q)
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"The 'path' of plot must end in {', '.join(FORMATS)}. Got {str(path)!r}.")
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeError("The plot needs matplotlib: pip install matplotlib.") from error

    style: dict[Any, Any] = {
        "font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": UNIFORM,
        "xtick.color": INK, "ytick.color": INK, "pdf.fonttype": 42,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.subplots()
        density = n * rank_weights(n, s, q) / q
        if n <= POINTS:
            edges, heights = np.arange(n + 1) / n, density
        else:  # the mean over runs of ranks, so that no step falls between two points
            cuts = np.linspace(0, n, POINTS + 1).round().astype(np.intp)
            edges, heights = cuts / n, np.add.reduceat(density, cuts[:-1]) / np.diff(cuts)
        x, y = np.repeat(edges, 2)[1:-1], np.repeat(heights, 2)
        ax.axhline(1, color=UNIFORM, linewidth=1, linestyle=(0, (5, 3)), label="all the data, uniform")
        ax.fill_between(x, y, 1, color=WEIGHTS, alpha=0.12, linewidth=0)
        ax.plot(x, y, color=WEIGHTS, linewidth=2, label=f"OrderDP: s = {s:,}, q = {q:,}")
        if q < s <= LIMIT_SHARE * n:
            z = np.linspace(0, 1, 801)
            ax.plot(
                z,
                limit_weights(z, s, q) / q,
                color=BETA,
                linewidth=1.2,
                linestyle=(0, (2, 1.5)),
                label="its limit for many samples",
            )
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.12 * max(1.2, float(density.max())))
        ax.set_xlabel("rank of the score, j/n (0: hardest, 1: easiest)")
        ax.set_ylabel(r"weight relative to uniform, $n\gamma_j/q$")
        title = f"What OrderDP trains on: {q:,} of {n:,} samples"
        ax.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=20)
        measures = (
            rf"$C_s$ {sup_gap(n, s, q):.4g}  ·  1-Wasserstein {wasserstein(n, s, q):.3f}  ·  "
            f"total variation {total_variation(n, s, q):.3f}, half of the shaded area"
        )
        ax.annotate(
            measures, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", color=UNIFORM, fontsize=8.5
        )
        ax.grid(axis="y", color="#e4e4e4", linewidth=0.7)
        ax.set_axisbelow(True)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
