"""Tables of one's own: rows of numbers and short texts with a column of labels, brought to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orderdp.datasets.base import DatasetError
from orderdp.datasets.own.words import named

LABEL = "label"
MOST_TEXTS = 30
"""A column of at most so many different texts becomes as many columns of 0 and 1; one of more is left aside."""


@dataclass
class Table:
    """What was found at a path: data frames of each part, not converted yet."""

    kind: str
    """In words."""
    path: Path
    train: Any
    test: Any | None
    """None: a share of `train` is to be held out."""
    notes: list[str] = field(default_factory=list)

    def labels(self, column: str, skip_broken: bool) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
        """Takes the labels out of both parts: the classes by name, and the number of each row's class.

        Args:
            column: their name.
            skip_broken: leave out rows without a label.

        Raises:
            DatasetError: there is no such column, or it holds no classes.
        """
        for frame in (self.train, self.test):
            if frame is not None and column not in frame.columns:
                some = ", ".join(map(str, frame.columns[:20]))
                raise DatasetError(f"{self.path} has no column '{column}'. It has: {some}. Name it: --label COLUMN.")
        parts: list[Any] = []
        for name in ("train", "test"):
            frame = getattr(self, name)
            if frame is None:
                parts.append(None)
                continue
            missing = frame[column].isna()
            if missing.any() and not skip_broken:
                raise DatasetError(
                    f"{self.path}: {int(missing.sum())} rows have no '{column}'. Fill them in, or leave them out with"
                    " --skip-broken."
                )
            if missing.any():
                self.notes.append(f"{int(missing.sum())} rows have no '{column}', and are left out")
            frame = frame[~missing]
            parts.append(frame[column])
            setattr(self, name, frame.drop(columns=[column]))
        train, test = parts
        if train.dtype.kind == "f":
            if not (train == train.round()).all():
                raise DatasetError(
                    f"{self.path}: '{column}' holds fractions, such as {train[train != train.round()].iloc[0]:g}. A"
                    " classifier needs classes: bring them to a few values, or name another column by --label."
                )
            parts = [None if part is None else part.astype(np.int64) for part in parts]
            train, test = parts
        classes = sorted(train.unique().tolist(), key=lambda value: (str(type(value)), value))
        numbers = {value: number for number, value in enumerate(classes)}
        if test is not None and (others := [value for value in test.unique().tolist() if value not in numbers]):
            raise DatasetError(f"{self.path}: {others[0]!r} is a class that the training part does not have.")
        coded = [np.array([] if part is None else part.map(numbers), np.int64) for part in (train, test)]
        return tuple(map(str, classes)), coded[0], coded[1]


def numbers(path: Path, train: Any, test: Any) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
    """The columns of two data frames as numbers.

    Numbers stay, and missing ones become the median of the training part. A text column of few values becomes a column
    of 0 and 1 for each, as the training part has them. What else there is, and what is the same in every row, is left
    aside.

    Returns:
        float32 (rows, features) of each part, and what there is to say.

    Raises:
        DatasetError: nothing is left, or the test part lacks a column.
    """
    from pandas.api import types

    notes, columns = [], []
    many, same, other = f"texts of more than {MOST_TEXTS} kinds", "the same in every row", "of another kind"
    aside: dict[str, list[str]] = {many: [], same: [], other: []}
    for name in train.columns:
        if name not in test.columns:
            raise DatasetError(f"{path}: the test part has no column '{name}'.")
        values, others = train[name], test[name]
        if types.is_numeric_dtype(values) or types.is_bool_dtype(values):
            pair = [_filled(part.astype("float64").to_numpy(na_value=np.nan)) for part in (values, others)]
            missing = sum(int(np.isnan(part).sum()) for part in pair)
            known = pair[0][~np.isnan(pair[0])]
            if len(np.unique(known)) < 2:
                aside[same].append(name)
                continue
            if missing:
                notes.append(f"{missing} numbers are missing in '{name}', and are set to its median")
            columns.append([np.where(np.isnan(part), np.median(known), part) for part in pair])
        elif types.is_string_dtype(values) or isinstance(values.dtype, _categories()):
            kinds = sorted(map(str, values.dropna().unique()))
            if len(kinds) < 2:
                aside[same].append(name)
            elif len(kinds) > MOST_TEXTS:
                aside[many].append(name)
            else:
                columns += [[(part.astype(str) == kind).to_numpy() for part in (values, others)] for kind in kinds]
                notes.append(f"'{name}' is text of {len(kinds)} kinds: a feature for each")
        else:
            aside[other].append(name)
    for why, names in aside.items():
        if names:
            notes.append(f"columns left aside, {why}: {named([*map(str, names)])}")
    if not columns:
        raise DatasetError(f"{path} has no column of numbers or short texts to learn from. {'; '.join(notes)}.")
    return _stacked(columns, 0), _stacked(columns, 1), notes


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What float32 cannot hold counts as missing."""
    return np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan)


def _stacked(columns: Sequence[Sequence[NDArray[Any]]], part: int) -> NDArray[np.float32]:
    return np.stack([column[part] for column in columns], axis=1).astype(np.float32)


def _categories() -> type:
    import pandas as pd

    return pd.CategoricalDtype


def statistics(values: NDArray[np.float32]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each feature, to six digits."""
    wide = values.astype(np.float64)
    mean, std = wide.mean(0), wide.std(0)
    return tuple(float(f"{x:.6g}") for x in mean), tuple(float(f"{max(x, 1e-6):.6g}") for x in std)
