"""timm's ResNet-50, Swin Transformer and Vision Transformer, each at any width and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orderdp.models.classifier import Classifier

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

HEAD_WIDTH = 64
"""Channels of an attention head in a Vision Transformer."""


def timm_resnet50(
    classes: int, channels: int, *, depth: int = 6, width: int = 64, drop_path: float = 0.05
) -> Classifier:
    """Build timm's ResNet-50 (25.6 million parameters with 1,000 classes).

    Args:
        classes: outputs.
        channels: planes of an image.
        depth: most blocks per stage, for small variants; 6 gives the whole network.
        width: planes inside the first stage's bottlenecks; their outputs keep their width.
        drop_path: share of residual branches that are left out at the last block (stochastic depth), less before it.
    """
    from timm.models.resnet import Bottleneck, ResNet  # takes seconds to import, so only where it is needed

    blocks = tuple(min(blocks, depth) for blocks in (3, 4, 6, 3))
    network = ResNet(Bottleneck, blocks, classes, channels, base_width=width, drop_path_rate=drop_path)  # type: ignore[arg-type]
    return _classifier(network)


def swin_tiny(
    classes: int,
    channels: int,
    *,
    image: int = 224,
    patch: int = 4,
    window: int = 7,
    width: int = 96,
    depth: int = 6,
    drop_path: float = 0.2,
) -> Classifier:
    """Build Swin-Tiny (Liu et al. 2021; 28.3 million parameters with 1,000 classes).

    Args:
        classes: outputs.
        channels: planes of an image.
        image: side of an image in pixels, at least 8 patches.
        patch: side of a patch in pixels.
        window: side of an attention window in patches; stages with fewer patches attend to all of them.
        width: channels of the first stage, a multiple of 3; each later stage doubles them.
        depth: most blocks per stage, for small variants; 6 gives the whole network.
        drop_path: share of residual branches that are left out at the last block, less before it.
    """
    from timm.models.swin_transformer import SwinTransformer

    return _classifier(
        SwinTransformer(
            img_size=image,
            patch_size=patch,
            in_chans=channels,
            num_classes=classes,
            embed_dim=width,
            depths=tuple(min(blocks, depth) for blocks in (2, 2, 6, 2)),
            num_heads=(3, 6, 12, 24),
            window_size=window,
            drop_path_rate=drop_path,
        )
    )


def vit(
    classes: int,
    channels: int,
    *,
    image: int = 224,
    patch: int = 16,
    width: int = 768,
    depth: int = 12,
    drop_path: float = 0.1,
) -> Classifier:
    """Build a Vision Transformer with averaged patches as features, ViT-Base by default (86.6 million parameters with
    1,000 classes).

    Args:
        classes: outputs.
        channels: planes of an image.
        image: side of an image in pixels.
        patch: side of a patch in pixels.
        width: channels; heads have 64 of them.
        depth: blocks.
        drop_path: share of residual branches that are left out at the last block, less before it.
    """
    pooled = {"num_classes": classes, "global_pool": "avg", "drop_path_rate": drop_path}
    return _classifier(vision_transformer(channels, image, patch, width, depth, **pooled))


def vision_transformer(
    channels: int, image: int, patch: int, width: int, depth: int, **options: Any
) -> VisionTransformer:
    """The body of `vit` and of `mae_vit`: one function, so that the weights of one fit the other.

    Args:
        channels, image, patch, width, depth: as in `vit`.
        options: further ones of timm's VisionTransformer.
    """
    from timm.models.vision_transformer import VisionTransformer

    heads = max(1, width // HEAD_WIDTH)
    return VisionTransformer(
        img_size=image, patch_size=patch, in_chans=channels, embed_dim=width, depth=depth, num_heads=heads, **options
    )  # fmt: skip


def _classifier(network) -> Classifier:  # type: ignore[no-untyped-def]  # a network of timm, imported above only
    head = network.get_classifier()
    network.reset_classifier(0)
    return Classifier(network, head)
