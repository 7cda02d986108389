"""Random streams: one per purpose, each a function of (seed, purpose, epoch), so that nothing depends on what was drawn
before."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray


def _digest(seed: int, purpose: str, epoch: int, step: int = 0) -> int:
    """128 bits; hashed, because neighbouring seeds would otherwise start related streams."""
    text = f"{seed}/{epoch}/{step}/{purpose}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def stream_seed(seed: int, purpose: str, epoch: int, step: int = 0) -> int:
    """A 63-bit seed that differs, as if at random, for every (seed, purpose, epoch, step)."""
    return _digest(seed, purpose, epoch, step) >> 65


def generator(seed: int, purpose: str, epoch: int) -> torch.Generator:
    """A torch generator on the CPU at the start of a stream.

    Purposes in use: "init", "order", "augment", "select", "forward", "subset", "erase", "mix".
    """
    return torch.Generator().manual_seed(stream_seed(seed, purpose, epoch))


def numpy_generator(seed: int, purpose: str, epoch: int, step: int = 0) -> np.random.Generator:
    """A NumPy generator at the start of a stream; `step` tells apart streams that start anew within an epoch.

    Pruners draw from NumPy: a permutation of 1.3 million takes it a third of torch's time.
    """
    return np.random.Generator(np.random.PCG64(_digest(seed, purpose, epoch, step)))


def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """int64 (n,): the order of an epoch. All methods share it, each restricted to the samples that it keeps."""
    return numpy_generator(seed, "order", epoch).permutation(n)
