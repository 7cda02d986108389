"""Wrong labels on purpose: for experiments with label noise. Ours: the paper names noisy labels as future work (section
F)."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from orderdp.datasets.folders import FolderData
from orderdp.datasets.prepared import ImageData

Data = TypeVar("Data", bound=ImageData | FolderData)


def with_label_noise(data: Data, rate: float) -> tuple[Data, Tensor]:
    """The data set with a share of its training labels wrong; its test labels stay right.

    Exactly round(rate n) training samples, drawn uniformly, get a label drawn uniformly from the other classes. The
    draw depends on the data set's name alone: it is the same in every run, whatever its seed and method, and what is
    wrong at one rate is wrong, by the same label, at every higher one.

    Args:
        data: with right labels.
        rate: share of wrong training labels, in [0, 1).

    Returns:
        (the data set, bool (n_train,) whose labels are wrong).

    Raises:
        ValueError: a rate outside of [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"The 'label_noise' of the data set {data.name!r} must be in [0, 1). Got {rate!r}.")
    labels, wrong = noisy_labels(data.train_labels.numpy(), data.classes, rate, data.name)
    if isinstance(data, FolderData):
        train = dataclasses.replace(data.train, labels=labels)
        return dataclasses.replace(data, train=train), torch.from_numpy(wrong)
    return dataclasses.replace(data, train_labels=torch.from_numpy(labels)), torch.from_numpy(wrong)


def noisy_labels(labels: np.ndarray, classes: int, rate: float, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The labels with round(rate n) of them wrong, and which: int64 (n,) and bool (n,). See
    :func:`with_label_noise`."""
    # Raw bits and a stable sort, as for the digits' split: NumPy promises the bits of PCG64 for ever, but not what it
    # makes of them.
    seed = int.from_bytes(hashlib.sha256(f"label noise of {name}".encode()).digest()[:16], "big")
    keys, shifts = np.random.PCG64(seed).random_raw(2 * len(labels)).reshape(2, -1)
    wrong = np.zeros(len(labels), dtype=np.bool_)
    wrong[np.argsort(keys, kind="stable")[: round(rate * len(labels))]] = True
    other = (labels + 1 + (shifts % np.uint64(classes - 1)).astype(np.int64)) % classes
    return np.where(wrong, other, labels), wrong
