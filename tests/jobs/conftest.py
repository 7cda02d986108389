"""The data set of the trainings here."""

from __future__ import annotations

from tests.training.conftest import data  # noqa: F401
