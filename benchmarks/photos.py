"""(l) Decoding and augmenting photographs, on one core: the project's loader over torchvision's default and timm's.

The project's: what a worker of `ImageFolderLoader` does. torchvision's default: `ImageFolder`'s PIL images with
`RandomResizedCrop`, `RandomHorizontalFlip` and `ToImage`, as in torch's ImageNet example. timm's: PIL images with
`create_transform`. All three give uint8 images of 224 x 224 pixels, and none normalises. "copy" is the smaller copy
that `imagenet_256` makes. `decoding` is what the decoder alone takes of the time: no loader can be faster than that.

`folder` holds JPEG files, in any folders below it. Without one, photographs are made up: smooth noise of the usual
size, which is decoded at another speed than real ones.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import clock, compared, in_turn, one_core, rounded

KEYS = ("photographs", "as", "pass", "over", "images_per_s", "wanted_per_s", "decoding")
DEFAULTS: dict[str, Any] = {"folder": None, "photographs": 250, "short_side": 256, "repeats": 5}
TINY: dict[str, Any] = {"folder": None, "photographs": 4, "short_side": 64, "repeats": 2}
SIZE = 224
AUGMENT: dict[str, Any] = {
    "size": SIZE, "min_scale": 0.08, "flip": True, "interpolation": "bilinear", "rand_augment": None,
    "test_resize": 256,
}  # fmt: skip
WANTED = {"original": 400, "copy": 1500}
"""Images a second on a core that were hoped for in training."""


def run(folder: str | None, photographs: int, short_side: int, repeats: int) -> Iterator[dict[str, Any]]:
    """A row for each form of the photographs, pass and peer."""
    from PIL import Image

    from orderdp.spec import PhotoAugmentSpec
    from orderdp.training.image_folders import build_transform, decode

    originals = made_up(photographs) if folder is None else found(Path(folder), photographs)
    kind = "made up" if folder is None else f"{len(originals)} of ImageNet"
    copies = [shrunk(content, short_side) for content in originals]
    for form, contents in (("original", originals), ("copy", copies)):
        for name, train in (("training", True), ("evaluation", False)):
            ours = build_transform(PhotoAugmentSpec(**AUGMENT), train)
            peers = {"torchvision's default": torchvision_default(train), "timm's": timm_default(train)}
            calls: dict[str, Callable[[], object]] = {"ours": passing(contents, lambda c, f=ours: f(decode(c)))}
            for peer, transform in peers.items():
                calls[peer] = passing(contents, lambda c, f=transform: f(Image.open(io.BytesIO(c)).convert("RGB")))
            with one_core():
                alone = clock(passing(contents, decode)).wall
                times = in_turn(calls, repeats)
            for peer in peers:
                ratios = compared(times["ours"], times[peer])
                rate = len(contents) / ratios["seconds"]
                yield {
                    "photographs": kind,
                    "as": form,
                    "pass": name,
                    "over": peer,
                    "images_per_s": rounded(rate),
                    "wanted_per_s": WANTED[form] if train else None,
                    "decoding": rounded(alone / ratios["seconds"]),
                } | ratios


def passing(contents: list[bytes], transformed: Callable[[bytes], Any]) -> Callable[[], object]:
    """A pass over all of them."""

    def all_of_them() -> None:
        for content in contents:
            transformed(content)

    return all_of_them


def torchvision_default(train: bool) -> Any:
    """The transforms of torch's ImageNet example."""
    from torchvision.transforms import v2

    if train:
        return v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip(), v2.ToImage()])
    return v2.Compose([v2.Resize(256), v2.CenterCrop(SIZE), v2.ToImage()])


def timm_default(train: bool) -> Any:
    """timm's, without what it does to colours."""
    from timm.data import create_transform

    options = {"color_jitter": None, "interpolation": "bilinear", "use_prefetcher": True}
    return create_transform(SIZE, is_training=train, crop_pct=SIZE / 256, **options)


def found(folder: Path, count: int) -> list[bytes]:
    """The first JPEG files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise SystemExit(f"{folder} holds no JPEG file.")
    return [path.read_bytes() for path in files[:count]]


def made_up(count: int) -> list[bytes]:
    """Smooth noise of 500 x 375 pixels."""
    from PIL import Image

    draw = np.random.default_rng(0)
    contents = []
    for _ in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (75, 100, 3), dtype=np.uint8))
        text = io.BytesIO()
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(text, "JPEG", quality=95)
        contents.append(text.getvalue())
    return contents


def shrunk(content: bytes, short_side: int) -> bytes:
    """As the data job of `imagenet_256` makes it."""
    from orderdp.datasets.shrinking import shrunk_jpeg

    return shrunk_jpeg(content, short_side)
