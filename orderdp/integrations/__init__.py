"""Pruners in other libraries' trainers. One module per library, each behind an optional extra; none is imported before
its name is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orderdp.integrations.accelerate import prepare_pruner
    from orderdp.integrations.lightning import PrunerCallback
    from orderdp.integrations.transformers import PrunedTrainer, PrunerMixin
    from orderdp.integrations.trl import PrunedSFTTrainer

__all__ = ["PrunedSFTTrainer", "PrunedTrainer", "PrunerCallback", "PrunerMixin", "prepare_pruner"]

MODULES = {
    "PrunedSFTTrainer": "trl",
    "PrunedTrainer": "transformers",
    "PrunerCallback": "lightning",
    "PrunerMixin": "transformers",
    "prepare_pruner": "accelerate",
}


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
