"""Grid and region features that are published as a folder of one file an image become a feature file.

Grid features: Jiang et al. 2020, arXiv:2001.03615. Memory does not grow with the folder, and an interrupted conversion
goes on.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from vqabook.features.codes import spread
from vqabook.features.convert import SAMPLED, BadRow, Conversion, Row
from vqabook.features.image_files import LAST_DIGITS, find_images, number_ids
from vqabook.features.writer import FeatureWriter
from vqabook.files import is_hindrance, portable, tell_damage
from vqabook.progress import Bar

LOOKED_AT = 16  # files, spread evenly, that tell the layout where one does not
SAMPLED_REGIONS = 36  # of each sampled file: 75 MB of 2048 channels
SUFFIXES = {".npy", ".npz", ".pt", ".pth"}
KEYS = {  # what a member of an .npz is called
    "features": ("x", "features"),
    "boxes": ("bbox", "boxes"),
    "count": ("num_bbox", "num_boxes"),
    "width": ("image_w", "image_width", "width"),
    "height": ("image_h", "image_height", "height"),
}
AGAIN = "download it or extract the image again"


def convert_arrays(
    folder: str | os.PathLike,
    out: str | os.PathLike,
    *,
    dtype: str = "float16",
    adaptive: bool = False,
    ids: str = LAST_DIGITS,
    n_images: int | None = None,
) -> int:
    """Convert a folder of .npz, .npy, .pth or .pt files into the feature file `out`; returns the number of images.

    `dtype`: float16, or uint8 with a range a channel from a sample. `adaptive`: images have unequal numbers of
    regions, as grids of images that keep their proportions have. `ids`: see `find_images`. `n_images`: how many must
    come. Boxes and image sizes are kept where the files have them.
    """
    folder, out = Path(folder), Path(out)
    given = find_images(folder, ids, suffixes=SUFFIXES, rule="features are converted from a folder of arrays")
    if n_images is not None and len(given) != n_images:
        raise ValueError(f"{n_images} images are expected, {folder} has {len(given)}; download the others")
    recipe = {"folder": _fingerprint(folder, given), "options": [adaptive, dtype]}
    id_of, names = number_ids(given)
    with FeatureWriter(out, recipe, dtype, names=names) as writer:
        paths = [folder / name for name in id_of]
        columns = _find_layout(paths)
        if not adaptive:
            o, d = as_regions(read_file(paths[0]), columns, paths[0]).shape
            writer.reserve(len(paths) * o * d * np.dtype(dtype).itemsize)
        conversion, done = Conversion(writer, adaptive, _sample(paths, columns)), writer.images
        left = list(zip(paths, id_of.values(), strict=True))[done:]
        for path, image_id in Bar(left, total=len(paths), initial=done, unit="image", desc=out.name):
            file = read_file(path)
            conversion.append(Row(image_id, as_regions(file, columns, path), file.boxes, file.size, portable(path)))
        return conversion.finish(source=portable(folder.resolve().name))


def _fingerprint(folder: Path, id_of: Mapping[str, int | str]) -> str:
    """Which files, whose, and of what size and time: an interrupted conversion of others is not continued."""
    known = hashlib.sha256()
    for name, image_id in id_of.items():
        stat = (folder / name).stat()
        known.update(f"{portable(name)}\0{image_id}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return known.hexdigest()


def _find_layout(paths: Sequence[Path]) -> bool:
    """Whether matrices are [d, o]; maps always have their channels first.

    The number of boxes in a file decides; else the side that differs between files is the regions; else the shorter
    side is, as in every release: said to the user, since lengths alone told it.
    """
    shapes = []
    for i in spread(len(paths), LOOKED_AT):
        file = read_file(paths[i])
        if file.features.ndim != 2:
            return False
        rows, columns = file.features.shape
        if rows != columns and file.regions in (rows, columns):
            return file.regions == columns
        shapes.append((rows, columns))
    if len(set(shapes)) > 1:
        return len({rows for rows, _ in shapes}) == 1
    o, d = sorted(shapes[0])
    Bar.write(f"{paths[0].name} says no number of boxes: read as {o} regions, {d} wide (the longer side)", sys.stderr)
    return shapes[0] != (o, d)


def _sample(paths: Sequence[Path], columns: bool) -> Iterator[Float[np.ndarray, "n d"]]:
    """Regions of files spread evenly."""
    for i in spread(len(paths), SAMPLED):
        x = as_regions(read_file(paths[i]), columns, paths[i])
        yield x[spread(len(x), SAMPLED_REGIONS)]


class ArrayFile(NamedTuple):
    """One image's file as it is stored; `regions`: how many there are, where the file says it."""

    features: np.ndarray
    boxes: Float[np.ndarray, "o 4"] | None = None
    size: tuple[int, int] | None = None
    regions: int | None = None


