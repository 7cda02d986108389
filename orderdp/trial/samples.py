"""What a run's files say of single samples: a table of their histories, the hardest and easiest, pictures of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orderdp.jobs.finished import read_file
from orderdp.reporting import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HISTORY = ("visits", "mean_loss", "last_loss", "wrong", "forgotten", "last_answer")
"""Columns of a history that come from samples.npz, see `orderdp.training.samples`."""
SIDE = 64
"""Of a picture on a page, in pixels, at least."""


def history(runs: Path, name: str) -> pd.DataFrame:
    """What a run noted of every sample.

    Args:
        runs: folder of results.
        name: of a finished training run.

    Returns:
        A row per training sample, in the order of the data set: `sample` (its number), `visits` (times kept),
        `mean_loss` and `last_loss` of the training step (NaN without a visit), `wrong` (how often the answer was not
        the label), `forgotten` (how often it was wrong after right), `last_answer` (class, -1 without a visit).

    Raises:
        FileNotFoundError: the run is not finished, or samples.npz was removed.
        DamagedRun: the file is not the one that the run wrote.
    """
    content = read_file(runs, name, "samples.npz")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        columns = {column: arrays[column] for column in HISTORY}
    frame = pd.DataFrame(columns)
    frame.insert(0, "sample", np.arange(len(frame)))
    return frame


def most_visited(frame: pd.DataFrame, count: int) -> NDArray[np.int64]:
    """Numbers, in order, of the samples with the most visits; of equal ones those with the higher mean loss, and then
    the first."""
    order = np.lexsort((frame["sample"], -frame["mean_loss"].fillna(np.inf), -frame["visits"]))
    return np.sort(order[:count]).astype(np.int64)


def ends(frame: pd.DataFrame, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the samples that were kept most, the most first, and of those kept least, the least first; of equally
    many visits, a higher mean loss counts as kept more."""
    order = np.lexsort((frame["mean_loss"].fillna(0.0), frame["visits"]))
    return order[::-1][:count], order[:count]


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Histories of runs with several seeds as one: visits, wrong answers and forgetting added up, losses averaged over
    visits, and `ended`: the last answers of the runs that visited the sample. `last_answer` is the most frequent of
    them."""
    visits = sum(frame["visits"] for frame in frames)
    total = sum((frame["mean_loss"] * frame["visits"]).fillna(0.0) for frame in frames)
    answers = np.stack([frame["last_answer"] for frame in frames])
    frame = frames[0][["sample"]].copy()
    frame["visits"] = visits
    frame["mean_loss"] = np.where(visits > 0, total / np.maximum(visits, 1), np.nan)
    for column in ("wrong", "forgotten"):
        frame[column] = sum(each[column] for each in frames)
    frame["last_answer"] = _most_frequent(answers)
    frame["ended"] = [column[column >= 0].tolist() for column in answers.T]
    return frame


def _most_frequent(answers: NDArray[Any]) -> NDArray[np.int64]:
    """Per column the most frequent number that is not negative; -1 where there is none."""
    found = np.full(answers.shape[1], -1, np.int64)
    best = np.zeros(answers.shape[1], np.int64)
    for label in np.unique(answers[answers >= 0]):
        count = (answers == label).sum(0)
        found[count > best] = label
        best = np.maximum(best, count)
    return found


def suspects(frame: pd.DataFrame, labels: NDArray[np.int64]) -> pd.DataFrame:
    """Samples whose label no run agreed with at its end, those with the highest mean loss first.

    A high loss in all of the training points to a wrong label (as in the area under the margin of Pleiss et al. 2020),
    or to a sample that is hard and right. Only a look tells them apart.

    Args:
        frame: from :func:`joined`, of runs on the full data.
        labels: int64 (n,).
    """
    never = np.array([bool(ended) and label not in ended for ended, label in zip(frame["ended"], labels, strict=True)])
    return frame[never].sort_values("mean_loss", ascending=False, kind="stable")


def picture(image: NDArray[Any]) -> str:
    """An image (C, H, W) uint8 as the address of a PNG that stands in a page, enlarged to SIDE pixels at least."""
    from PIL import Image

    pixels = image.transpose(1, 2, 0)
    shown = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    factor = max(1, -(-SIDE // min(shown.size)))
    content = io.BytesIO()
    shown.resize((shown.width * factor, shown.height * factor), Image.Resampling.NEAREST).save(content, "PNG")
    return address(content.getvalue())


def kept_most_and_least(
    frame: pd.DataFrame, images: NDArray[Any], labels: NDArray[Any], classes: Sequence[str], epochs: int
) -> bytes:
    """A picture of the samples that were kept most often, and below them of those kept least often, with their classes.

    Args:
        frame: with `visits` and `mean_loss`, a row for each sample of the data set.
        images: uint8 (n, C, H, W).
        labels: int (n,).
        classes: their names; numbers where there are none.
        epochs: in which each sample could be kept.

    Returns:
        The bytes of a PNG.
    """
    columns, rows = 12, 3
    kept_most, kept_least = ends(frame, min(rows * columns, len(frame) // 2))
    figure, [[above], [below]] = style.panels(2, 1, 5.8)
    for ax, title, part in ((above, "Kept most often", kept_most), (below, "Kept least often", kept_least)):
        visits = frame["visits"].iloc[part]
        most, least = visits.max(), visits.min()
        times = f"{least}" if most == least else f"{least} to {most}"
        ax.set_title(f"{title}: in {times} of {epochs} epochs")
        ax.set_axis_off()
        for place, number in enumerate(part):
            row, column = divmod(place, columns)
            image = images[number].transpose(1, 2, 0)
            shown = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
            ax.imshow(shown, extent=(column, column + 0.94, -1.22 * row - 0.94, -1.22 * row), interpolation="nearest")
            name = class_name(classes, int(labels[number]))
            ax.text(column + 0.47, -1.22 * row - 0.97, name, ha="center", va="top", fontsize=6.5)
        ax.set_xlim(0, columns)
        ax.set_ylim(-1.22 * rows, 0)
        ax.set_aspect("equal")
    return png(figure)


def png(figure: Figure) -> bytes:
    """A figure as a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=style.DPI)
    return content.getvalue()


def address(content: bytes) -> str:
    """A PNG as an address that a page can hold."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def class_name(classes: Sequence[str], label: int) -> str:
    """Name of a class; its number where there are no names."""
    return classes[label] if 0 <= label < len(classes) else str(label)


def tiles(
    chosen: Sequence[int],
    frame: pd.DataFrame,
    data: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    classes: Sequence[str],
) -> list[dict[str, str]]:
    """What a page shows of samples: the picture (none of rows of a table), the label, what the network says, the name.

    Args:
        chosen: their numbers.
        frame: with `visits`, `mean_loss` and `last_answer`, a row for each sample of the data set.
        data: its arrays.
        names: of its samples; numbers where there are none.
        classes: their names; numbers where there are none.
    """
    shown = []
    for index in chosen:
        row, image = frame.iloc[index], data["train_images"][index]
        answer = int(row["last_answer"])
        shown.append(
            {
                "picture": picture(image) if image.dtype == np.uint8 else "",
                "label": class_name(classes, int(data["train_labels"][index])),
                "answer": class_name(classes, answer) if answer >= 0 else "never asked",
                "name": names[index] if index < len(names) else f"number {index}",
                "visits": f"{int(row['visits'])}",
                "loss": f"{row['mean_loss']:.2f}" if row["mean_loss"] == row["mean_loss"] else "–",
            }
        )
    return shown
