"""Random streams: one per purpose, each a function of (seed, purpose, epoch), so that nothing depends on what was drawn before."""

from __future__ import annotations

import hashlib

import torch


def stream_seed(seed: int, purpose: str, epoch: int) -> int:
    """A 63-bit seed that differs, as if at random, for every (seed, purpose, epoch)."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, purpose: str, epoch: int) -> torch.Generator:
    """A CPU generator at the start of a stream. Purposes in use: "init", "order", "augment", "select", "forward", "subset"."""
    return torch.Generator().manual_seed(stream_seed(seed, purpose, epoch))
