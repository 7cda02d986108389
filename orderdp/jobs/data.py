"""The prepared data set that a job reads: one of the project's, or one that `params.yaml` describes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orderdp.spec import DatasetSpec

if TYPE_CHECKING:
    from orderdp.datasets import FolderData, ImageData

READ_OWN = "orderdp.datasets.own.stored.read_own"
"""Where a run on one's own data enters the code that reads them."""


def prepared(dataset: DatasetSpec, folder: Path) -> ImageData | FolderData:
    """The data set, checked.

    Args:
        dataset: of a job.
        folder: of prepared data sets.

    Raises:
        DatasetError: it is not prepared, damaged, or another one.
    """
    from orderdp.datasets import load
    from orderdp.datasets.own import read_own

    if dataset.own is not None:
        return read_own(dataset.name, folder / dataset.name, dataset.own.digest)
    return load(dataset.name, folder / dataset.name)


def prepared_images(dataset: DatasetSpec, folder: Path) -> ImageData:
    """:func:`prepared`, for jobs that need all images in memory.

    Raises:
        ValueError: also where it is a folder of photographs.
    """
    from orderdp.datasets import FolderData, load_images

    if dataset.own is not None:
        data = prepared(dataset, folder)
        if isinstance(data, FolderData):
            raise ValueError(f"The images of {dataset.name!r} stay in their files; this needs them in memory")
        return data
    return load_images(dataset.name, folder / dataset.name)


def entry_points(of_kind: tuple[str, ...], dataset: DatasetSpec) -> tuple[str, ...]:
    """Where a job enters the code that decides its results.

    Args:
        of_kind: those of its kind, for the project's data sets.
        dataset: of the job.
    """
    if dataset.own is None:
        return of_kind
    return (*(entry for entry in of_kind if not entry.startswith("orderdp.datasets.")), READ_OWN)


def registered_data(dataset: DatasetSpec) -> tuple[tuple[str, str, str], ...]:
    """What a job takes from the registry of data sets: nothing, if its data set is described in `params.yaml`."""
    return () if dataset.own is not None else (("datasets", "DATASETS", dataset.name),)
