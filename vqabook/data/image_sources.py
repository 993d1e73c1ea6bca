"""Images for `vqabook data features`, whatever they lie in: a folder of files, arrays, or CIFAR's binary files."""

import os
from pathlib import Path

import numpy as np

from vqabook.data.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES, inside, read_cifar10, read_cifar100
from vqabook.features.image_files import LAST_DIGITS
from vqabook.features.sources import ARRAYS, Source, hold_array, open_array, open_folder

CIFAR = (  # a file of the official layout, the archive's folder, what reads it
    ("data_batch_1.bin", "cifar-10-batches-bin", read_cifar10, CIFAR10_CLASSES),
    ("train.bin", "cifar-100-binary", read_cifar100, CIFAR100_CLASSES),
)


def open_images(path: str | os.PathLike, ids: str | None = None) -> Source:
    """The images at `path`: an .npy or .npz, a folder with CIFAR's binary files, or a folder of images.

    Of CIFAR train comes first, rows 0 to 49,999, then test. `ids` are of a folder of images alone.
    """
    path = Path(path)
    cifar = [(read, names) for file, folder, read, names in CIFAR if (inside(path, folder) / file).is_file()]
    array = path.suffix.lower() in ARRAYS and not path.is_dir()
    if ids is not None and (cifar or array):
        raise ValueError(f"ids are of a folder of images, in {path} an image's id is its place; leave --ids out")
    if array:
        return open_array(path)
    if not cifar:
        return open_folder(path, ids or LAST_DIGITS)
    read, names = cifar[0]
    images, labels = (np.concatenate([part[at] for part in read(path)]) for at in (0, -1))
    return hold_array(images, labels, names)
