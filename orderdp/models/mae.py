"""A masked autoencoder (He et al. 2021) that gives the reconstruction loss of each image."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from orderdp.models.timm_networks import vision_transformer

MASKED = 0.75
"""Share of the patches that the encoder does not see."""


class MaskedAutoencoder(nn.Module):
    """Encodes the patches that are not masked, decodes all, and compares the masked ones with their pixels.

    Position embeddings are sines and cosines and stay as they are; the pixels of a patch are normalised by their own
    mean and standard deviation.

    Args:
        encoder: timm's VisionTransformer with a class token.
        patch: side of a patch in pixels.
        channels: planes of an image.
        width: channels of the decoder, a multiple of 4.
        depth: blocks of the decoder.
    """

    positions: Tensor

    def __init__(self, encoder: Any, patch: int, channels: int, width: int, depth: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block

        self.encoder: Any = encoder
        self.patch = patch
        rows, columns = encoder.patch_embed.grid_size
        positions = sines(rows, columns, encoder.embed_dim)
        encoder.pos_embed = nn.Parameter(
            torch.cat([torch.zeros(1, encoder.embed_dim), positions])[None], requires_grad=False
        )
        self.embed = nn.Linear(encoder.embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("positions", torch.cat([torch.zeros(1, width), sines(rows, columns, width)])[None])
        self.blocks = nn.ModuleList(Block(width, max(1, width // 32), qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, patch**2 * channels)
        nn.init.normal_(self.mask_token, std=0.02)
        for module in (self.embed, self.predict, *(m for m in self.blocks.modules() if isinstance(m, nn.Linear))):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction loss of each image, float32 (B,): the mean squared error over its masked patches.

        Args:
            x: normalised images, float (B, channels, H, W). Which patches are masked is drawn from torch's global
                generator.
        """
        tokens = self.encoder.patch_embed(x) + self.encoder.pos_embed[:, 1:]
        count, length, width = tokens.shape
        seen = max(1, round(length * (1 - MASKED)))
        order = torch.rand(count, length, device=x.device).argsort(1)
        kept = tokens.gather(1, order[:, :seen, None].expand(-1, -1, width))
        start = (self.encoder.cls_token + self.encoder.pos_embed[:, :1]).expand(count, -1, -1)
        encoded = self.encoder.norm(self.encoder.blocks(torch.cat([start, kept], 1)))
        predicted = self._decoded(encoded, order)
        errors = (predicted.float() - self.pixels(x)).square().mean(2)
        masked = torch.ones_like(errors).scatter(1, order[:, :seen], 0.0)
        return (errors * masked).sum(1) / masked.sum(1)

    def pixels(self, x: Tensor) -> Tensor:
        """What should be predicted: the normalised pixels of each patch, float32 (B, patches, patch**2 channels)."""
        count, channels, height, width = x.shape
        p = self.patch
        x = x.float().reshape(count, channels, height // p, p, width // p, p)
        x = x.permute(0, 2, 4, 3, 5, 1).reshape(count, (height // p) * (width // p), p * p * channels)
        variance, mean = torch.var_mean(x, 2, keepdim=True)
        return (x - mean) / (variance + 1e-6).sqrt()

    def no_weight_decay(self) -> set[str]:
        """The tokens."""
        return {"mask_token", "encoder.cls_token"}

    def _decoded(self, encoded: Tensor, order: Tensor) -> Tensor:
        tokens = self.embed(encoded)
        hidden = order.shape[1] - (tokens.shape[1] - 1)
        shuffled = torch.cat([tokens[:, 1:], self.mask_token.to(tokens.dtype).expand(len(tokens), hidden, -1)], 1)
        places = order.argsort(1)[:, :, None].expand(-1, -1, shuffled.shape[2])
        tokens = torch.cat([tokens[:, :1], shuffled.gather(1, places)], 1) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.predict(self.norm(tokens))[:, 1:]


def mae_vit(
    classes: int,
    channels: int,
    *,
    image: int = 224,
    patch: int = 16,
    width: int = 768,
    depth: int = 12,
    decoder_width: int = 512,
    decoder_depth: int = 8,
) -> MaskedAutoencoder:
    """Build a masked autoencoder around a Vision Transformer, ViT-Base by default (111.7 million parameters that are
    trained).

    Args:
        classes: not used; it learns without labels.
        channels: planes of an image.
        image: side of an image in pixels.
        patch: side of a patch in pixels.
        width: channels of the encoder, a multiple of 4.
        depth: blocks of the encoder.
        decoder_width: channels of the decoder, a multiple of 4.
        decoder_depth: blocks of the decoder.
    """
    encoder = vision_transformer(channels, image, patch, width, depth, num_classes=0, global_pool="")
    return MaskedAutoencoder(encoder, patch, channels, decoder_width, decoder_depth)


def sines(rows: int, columns: int, width: int) -> Tensor:
    """Position embeddings of a grid, float32 (rows * columns, width): a quarter each of sines and cosines of column and
    row, at wavelengths from 2 pi to 20,000 pi (Vaswani et al. 2017, in two dimensions)."""
    if width % 4:
        raise ValueError(f"The width of a masked autoencoder must be a multiple of 4. Got {width}.")
    frequencies = torch.exp(-math.log(10000) * torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij"
    )
    angles = [place.reshape(-1, 1) * frequencies for place in (column, row)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], 1).float()
