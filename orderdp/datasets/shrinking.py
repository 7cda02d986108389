"""Smaller copies of photographs: what a network sees is cut out of 256 pixels or so, and most of the time of an epoch
goes into decoding the others.

The copies lie in tar shards, as WebDataset has them, so that a file system holds a thousand files instead of a million.
A shard appears whole or not at all and is not made again, so a preparation that was cut off goes on.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import tarfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from orderdp.datasets.base import DatasetError
from orderdp.datasets.folders import Found, Split

SHARD = 1000
"""Photographs in a file."""
QUALITY = 90
"""Of JPEG: differences that one hardly sees, at a third of the bytes of 98."""


def shrink(splits: Mapping[str, Split], short_side: int, out: Path) -> dict[str, Found]:
    """Copies photographs, made smaller.

    Args:
        splits: name -> what to copy.
        short_side: to which the shorter side is brought, in pixels; smaller photographs are copied as they are.
        out: folder of the shards.

    Returns:
        Name -> the copies, in the order of the originals; files are relative to `out`.

    Raises:
        DatasetError: a photograph cannot be read; names it.
    """
    copied: dict[str, Found] = {}
    for name, split in splits.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        starts = range(0, len(split), SHARD)
        found = Found([], [], [], [], [], in_shards=True)
        with multiprocessing.get_context("spawn").Pool(_processes(len(starts))) as pool:
            for number, places in enumerate(pool.imap(partial(_shard, split, short_side, out / name), starts)):
                found.names.append(f"{name}/{number:05}.tar")
                for label, offset, size in places:
                    found.labels.append(label)
                    found.file.append(number)
                    found.offset.append(offset)
                    found.size.append(size)
        copied[name] = found
    return copied


def _processes(shards: int) -> int:
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(here, shards))


def _shard(split: Split, short_side: int, folder: Path, start: int) -> list[tuple[int, int, int]]:
    """Makes the shard that begins with a sample, unless it is there; (label, offset, length) of each of its copies."""
    path = folder / f"{start // SHARD:05}.tar"
    listing, facts = path.with_suffix(".json"), {"short_side": short_side, "quality": QUALITY, "originals": ""}
    indices = range(start, min(start + SHARD, len(split)))
    facts["originals"] = [[split.path(index), int(split.size[index])] for index in indices]
    if path.exists() and listing.exists():
        known = json.loads(listing.read_text(encoding="utf-8"))
        if known["facts"] == facts:
            return [tuple(place) for place in known["places"]]
    places = []
    scratch = path.with_suffix(".tmp")
    with tarfile.open(scratch, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index in indices:
            label, content = int(split.labels[index]), smaller(split, index, short_side)
            for suffix, text in (("jpg", content), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{index:08}.{suffix}")
                member.size = len(text)
                if suffix == "jpg":
                    places.append((label, tar.offset + tarfile.BLOCKSIZE, len(text)))
                tar.addfile(member, io.BytesIO(text))
    scratch.replace(path)
    listing.write_text(json.dumps({"facts": facts, "places": places}), encoding="utf-8")
    return places


def smaller(split: Split, index: int, short_side: int) -> bytes:
    """A photograph as a JPEG file whose shorter side has at most so many pixels.

    Raises:
        DatasetError: it cannot be read.
    """
    content = split.read(index)
    try:
        return shrunk_jpeg(content, short_side)
    except Exception as error:  # PIL raises many kinds for damaged files
        raise DatasetError(
            f"{split.path(index)} is no readable image ({type(error).__name__}: {error}). Replace the file, or remove"
            " it, and prepare the data set again."
        ) from error


def shrunk_jpeg(content: bytes, short_side: int) -> bytes:
    """An encoded image as a JPEG file whose shorter side has at most so many pixels; itself if it is one."""
    from PIL import Image

    opened = Image.open(io.BytesIO(content))
    if min(opened.size) <= short_side and opened.format == "JPEG":
        return content
    image = opened.convert("RGB")
    scale = min(1.0, short_side / min(image.size))
    width, height = (max(1, round(scale * side)) for side in image.size)
    copy = io.BytesIO()
    image.resize((width, height), Image.Resampling.BICUBIC).save(copy, "JPEG", quality=QUALITY)
    return copy.getvalue()
