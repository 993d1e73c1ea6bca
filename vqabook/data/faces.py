"""Labeled Faces in the Wild: who is it? The people with many photographs, through scikit-learn's reader.

Huang et al., "Labeled Faces in the Wild", 2007; the funneled images in the layout of
`sklearn.datasets.fetch_lfw_people`: lfw_home/lfw_funneled/<Person_Name>/<Person_Name>_0001.jpg. LFW's official splits
are for verifying pairs; for recognising people there is none, so train, validation and test are cut here, seeded.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vqabook.core import Table
from vqabook.features.image_files import import_extra
from vqabook.features.store import cache_folder
from vqabook.files import written_whole
from vqabook.splits import validation_split


@dataclass(frozen=True)
class Faces:
    """A stratified cut of the photographs; target: a place in `people`, alphabetical."""

    train: Table
    valid: Table
    test: Table
    people: tuple[str, ...]


def load_faces(root: Path, *, min_faces_per_person: int = 70, seed: int = 0) -> Faces:
    """Inputs: uint8 images [n, 1, 62, 47], looked up as floats in [0, 1]. side: "photo", scikit-learn's row.

    `root` is data_root or the folder lfw_home. Images are scikit-learn's crop of the face at half its size. Test is a
    quarter, validation a tenth of the rest; with 70 photographs or more there are 1,288 of seven people.
    """
    images, target, people = _fetch(root, min_faces_per_person)
    if len(people) < 2:
        raise ValueError(
            f"recognition needs two people or more, {root} has {len(people)} with {min_faces_per_person} photographs; "
            "lower min_faces_per_person"
        )
    rest, test = validation_split(target, fraction=0.25, seed=seed)
    train, valid = validation_split(target[rest], fraction=0.1, seed=seed)
    side = {"photo": torch.arange(len(target))}
    whole = Table((images,), torch.from_numpy(target), len(people), side, _to_float)
    cuts = (whole.subset(torch.from_numpy(rows)) for rows in (rest[train], rest[valid], test))
    return Faces(*cuts, people)


def _to_float(images: UInt8[Tensor, "b 1 h w"]) -> tuple[Float[Tensor, "b 1 h w"], ...]:
    return (images.float() / 255,)


def _fetch(root: Path, min_faces: int) -> tuple[UInt8[Tensor, "n 1 h w"], np.ndarray, tuple[str, ...]]:
    home = root / "lfw_home" if (root / "lfw_home").is_dir() else root
    if not (home / "lfw_funneled").is_dir():
        raise FileNotFoundError(
            f"LFW is a folder lfw_funneled with a folder a person, below {root} or its lfw_home, and there is none; "
            "check data_root or fetch the set"
        )
    fetch = import_extra("sklearn.datasets", "scikit-learn").fetch_lfw_people
    import_extra("PIL.Image", "pillow")
    try:
        options = {"min_faces_per_person": min_faces, "resize": 0.5, "download_if_missing": False}
        bunch = fetch(data_home=str(_mirror(home)), **options)
    except (OSError, ValueError, SyntaxError) as error:  # SyntaxError: Pillow's word for a broken file
        if "too restrictive" in str(error):
            raise ValueError(
                f"nobody in {home / 'lfw_funneled'} has {min_faces} photographs; lower min_faces_per_person"
            ) from error
        raise ValueError(f"every photograph of LFW is a whole JPEG: {error}; fetch the set again") from error
    pixels = np.rint(bunch.images * 255).astype(np.uint8)[:, None]
    return torch.from_numpy(pixels), bunch.target.astype(np.int64), tuple(map(str, bunch.target_names))


def _mirror(home: Path) -> Path:
    """A data_home in the cache that shows the photographs: scikit-learn writes beside them, and they may be read-only.

    Named by what the folder holds, so that scikit-learn's cache below it is never that of other photographs.
    """
    faces = home / "lfw_funneled"
    digest = hashlib.sha256(str(faces.resolve()).encode())
    for person in sorted(p for p in faces.iterdir() if p.is_dir()):
        for photo in sorted(os.scandir(person), key=lambda entry: entry.name):
            stat = photo.stat()
            digest.update(f"{person.name}/{photo.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    mirror = cache_folder() / "lfw" / digest.hexdigest()[:16]
    inner = mirror / "lfw_home"
    inner.mkdir(parents=True, exist_ok=True)
    for name in ("pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt"):  # must exist; not read for people
        (inner / name).touch()
    if not (inner / "lfw_funneled").exists():
        _link(faces.resolve(), inner / "lfw_funneled")
    return mirror


def _link(source: Path, target: Path) -> None:
    """Make `target` a link to `source`; where links are not allowed (Windows), a copy."""
    try:
        target.symlink_to(source, target_is_directory=True)
    except FileExistsError:
        pass  # another process was quicker
    except OSError:
        try:
            with written_whole(target) as partial:
                shutil.copytree(source, partial, copy_function=shutil.copyfile)
        except OSError:
            if not target.exists():
                raise
