"""Labeled Faces in the Wild: who is it? The people with many photographs, as scikit-learn reads them.

Huang et al., "Labeled Faces in the Wild", 2007; the funneled images in the layout and the order of
`sklearn.datasets.fetch_lfw_people`, which would write beside them:
lfw_home/lfw_funneled/<Person_Name>/<Person_Name>_0001.jpg. LFW's official splits are for verifying pairs; for
recognising people there is none, so train, validation and test are cut here, seeded.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from vqabook.features.image_files import open_image
from vqabook.splits import validation_split


class Photographs(NamedTuple):
    """The photographs in scikit-learn's order; a label is a place in `people`, alphabetical."""

    images: UInt8[np.ndarray, "n 1 62 47"]
    labels: Int[np.ndarray, " n"]
    people: tuple[str, ...]


def read_faces(root: str | os.PathLike, min_faces_per_person: int = 70) -> Photographs:
    """`root` is data_root or the folder lfw_home. Images are scikit-learn's crop of the face at half its size.

    With 70 photographs a person or more there are 1,288 of seven people.
    """
    chosen = [(name, photos) for name, photos in _find_people(Path(root)) if len(photos) >= min_faces_per_person]
    people = tuple(name for name, _ in chosen)
    if len(people) < 2:
        raise ValueError(
            f"recognition needs two people or more, {root} has {len(people)} with {min_faces_per_person} photographs; "
            "lower min_faces_per_person"
        )
    target = np.repeat(np.arange(len(people)), [len(photos) for _, photos in chosen])
    images = np.stack([_read_face(path) for _, photos in chosen for path in photos])
    order = np.arange(len(target))
    np.random.RandomState(42).shuffle(order)  # scikit-learn's
    return Photographs(images[order], target[order], people)


def split_faces(labels: Int[np.ndarray, " n"], *, seed: int = 0) -> tuple[Int[np.ndarray, " m"], ...]:
    """Rows of train, validation and test, stratified: test is a quarter, validation a tenth of the rest."""
    rest, test = validation_split(labels, fraction=0.25, seed=seed)
    train, valid = validation_split(labels[rest], fraction=0.1, seed=seed)
    return rest[train], rest[valid], test


def _find_people(root: Path) -> list[tuple[str, list[Path]]]:
    """Each person's name and photographs, alphabetically."""
    faces = (root / "lfw_home" if (root / "lfw_home").is_dir() else root) / "lfw_funneled"
    if not faces.is_dir():
        raise FileNotFoundError(
            f"LFW is a folder lfw_funneled with a folder a person, below {root} or its lfw_home, and there is none; "
            "check data_root or fetch the set"
        )
    folders = sorted(path for path in faces.iterdir() if path.is_dir())
    return [(folder.name.replace("_", " "), sorted(folder.iterdir())) for folder in folders]


def _read_face(path: Path) -> UInt8[np.ndarray, "1 62 47"]:
    """The middle of a photograph at half its size, grey by the mean of its colours."""
    with open_image(path, "every photograph of LFW is a whole JPEG") as photo:
        pixels = np.asarray(photo.convert("RGB").crop((78, 70, 172, 195)).resize((47, 62)), np.float32) / 255
    return np.rint(pixels.mean(2) * 255).astype(np.uint8)[None]
