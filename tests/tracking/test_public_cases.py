"""Losses that people reported in public of MLflow, tried on the tracker. Each test names the report.

The tests of `test_tracking.py` and of `tests/faults` cover more of them: a database that several processes make at once
(daizutabi/hydraflow#245), one that is locked (mlflow PR#6490, snakemake-logger-plugin-snkmt#19), a job that SLURM says
was `CANCELLED by 0` (`tests/engines/test_slurm.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from tests.tracking.test_tracking import Files, empty_store, files, points

__all__ = ["empty_store", "files"]


def test_no_number_that_the_ui_cannot_show_is_stored(files: Files):
    """mlflow#16555 and #15535: a run with a NaN could not be opened. mlflow#22826: infinity was stored as another
    number. mlflow#26108: a NaN broke a later step."""
    name = files.names[0]
    rows = files.rows

    def diverged(epochs: int, shift: float = 0.0) -> str:
        text = rows(epochs, shift)
        return text.replace("1.5", "inf", 1).replace("1.5", "-inf", 1)

    files.rows = diverged  # type: ignore[method-assign]
    files.finish(name, "diverged")
    assert files.track().written == 1
    with contextlib.closing(sqlite3.connect(files.folder / "mlflow.db")) as store:
        query = "select count(*) from {} where is_nan or abs(value) > 1e300"
        assert [store.execute(query.format(table)).fetchone() for table in ("metrics", "latest_metrics")] == [(0,)] * 2
    (run,) = files.runs()
    assert run.data.tags["status"] == "diverged" and len(points(files, run)) == 4


@pytest.mark.parametrize("step", ["set_terminated", "log_batch", "log_inputs"])
def test_a_request_that_is_sent_twice_counts_once(files: Files, monkeypatch, step):
    """ecmwf/anemoi-core#190: the answer to a request was lost, it was sent again, and the database refused the rows
    that were there already."""
    from mlflow import MlflowClient

    from orderdp.tracking.tracker import _Cache

    name, real, lost = files.names[0], getattr(MlflowClient, step), []

    def answered_once(client, *args, **options):
        result = real(client, *args, **options)
        if not lost:
            lost.append(step)
            raise ConnectionError("the answer was lost")
        return result

    files.finish(name)
    monkeypatch.setattr(MlflowClient, step, answered_once)
    files.track()
    _Cache.store = None
    assert files.track().error is None and lost
    (run,) = files.runs()
    assert run.info.status == "FINISHED" and [step for step, *_ in points(files, run)] == [1, 2, 3, 4]
