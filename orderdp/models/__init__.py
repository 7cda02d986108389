"""The networks: builders `(classes, channels, **options) -> Module`, each with `features(x) -> (B, d)` and a
linear `head` (but `mae_vit`, which gives losses instead of class scores).

All of them take float images (B, channels, H, W), of any size but for the transformers', and run fastest in the
channels_last memory format.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import nn

from orderdp.models.imagenet_resnet import imagenet_resnet18, imagenet_resnet50
from orderdp.models.mae import mae_vit
from orderdp.models.mlp import mlp
from orderdp.models.named import timm_network, torchvision_network
from orderdp.models.pretrained import start_from
from orderdp.models.resnet import resnet18, resnet50
from orderdp.models.resnet8 import resnet8
from orderdp.models.timm_networks import swin_tiny, timm_resnet50, vit

__all__ = ["MODELS", "build", "start_from"]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "resnet8": resnet8,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "imagenet_resnet18": imagenet_resnet18,
    "imagenet_resnet50": imagenet_resnet50,
    "timm_resnet50": timm_resnet50,
    "swin_tiny": swin_tiny,
    "vit": vit,
    "mae_vit": mae_vit,
    "mlp": mlp,
    "torchvision_network": torchvision_network,
    "timm_network": timm_network,
}


def build(name: str, classes: int, channels: int, **options: object) -> nn.Module:
    """Build a network; its initial weights are drawn from torch's global generator.

    Args:
        name: key in `MODELS`.
        classes: outputs, at least 1.
        channels: planes of an image, at least 1.
        options: the builder's keyword arguments, for example `width`.

    Raises:
        ValueError: the name or an option is unknown (the message lists the known ones), or a number is out of
            its range.
    """
    if name not in MODELS:
        raise ValueError(f"Unknown model {name!r}. Known: {', '.join(MODELS)}.")
    parameters = inspect.signature(MODELS[name]).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    for option in options:
        if option not in known:
            raise ValueError(f"Unknown option {option!r} of model '{name}'. Known: {', '.join(known)}.")
    for key, value in {"classes": classes, "channels": channels, **options}.items():
        if type(known.get(key)) is str:
            if not isinstance(value, str):
                raise ValueError(f"The '{key}' of model '{name}' must be a text. Got {value!r}.")
        elif type(known.get(key)) is float:
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise ValueError(f"The '{key}' of model '{name}' must be in [0, 1). Got {value!r}.")
        elif type(value) is not int or value < 1:
            raise ValueError(f"The '{key}' of model '{name}' must be an integer of at least 1. Got {value!r}.")
    return MODELS[name](classes, channels, **options)
