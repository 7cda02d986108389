"""Static data pruning: a proxy's outputs in, a coreset out. One function per method, one registry. Torch and NumPy
only; usable alone."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from orderdp.compat import warn_renamed
from orderdp.coresets.base import Method, ProxyOutputs
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
from orderdp.pruning.subset import Subset

__all__ = ["CORESETS", "Method", "ProxyOutputs", "Subset", "select"]

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


def __getattr__(name: str) -> object:
    if name in ("Evidence", "Selection"):
        new = "ProxyOutputs" if name == "Evidence" else "Subset"
        warn_renamed(f"orderdp.coresets.{name}", f"orderdp.coresets.{new}")
        return globals()[new]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
