"""Every setting of the table in the docs is in force, or refused with the way out."""

from __future__ import annotations

import pytest

from tests.integrations.settings import SETTINGS


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: f"{each.library}-{each.check.__name__}")
def test_a_setting_is_in_force_or_refused(setting, tmp_path):
    assert setting.check.__name__.startswith(("refused_", "in_force_")) and setting.note
    setting.check(tmp_path)
