"""One file of features an image: what a .npz, .npy, .pth or .pt says. Python objects in it are never loaded.

Layouts of the releases: MILVLG/openvqa and bottom-up-attention.pytorch, .npz with `x` [d, o] or [o, d], `bbox`,
`num_bbox`, `image_w` and `image_h` (GQA: `width`, `height`), and pickled `info`, which is not read; facebookresearch/
grid-feats-vqa, .pth with one tensor [1, d, h, w]; CLEVR maps, .npy [d, h, w].
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from jaxtyping import Float

SUFFIXES = {".npy", ".npz", ".pt", ".pth"}
KEYS = {  # what a member of an .npz is called
    "features": ("x", "features"),
    "boxes": ("bbox", "boxes"),
    "count": ("num_bbox", "num_boxes"),
    "width": ("image_w", "image_width", "width"),
    "height": ("image_h", "image_height", "height"),
}
AGAIN = "download it or extract the image again"


class ArrayFile(NamedTuple):
    """One image's file as it is stored; `regions`: how many there are, where the file says it."""

    features: np.ndarray
    boxes: Float[np.ndarray, "o 4"] | None = None
    size: tuple[int, int] | None = None
    regions: int | None = None


class BadFile(ValueError):
    """A file that opens and breaks the format, told in one sentence."""


def read_file(path: Path) -> ArrayFile:
    """Read one file; features and boxes become float32. Raises ValueError, naming it, if it is not what it must be."""
    try:
        found = _READERS[path.suffix.lower()](path)
        for name, values in (("features", found.features), ("boxes", found.boxes)):
            if values is not None and not np.isfinite(values).all():
                raise BadFile(
                    f"features and boxes are finite numbers: {path} has NaN or infinity in its {name}; {AGAIN}"
                )
        return found
    except BadFile:
        raise
    except Exception as error:  # a damaged header or pickle fails in any way
        if isinstance(error, OSError) and error.filename:  # it cannot be opened
            raise
        why = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}" if str(error) else type(error).__name__
        if "pickle" in str(error).lower():  # the libraries' own advice is to load them all the same
            why = "it is damaged, or holds pickled Python objects, which are never loaded"
        raise ValueError(
            f"features come as whole .npz, .npy, .pth or .pt files of numbers: {path} is none ({why}); {AGAIN}"
        ) from error


def as_regions(found: ArrayFile, columns: bool, path: Path) -> Float[np.ndarray, "o d"]:
    """One row a region; of a map [d, h, w], region row * w + column. `columns`: a matrix has a region a column."""
    x, shape = found.features, list(found.features.shape)
    if x.ndim == 4 and len(x) == 1:
        x = x[0]
    if not x.size or x.ndim not in (2, 3):
        raise ValueError(
            f"an image has at least one region, as [o, d], [d, o], [d, h, w] or [1, d, h, w], got {shape} in {path}"
        )
    if x.ndim == 3 and len(x) < x.shape[2]:
        raise ValueError(f"a map has its channels first, [d, h, w], got {shape} in {path}; transpose it")
    x = x.reshape(len(x), -1).T if x.ndim == 3 else x.T if columns else x
    if found.regions not in (None, len(x)):
        raise ValueError(
            f"every region has its features: {path} says {found.regions} regions and has {len(x)} ({shape}); {AGAIN}"
        )
    return x


def regions_are_columns(files: Iterable[ArrayFile]) -> tuple[bool, bool]:
    """Whether matrices are [d, o]; and whether only their longer side told it.

    The number of boxes in a file decides; else the side that differs between files is the regions; else the shorter
    side is, as in every release. Maps always have their channels first.
    """
    shapes = []
    for file in files:
        if file.features.ndim != 2:
            return False, False
        rows, columns = file.features.shape
        if rows != columns and file.regions in (rows, columns):
            return file.regions == columns, False
        shapes.append((rows, columns))
    rows, columns = ({shape[i] for shape in shapes} for i in (0, 1))
    if len(rows) > 1 or len(columns) > 1:
        return len(rows) == 1, False
    return min(rows) > min(columns), True


def _read_npz(path: Path) -> ArrayFile:
    archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it is one array; name it .npy")
    with archive as file:
        names = {part: next((k for k in keys if k in file.files), None) for part, keys in KEYS.items()}
        if names["features"] is None:
            raise BadFile(
                f"an .npz holds its features as {' or '.join(KEYS['features'])}: {path} has "
                f"{', '.join(file.files) or 'nothing'}; rename the array"
            )
        parts = {part: file[name] for part, name in names.items() if name is not None}
    numbers = {k: _integer(parts[k], names[k], path) for k in ("count", "width", "height") if k in parts}
    boxes = parts.get("boxes")
    if boxes is not None:
        boxes = _floats(boxes, "boxes", path)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise BadFile(f"a box is four numbers, [o, 4]: {path} has boxes {list(boxes.shape)}; {AGAIN}")
        if numbers.setdefault("count", len(boxes)) != len(boxes):
            raise BadFile(f"every region has a box: {path} has {len(boxes)} and says {numbers['count']}; {AGAIN}")
    size = (numbers["width"], numbers["height"]) if {"width", "height"} <= numbers.keys() else None
    return ArrayFile(_floats(parts["features"], "features", path), boxes, size, numbers.get("count"))


def _read_npy(path: Path) -> ArrayFile:
    found = np.load(path, allow_pickle=False)
    if not isinstance(found, np.ndarray):
        raise ValueError("it is an archive; name it .npz")
    return ArrayFile(_floats(found, "features", path))


def _read_tensor(path: Path) -> ArrayFile:
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, torch.Tensor) or found.layout != torch.strided:
        raise BadFile(
            f"a {path.suffix} holds one dense tensor: {path} holds a {type(found).__name__}; save its features"
        )
    if not found.is_floating_point():
        raise BadFile(f"features are floating-point numbers: those of {path} are {found.dtype}; {AGAIN}")
    return ArrayFile(found.detach().float().numpy())


_READERS = {".npz": _read_npz, ".npy": _read_npy, ".pth": _read_tensor, ".pt": _read_tensor}


def _floats(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    if values.dtype.kind != "f":
        raise BadFile(f"{name} are floating-point numbers: those of {path} are {values.dtype}; {AGAIN}")
    with np.errstate(over="ignore"):  # infinity is refused
        return values.astype(np.float32, copy=False)


def _integer(values: np.ndarray, name: str, path: Path) -> int:
    number = values.item() if values.size == 1 and values.dtype.kind in "iuf" else -1
    if not 0 <= number < 2**31 or number != int(number):
        raise BadFile(f"`{name}` is one whole number from 0: in {path} it is not; {AGAIN}")
    return int(number)
