"""A part of the faults of `make faults`, of each family."""

from __future__ import annotations

import os

import pytest

from tests.faults import together
from tests.faults.__main__ import ENVIRONMENT, FAMILIES
from tests.faults.count import Count, inject
from tests.faults.undisturbed import Undisturbed, make

PART = {"files": 12, "hostile": 14, "disks": 8, "clocks": 4, "together": 3, "servers": 5, "kills": 10}
SLOW = ("snakemake", "Snakemake", "DVC", "rank", "as nobody")
"""Left to `make faults`; and only root can be nobody."""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Undisturbed:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield make(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def undisturbed(made: Undisturbed) -> Undisturbed:
    """As it was made: what another family made again has other times."""
    made.restore()
    return made


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_faults_lose_nothing(undisturbed, family):
    if family == "disks" and os.getuid() != 0:
        pytest.skip("only root can make small disks")
    count = Count()
    faults = [fault for fault in FAMILIES[family](undisturbed) if not any(word in fault.name for word in SLOW)]
    inject(faults, count, undisturbed.restore, PART[family])
    assert count.injected == PART[family]
    assert not count.lost and not count.tracebacks, "\n".join(count.lost + count.tracebacks)[:8000]


@pytest.mark.slow
def test_sixteen_trainers_and_the_tracker_share_a_database(undisturbed):
    count = Count()
    together.of_trainers_that_log(undisturbed, count)
    assert not count.lost and not count.tracebacks, "\n".join(count.lost + count.tracebacks)[:8000]
