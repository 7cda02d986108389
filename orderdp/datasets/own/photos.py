"""Photographs of one's own that stay in their files: each is read once, to see that it is an image, and indexed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orderdp.datasets.base import DatasetError
from orderdp.datasets.folders import Found
from orderdp.datasets.own.finding import Files
from orderdp.datasets.own.words import left_out, refuse_broken
from orderdp.datasets.processors import processors

FEW = 1000
"""Photographs that one process looks at sooner than several have started."""
SIDE = 32
"""Pixels to which a photograph is brought for the mean and the deviation of all."""
TURNED, GREY, PRINT, DEEP = "turned", "grey", "print", "deep"
WORDS = {
    TURNED: "are turned by their EXIF data, which is left out of account: turn the files themselves",
    GREY: "are grey, and are given the same plane three times",
    PRINT: "have the colours of print (CMYK), brought to RGB",
    DEEP: "have 16 bits a channel, of which what is above 255 is cut off: bring the files to 8",
}


class Seen(NamedTuple):
    """What was found in a file."""

    checksum: str
    size: int
    sides: tuple[int, int]
    mean: NDArray[np.float64]
    """Per channel, of pixels scaled to [0, 1]; likewise of their squares."""
    square: NDArray[np.float64]
    kinds: tuple[str, ...]


class Photos(NamedTuple):
    """The photographs of a data set, indexed."""

    train: Found
    test: Found
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    notes: list[str]


def index(train: Files, test: Files | None, root: Path, chosen: NDArray[np.bool_] | None, skip_broken: bool) -> Photos:
    """Reads every photograph once.

    Args:
        train: the training samples.
        test: the others; None where some of `train` are held out.
        root: that all of them are below.
        chosen: which training samples are held out as test part; None where there is one.
        skip_broken: leave out files that cannot be read.

    Raises:
        DatasetError: files are no images, and are not to be left out.
    """
    held = np.zeros(len(train), bool) if chosen is None else chosen
    parts = {
        "train": [place for place, out in zip(train.places, held, strict=True) if not out],
        "test": [place for place, out in zip(train.places, held, strict=True) if out] if test is None else test.places,
    }
    met, broken, sides = Counter[str](), list[str](), list[tuple[int, int]]()
    checksum, found = hashlib.sha256(), dict[str, Found]()
    means, squares = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
    for part, samples in parts.items():
        kept = Found([], [], [], [], [], in_shards=False)
        for (path, label), seen in zip(samples, _looked([path for path, _ in samples]), strict=True):
            if seen is None:
                broken.append(path)
                continue
            name = str(Path(path).relative_to(root))
            checksum.update(f"{part}\t{name}\t{label}\t{seen.checksum}\n".encode())
            kept.file.append(len(kept.names))
            kept.names.append(name)
            kept.labels.append(label)
            kept.offset.append(0)
            kept.size.append(seen.size)
            met.update(seen.kinds)
            sides.append(seen.sides)
            if part == "train":
                means.append(seen.mean)
                squares.append(seen.square)
        found[part] = kept
    refuse_broken(root, broken, skip_broken)
    if not means or not found["test"].labels:
        raise DatasetError(f"{root} has a part without any image.")
    mean = np.mean(means, axis=0)
    std = np.sqrt(np.maximum(np.mean(squares, axis=0) - mean**2, 1e-6))
    low, high = min(sides), max(sides)
    notes = [f"photographs of {low[0]} x {low[1]} to {high[0]} x {high[1]} pixels, which stay in their files"]
    notes += [f"{count} images {WORDS[kind]}" for kind, count in sorted(met.items())]
    notes += left_out(broken)
    rounded = [tuple(round(float(x), 4) for x in values) for values in (mean, std)]
    return Photos(found["train"], found["test"], rounded[0], rounded[1], f"sha256:{checksum.hexdigest()}", notes)


def _looked(paths: list[str]) -> Iterator[Seen | None]:
    """What is in each file, by all processors; None for what is no image."""
    if len(paths) < FEW or processors() == 1:
        yield from map(look_at, paths)
        return
    with ProcessPoolExecutor(processors(), mp_context=get_context("spawn")) as pool:
        yield from pool.map(look_at, paths, chunksize=100)


def look_at(path: str) -> Seen | None:
    """Reads an image file; None if it is none."""
    import io

    from PIL import Image

    try:
        content = Path(path).read_bytes()
        opened = Image.open(io.BytesIO(content))
        sides, mode = opened.size, opened.mode
        turned = opened.getexif().get(0x0112, 1) != 1
        opened.draft("RGB", (2 * SIDE, 2 * SIDE))  # JPEG is then decoded at an eighth of its size
        small = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    except Exception:  # PIL raises many kinds
        return None
    pixels = np.asarray(small, np.float64).reshape(-1, 3) / 255
    kinds = [TURNED] if turned else []
    kinds += [GREY] if mode in ("L", "LA", "1") else []
    kinds += [PRINT] if mode == "CMYK" else []
    kinds += [DEEP] if mode.startswith(("I", "F")) else []
    checksum = hashlib.sha256(content).hexdigest()
    return Seen(checksum, len(content), sides, pixels.mean(0), (pixels**2).mean(0), tuple(kinds))
