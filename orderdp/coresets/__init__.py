"""Static data pruning: a proxy's evidence in, a coreset out. One function per method, one registry. Torch and NumPy
only; usable alone."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from orderdp.coresets.base import Evidence, Method, Selection
from orderdp.coresets.deepfool import deepfool
from orderdp.coresets.dynamics import el2n, forgetting, grand
from orderdp.coresets.geometry import contextual_diversity, herding, k_center
from orderdp.coresets.glister import glister
from orderdp.coresets.gradmatch import gradmatch
from orderdp.coresets.influence import dataset_pruning, influence
from orderdp.coresets.prototypes import prototypes
from orderdp.coresets.random import random
from orderdp.coresets.selection import select
from orderdp.coresets.submodular import craig, facility_location
from orderdp.coresets.uncertainty import entropy, least_confidence, margin

__all__ = ["CORESETS", "Evidence", "Method", "Selection", "select"]

CORESETS: dict[str, Callable[..., Tensor]] = {
    "random": random,
    "contextual_diversity": contextual_diversity,
    "herding": herding,
    "k_center": k_center,
    "prototypes": prototypes,
    "least_confidence": least_confidence,
    "entropy": entropy,
    "margin": margin,
    "forgetting": forgetting,
    "grand": grand,
    "el2n": el2n,
    "deepfool": deepfool,
    "facility_location": facility_location,
    "craig": craig,
    "glister": glister,
    "gradmatch": gradmatch,
    "influence": influence,
    "dataset_pruning": dataset_pruning,
}
