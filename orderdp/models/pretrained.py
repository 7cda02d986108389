"""Starting one network from the weights of another that was trained before it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

PREFIXES = {"encoder.": "body."}
"""Where a pre-trained network keeps a part -> where the network that starts from it has it."""


def start_from(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies the weights of a masked autoencoder's encoder into a Vision Transformer.

    The decoder is left out; the head, and the norm after pooling, are new and stay as they are (He et al. 2021,
    appendix A.1).

    Args:
        model: as `vit` builds it.
        weights: state of a `mae_vit` of the same size.

    Raises:
        ValueError: a part of the body has no weights there, or of another shape; names it.
    """
    own = model.state_dict()
    given = {
        new + name.removeprefix(old): value
        for name, value in weights.items()
        for old, new in PREFIXES.items()
        if name.startswith(old)
    }
    wanted = [name for name in own if name.startswith("body.") and not name.startswith("body.fc_norm.")]
    for name in wanted:
        found = tuple(given[name].shape) if name in given else "nothing"
        if found != tuple(own[name].shape):
            raise ValueError(
                f"The pre-trained weights do not fit: {name} needs {tuple(own[name].shape)}, they hold {found}. Give"
                " both networks the same 'image', 'patch', 'width' and 'depth'."
            )
    model.load_state_dict({name: given[name] for name in wanted}, strict=False)
