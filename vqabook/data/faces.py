"""Labeled Faces in the Wild: who is it? The people with many photographs, through scikit-learn's reader.

Huang et al., "Labeled Faces in the Wild", 2007; the funneled images in the layout of
`sklearn.datasets.fetch_lfw_people`: lfw_home/lfw_funneled/<Person_Name>/<Person_Name>_0001.jpg. LFW's official splits
are for verifying pairs; for recognising people there is none, so train, validation and test are cut here, seeded.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vqabook.core import Table
from vqabook.features.store import cache_folder
from vqabook.files import written_whole
from vqabook.splits import validation_split

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor


@dataclass(frozen=True)
class Faces:
    """A stratified cut of the photographs; target: a place in `people`, alphabetical."""

    train: Table
    valid: Table
    test: Table
    people: tuple[str, ...]


def load_faces(
    root: Path,
    *,
    min_faces_per_person: int = 70,
    resize: float = 0.5,
    color: bool = False,
    test_fraction: float = 0.25,
    valid_fraction: float = 0.1,
    seed: int = 0,
) -> Faces:
    """Inputs: uint8 images [n, 1 or 3, h, w], looked up as floats in [0, 1]. side: "photo", scikit-learn's row.

    `root` is data_root or the folder lfw_home. Images are scikit-learn's crop of the face, 125 x 94, times `resize`.
    Validation is `valid_fraction` of what test leaves. 70 and 0.5 give the usual 1,288 photographs of seven people.
    """
    images, target, people = _fetch(root, min_faces_per_person, resize, color)
    if len(people) < 2:
        raise ValueError(
            f"recognition needs two people or more, {root} has {len(people)} with {min_faces_per_person} photographs; "
            "lower min_faces_per_person"
        )
    rest, test = validation_split(target, fraction=test_fraction, seed=seed)
    train, valid = validation_split(target[rest], fraction=valid_fraction, seed=seed)
    whole = Table(
        inputs=(images,),
        target=torch.from_numpy(target),
        n_classes=len(people),
        side={"photo": torch.arange(len(target))},
        lookup=_to_float,
    )
    cuts = (whole.subset(torch.from_numpy(rows)) for rows in (rest[train], rest[valid], test))
    return Faces(*cuts, people)


def _to_float(images: UInt8[Tensor, "b channel h w"]) -> tuple[Float[Tensor, "b channel h w"], ...]:
    return (images.float() / 255,)


def _fetch(
    root: Path, min_faces: int, resize: float, color: bool
) -> tuple[UInt8[Tensor, "n channel h w"], np.ndarray, tuple[str, ...]]:
    home = root / "lfw_home" if (root / "lfw_home").is_dir() else root
    if not (home / "lfw_funneled").is_dir():
        raise FileNotFoundError(
            f"LFW is a folder lfw_funneled with a folder a person, below {root} or its lfw_home, and there is none; "
            "check data_root or fetch the set"
        )
    try:
        from sklearn.datasets import fetch_lfw_people

        bunch = fetch_lfw_people(
            data_home=str(_mirror(home)),
            min_faces_per_person=min_faces,
            resize=resize,
            color=color,
            download_if_missing=False,
        )
    except ImportError as error:
        raise RuntimeError(
            "LFW is read with scikit-learn and Pillow, and one of them is missing; pip install vqabook[data]"
        ) from error
    except (OSError, ValueError, SyntaxError) as error:  # SyntaxError: Pillow's word for a broken file
        if "too restrictive" in str(error):
            raise ValueError(
                f"nobody in {home / 'lfw_funneled'} has {min_faces} photographs; lower min_faces_per_person"
            ) from error
        raise ValueError(f"every photograph of LFW is a whole JPEG: {error}; fetch the set again") from error
    pixels = np.rint(bunch.images * 255).astype(np.uint8)
    channels = pixels.transpose(0, 3, 1, 2) if color else pixels[:, None]
    return (
        torch.from_numpy(np.ascontiguousarray(channels)),
        bunch.target.astype(np.int64),
        tuple(map(str, bunch.target_names)),
    )


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
        _show(faces.resolve(), inner / "lfw_funneled")
    return mirror


def _show(source: Path, target: Path) -> None:
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
