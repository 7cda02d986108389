"""Settings of the theory's tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # other work on the machine is no fault of the code
settings.load_profile("unhurried")
