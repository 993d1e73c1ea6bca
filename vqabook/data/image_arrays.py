"""Grid and region features that are published as a folder of one file an image become a feature file.

Grid features: Jiang et al. 2020, arXiv:2001.03615. Memory does not grow with the folder, and an interrupted conversion
goes on. What a file may hold, and how its layout is told: `vqabook.data.array_files`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from vqabook.data.array_files import SUFFIXES, as_regions, read_file, regions_are_columns
from vqabook.data.feature_writer import FeatureWriter
from vqabook.data.image_files import LAST_DIGITS, find_images
from vqabook.data.quantise import Codes, fit_codes, to_half

if TYPE_CHECKING:
    from jaxtyping import Float

LOOKED_AT = 16  # files, spread evenly, that tell the layout where one does not
SAMPLED = 512  # files whose features decide the range of uint8 codes
SAMPLED_REGIONS = 36  # of each: 75 MB of 2048 channels


def convert_arrays(
    folder: Path,
    out: Path,
    *,
    dtype: str = "float16",
    adaptive: bool = False,
    ids: str = LAST_DIGITS,
    n_images: int | None = None,
) -> int:
    """Convert a folder of .npz, .npy, .pth or .pt files into the feature file `out`; returns the number of images.

    `dtype`: float16, or uint8 with a range a channel from a sample. `adaptive`: images have unequal numbers of
    regions, as grids of images that keep their proportions have. `ids`: see `find_images`. `n_images`: how many must
    come. Boxes and image sizes are kept where the files have them. Interrupted, it goes on where it stopped when called
    again.
    """
    if dtype not in ("float16", "uint8"):
        raise ValueError(f"features are stored as float16 or uint8, got {dtype!r}")
    found = find_images(folder, ids, suffixes=SUFFIXES, rule="features are converted from a folder of arrays")
    if n_images is not None and len(found) != n_images:
        raise ValueError(f"{n_images} images are expected, {folder} has {len(found)}; download the others")
    recipe = {"folder": _fingerprint(folder, found), "options": [adaptive, dtype]}
    with FeatureWriter(out, recipe, dtype) as writer:
        paths = [folder / name for name in found]
        columns = _layout(paths)
        if not adaptive:
            o, d = as_regions(read_file(paths[0]), columns, paths[0]).shape
            writer.reserve(len(paths) * o * d * np.dtype(dtype).itemsize)
        codes = fit_codes(_sample(paths, columns)) if dtype == "uint8" else None
        _Conversion(writer, codes, adaptive, columns).run(paths, list(found.values()))
        about = {"source": folder.resolve().name}
        writer.finish(about, **({} if codes is None else {"scale": codes.scale, "offset": codes.offset}))
        return writer.images


class _Conversion:
    """The loop over files, and what the first one says of the others."""

    def __init__(self, writer: FeatureWriter, codes: Codes | None, adaptive: bool, columns: bool):
        self.writer, self.codes, self.adaptive, self.columns = writer, codes, adaptive, columns
        self.first = writer.position  # file name, regions, width, boxes, size

    def run(self, paths: Sequence[Path], ids: Sequence[int]) -> None:
        done = self.writer.images
        with tqdm(total=len(paths), initial=done, unit="image", desc=self.writer.out.name, disable=None) as bar:
            for path, image_id in zip(paths[done:], ids[done:], strict=True):
                self._take(path, image_id)
                bar.update()

    def _take(self, path: Path, image_id: int) -> None:
        file = read_file(path)
        x = as_regions(file, self.columns, path)
        this = {"name": path.name, "o": len(x), "d": x.shape[1]}
        this |= {"boxes": file.boxes is not None, "sizes": file.size is not None}
        self.first = self.first or this
        self._check(this, path)
        x = to_half(x, str(path)) if self.codes is None else self.codes.encode(x)
        about = np.array([[image_id, *(file.size or (0, 0)), len(x)]], np.int64)
        self.writer.append(about, x if self.adaptive else x[None], file.boxes, position=self.first)

    def _check(self, this: Mapping, path: Path) -> None:
        first = self.first
        if this["d"] != first["d"]:
            raise ValueError(
                f"features are equally wide: {path} has {this['d']}, {first['name']} {first['d']}; "
                "convert each release by itself"
            )
        if not self.adaptive and this["o"] != first["o"]:
            raise ValueError(
                f"every image has {first['o']} regions like {first['name']}: {path} has {this['o']}; "
                "convert the folder as adaptive"
            )
        for part in ("boxes", "sizes"):
            if this[part] != first[part]:
                has, lacks = (path, first["name"]) if this[part] else (first["name"], path)
                raise ValueError(
                    f"all images have {part} or none has: {has} has them, {lacks} lacks them; "
                    "convert each release by itself"
                )


def _fingerprint(folder: Path, found: Mapping[str, int]) -> str:
    """Which files, whose, and of what size and time: an interrupted conversion of others is not continued."""
    known = hashlib.sha256()
    for name, image_id in found.items():
        stat = (folder / name).stat()
        known.update(f"{name}\0{image_id}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return known.hexdigest()


def _spread(paths: Sequence[Path], n: int) -> list[Path]:
    return [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, n).round().astype(int))]


def _layout(paths: Sequence[Path]) -> bool:
    """Whether regions are columns; told to the user where it had to be inferred from lengths alone."""
    columns, inferred = regions_are_columns(read_file(path) for path in _spread(paths, LOOKED_AT))
    if inferred:
        o, d = as_regions(read_file(paths[0]), columns, paths[0]).shape
        tqdm.write(
            f"{paths[0].name} says no number of boxes: read as {o} regions, {d} wide (the longer side)", sys.stderr
        )
    return columns


def _sample(paths: Sequence[Path], columns: bool) -> Float[np.ndarray, "n d"]:
    """Regions of files spread evenly, float16."""
    rows = []
    for path in _spread(paths, SAMPLED):
        x = as_regions(read_file(path), columns, path)
        if rows and x.shape[1] != rows[0].shape[1]:
            raise ValueError(
                f"features are equally wide: {path} has {x.shape[1]}, files before it {rows[0].shape[1]}; "
                "convert each release by itself"
            )
        some = np.unique(np.linspace(0, len(x) - 1, SAMPLED_REGIONS).round().astype(int))
        rows.append(np.clip(x[some], -65504, 65504).astype(np.float16))
    return np.concatenate(rows)
