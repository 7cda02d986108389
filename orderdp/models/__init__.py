"""The networks: builders `(classes, channels, **options) -> Module`, each with `features(x) -> (B, d)` and a
linear `head`.

All of them take float images (B, channels, H, W) of any size, and run fastest in the channels_last memory
format.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import nn

from orderdp.models.resnet import resnet18, resnet50
from orderdp.models.resnet8 import resnet8

__all__ = ["MODELS", "build"]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "resnet8": resnet8,
    "resnet18": resnet18,
    "resnet50": resnet50,
}


def build(name: str, classes: int, channels: int, **options: object) -> nn.Module:
    """Build a network; its initial weights are drawn from torch's global generator.

    Args:
        name: key in `MODELS`.
        classes: outputs, at least 1.
        channels: planes of an image, at least 1.
        options: the builder's keyword arguments, for example `width`.

    Raises:
        ValueError: the name or an option is unknown (the message lists the known ones), or a number is no
            positive integer.
    """
    if name not in MODELS:
        raise ValueError(f"Unknown model {name!r}. Known: {', '.join(MODELS)}.")
    known = [p.name for p in inspect.signature(MODELS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise ValueError(f"Unknown option {option!r} of model '{name}'. Known: {', '.join(known)}.")
    for key, value in {"classes": classes, "channels": channels, **options}.items():
        if type(value) is not int or value < 1:
            raise ValueError(
                f"The '{key}' of model '{name}' must be an integer of at least 1. Got {value!r}."
            )
    return MODELS[name](classes, channels, **options)
