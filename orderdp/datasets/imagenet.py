"""ImageNet-1K (ILSVRC 2012): photographs of 1,000 classes; a copy of them at 256 pixels, which is decoded two to three
times as fast; and its first 100 and 10 classes for development.

Source: Russakovsky et al. 2015. Not downloaded: its licence must be accepted by each user.
"""

from __future__ import annotations

from orderdp.datasets.folders import Folders

CLASS_CHECKSUM = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
# Of the training images' channels, as all ImageNet recipes have them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

IMAGENET = Folders(
    name="imagenet",
    classes=1000,
    class_checksum=CLASS_CHECKSUM,
    n_train=1281167,
    n_test=50000,
    subset=None,
    mean=MEAN,
    std=STD,
)
IMAGENET_256 = Folders(
    name="imagenet_256",
    classes=1000,
    class_checksum=CLASS_CHECKSUM,
    n_train=1281167,
    n_test=50000,
    subset=None,
    mean=MEAN,
    std=STD,
    copy_of="imagenet",
    short_side=256,
)
IMAGENET100 = Folders(
    name="imagenet100",
    classes=1000,
    class_checksum=CLASS_CHECKSUM,
    n_train=1281167,
    n_test=50000,
    subset=100,
    mean=MEAN,
    std=STD,
)
IMAGENET10 = Folders(
    name="imagenet10",
    classes=1000,
    class_checksum=CLASS_CHECKSUM,
    n_train=1281167,
    n_test=50000,
    subset=10,
    mean=MEAN,
    std=STD,
)