def read_file(path: str | os.PathLike) -> ArrayFile:
    """Read one file; features and boxes become float32. Raises ValueError, naming it, if it is not what it must be."""
    path = Path(path)
    try:
        with tell_damage(path, "features come as whole files"):
            file = _READERS[path.suffix.lower()](path)
        for name, values in (("features", file.features), ("boxes", file.boxes)):
            if values is not None and not np.isfinite(values).all():
                raise BadRow(
                    f"features and boxes are finite numbers: {path} has NaN or infinity in its {name}; {AGAIN}"
                )
        return file
    except BadRow:
        raise
    except Exception as error:  # a damaged header or pickle fails in any way
        if is_hindrance(error):
            raise
        why = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}" if str(error) else type(error).__name__
        if "pickle" in str(error).lower():  # the libraries' own advice is to load them all the same
            why = "it is damaged, or holds pickled Python objects, which are never loaded"
        raise ValueError(
            f"features come as whole .npz, .npy, .pth or .pt files of numbers: {path} is none ({why}); {AGAIN}"
        ) from error


def as_regions(file: ArrayFile, columns: bool, path: Path) -> Float[np.ndarray, "o d"]:
    """One row a region; of a map [d, h, w], region row * w + column. `columns`: a matrix has a region a column."""
    x, shape = file.features, list(file.features.shape)
    if x.ndim == 4 and len(x) == 1:
        x = x[0]
    if not x.size or x.ndim not in (2, 3):
        raise ValueError(
            f"an image has at least one region, as [o, d], [d, o], [d, h, w] or [1, d, h, w], got {shape} in {path}"
        )
    if x.ndim == 3 and len(x) < x.shape[2]:
        raise ValueError(f"a map has its channels first, [d, h, w], got {shape} in {path}; transpose it")
    x = x.reshape(len(x), -1).T if x.ndim == 3 else x.T if columns else x
    if file.regions not in (None, len(x)):
        raise ValueError(
            f"every region has its features: {path} says {file.regions} regions and has {len(x)} ({shape}); {AGAIN}"
        )
    return x


def _read_npz(path: Path) -> ArrayFile:
    archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it is one array; name it .npy")
    with archive as file:
        names = {part: next((k for k in keys if k in file.files), None) for part, keys in KEYS.items()}
        if names["features"] is None:
            raise BadRow(
                f"an .npz holds its features as {' or '.join(KEYS['features'])}: {path} has "
                f"{', '.join(file.files) or 'nothing'}; rename the array"
            )
        there = {part: name for part, name in names.items() if name is not None}
        parts = {part: file[name] for part, name in there.items()}
    numbers = {k: _to_integer(parts[k], there[k], path) for k in ("count", "width", "height") if k in parts}
    boxes = parts.get("boxes")
    if boxes is not None:
        boxes = _to_floats(boxes, "boxes", path)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise BadRow(f"a box is four numbers, [o, 4]: {path} has boxes {list(boxes.shape)}; {AGAIN}")
        if numbers.setdefault("count", len(boxes)) != len(boxes):
            raise BadRow(f"every region has a box: {path} has {len(boxes)} and says {numbers['count']}; {AGAIN}")
    size = (numbers["width"], numbers["height"]) if {"width", "height"} <= numbers.keys() else None
    return ArrayFile(_to_floats(parts["features"], "features", path), boxes, size, numbers.get("count"))


def _read_npy(path: Path) -> ArrayFile:
    features = np.load(path, allow_pickle=False)
    if not isinstance(features, np.ndarray):
        raise ValueError("it is an archive; name it .npz")
    return ArrayFile(_to_floats(features, "features", path))


def _read_tensor(path: Path) -> ArrayFile:
    features = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(features, torch.Tensor) or features.layout != torch.strided:
        raise BadRow(
            f"a {path.suffix} holds one dense tensor: {path} holds a {type(features).__name__}; save its features"
        )
    if not features.is_floating_point():
        raise BadRow(f"features are floating-point numbers: those of {path} are {features.dtype}; {AGAIN}")
    return ArrayFile(features.detach().float().numpy())


_READERS = {".npz": _read_npz, ".npy": _read_npy, ".pth": _read_tensor, ".pt": _read_tensor}


def _to_floats(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    if values.dtype.kind != "f":
        raise BadRow(f"{name} are floating-point numbers: those of {path} are {values.dtype}; {AGAIN}")
    with np.errstate(over="ignore"):  # infinity is refused
        return values.astype(np.float32, copy=False)


def _to_integer(values: np.ndarray, name: str, path: Path) -> int:
    number = values.item() if values.size == 1 and values.dtype.kind in "iuf" else -1
    if not 0 <= number < 2**31 or number != int(number):
        raise BadRow(f"`{name}` is one whole number from 0: in {path} it is not; {AGAIN}")
    return int(number)
