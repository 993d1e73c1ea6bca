"""Where images come from that features are extracted of: a folder of files, or one array in memory or in a file."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from vqabook.features.image_files import FILE_PATH, LAST_DIGITS, find_images, number_ids, read_pixels, shrink
from vqabook.files import portable, tell_damage

ARRAYS = {".npy", ".npz"}
IMAGES, LABELS = ("x", "images", "data"), ("y", "labels", "target")  # what a member of an .npz is called
RULE = "an array of images is bytes (uint8) [n, h, w], [n, h, w, 3] or [n, 3, h, w]"

Read = Callable[[str, int], tuple[UInt8[np.ndarray, "3 s s"], tuple[int, int]]]


@dataclass(frozen=True)
class Source:
    """Images by name, in order. `read(name, side)`: pixels and (w, h); `digest`: changes when the images do.

    `numbers`: of a name, its id, or its place in `texts` where ids are texts; `labels` and `classes`: by place, if the
    source has them.
    """

    numbers: Mapping[str, int]
    read: Read
    digest: str
    texts: Sequence[str] | None = None
    labels: Int[np.ndarray, " n"] | None = None
    classes: Sequence[str] = ()


def open_folder(folder: str | os.PathLike, ids: str = LAST_DIGITS) -> Source:
    """All images below `folder`; see `find_images`. With `FILE_PATH` the folder that a file lies in is its class."""
    folder = Path(folder)
    files = find_images(folder, ids)
    numbers, texts = number_ids(files)
    listing = json.dumps({portable(name): image_id for name, image_id in files.items()})
    labels, classes = _label_by_folder(files) if ids == FILE_PATH else (None, [])
    digest = hashlib.sha256(listing.encode()).hexdigest()
    return Source(numbers, lambda name, side: read_pixels(folder / name, side), digest, texts, labels, classes)


def _label_by_folder(files: Mapping[str, object]) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """An ImageFolder's labels: the first folder of a path, in alphabetical order, as torchvision counts them."""
    if flat := [name for name in files if "/" not in name]:
        raise ValueError(
            f"of an ImageFolder every image lies in its class' folder: {flat[0]} does not; move it, or give other ids"
        )
    of_file = [name.partition("/")[0] for name in files]
    classes = sorted(set(of_file))
    return np.array([classes.index(name) for name in of_file], np.int64), classes


def hold_array(images: np.ndarray, labels: Int[np.ndarray, " m"] | None = None, classes: Sequence[str] = ()) -> Source:
    """Images in memory, bytes as RULE says, whose ids are their places, 0 to n - 1."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise ValueError(f"{RULE}, got {images.dtype} {list(images.shape)}; multiply shares of white by 255")
    if images.ndim == 4 and images.shape[3] != 3:
        if images.shape[1] != 3:
            raise ValueError(f"{RULE}, got {list(images.shape)}; give three colours, or none")
        images = images.transpose(0, 2, 3, 1)
    if labels is not None and labels.shape != images.shape[:1]:
        raise ValueError(f"every image has one label: {len(images)} images, labels {list(labels.shape)}; match them")
    parts = (images, labels) if labels is not None else (images,)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()

    def read(name: str, side: int) -> tuple[UInt8[np.ndarray, "3 s s"], tuple[int, int]]:
        from PIL import Image

        image = Image.fromarray(np.ascontiguousarray(images[int(name)]))
        return shrink(image, side), image.size

    return Source({str(i): i for i in range(len(images))}, read, digest, labels=labels, classes=classes)


def open_array(path: str | os.PathLike) -> Source:
    """An .npy of images, or an .npz with them as one of IMAGES, perhaps with labels as one of LABELS."""
    path = Path(path)
    with tell_damage(path, RULE, OSError, ValueError, EOFError):
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            return hold_array(file)
        with file:
            members = {role: [n for n in names if n in file] for role, names in (("x", IMAGES), ("y", LABELS))}
            if not members["x"]:
                raise ValueError(f"its images are called {', '.join(IMAGES)}, it has {', '.join(file.files)}")
            labels = file[members["y"][0]].astype(np.int64) if members["y"] else None
            return hold_array(file[members["x"][0]], labels)
