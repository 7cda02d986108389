"""Any image classifier of torchvision or timm by its name there, with random weights."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from torch import Tensor, nn

from orderdp.models.classifier import Classifier


class _Coloured(nn.Module):
    """Gives grey images to a network for colours: the same plane three times."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.expand(-1, 3, -1, -1))


def torchvision_network(classes: int, channels: int, *, architecture: str = "resnet18") -> Classifier:
    """Build a network of torchvision with random weights.

    Args:
        classes: outputs.
        channels: planes of an image, 1 or 3. Grey images are given three times.
        architecture: a name in `torchvision.models.list_models()`.

    Raises:
        ValueError: the name is unknown, or the network ends in no linear layer, or the images have other planes.
    """
    from torchvision import models  # takes seconds to import, so only where it is needed

    if architecture not in (known := models.list_models(module=models)):
        raise ValueError(_unknown(architecture, "torchvision", known))
    if channels not in (1, 3):
        raise ValueError(f"torchvision's {architecture} takes images of 1 or 3 planes. Got {channels}.")
    network = models.get_model(architecture, weights=None, num_classes=classes)
    name = next((name for name, module in reversed([*network.named_modules()]) if isinstance(module, nn.Linear)), None)
    if name is None or network.get_submodule(name).out_features != classes:
        raise ValueError(f"torchvision's {architecture} does not end in a linear layer. Choose another network.")
    head = network.get_submodule(name)
    network.set_submodule(name, nn.Identity())
    return Classifier(_Coloured(network) if channels == 1 else network, head)  # type: ignore[arg-type]


def timm_network(classes: int, channels: int, *, architecture: str = "resnet18") -> Classifier:
    """Build a network of timm with random weights.

    Args:
        classes: outputs.
        channels: planes of an image.
        architecture: a name in `timm.list_models()`.

    Raises:
        ValueError: the name is unknown.
    """
    import timm

    if not timm.is_model(architecture):
        raise ValueError(_unknown(architecture, "timm", timm.list_models()))
    network = timm.create_model(architecture, pretrained=False, num_classes=classes, in_chans=channels)
    head = network.get_classifier()  # type: ignore[operator]
    network.reset_classifier(0)  # type: ignore[operator]
    return Classifier(network, head)  # type: ignore[arg-type]


def _unknown(name: str, library: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    others = f" There are: {', '.join(near)} and others." if near else ""
    return f"There is no network {name!r} in {library}.{others}"


def known(architecture: str) -> str:
    """The library that has a network of this name: "torchvision" where both do, or "timm".

    Raises:
        ValueError: neither has it.
    """
    import timm
    from torchvision import models

    names = models.list_models(module=models)
    if architecture in names:
        return "torchvision"
    if timm.is_model(architecture):
        return "timm"
    raise ValueError(_unknown(architecture, "torchvision or timm", [*names, *timm.list_models()]))
