"""What a training run keeps and where it goes: functions of tensors, on the device they lie on, that change nothing.
Torch only."""

from __future__ import annotations

from orderdp.diagnostics.gradients import SubsetGradients, subset_gradients
from orderdp.diagnostics.selection import coverage, forgotten, jaccard, kept_by_label, kept_by_loss, label_shift

__all__ = [
    "SubsetGradients",
    "coverage",
    "forgotten",
    "jaccard",
    "kept_by_label",
    "kept_by_loss",
    "label_shift",
    "subset_gradients",
]
