"""The file of region features, as arrays: how it is laid out, mapped and checked. No torch: `features.store` adds it.

File format (HDF5): `features` [n, o, d] as uint8 codes with `scale` [d] and `offset` [d] (x = codes * scale + offset),
or as float16 / float32; `image_ids` [n], integers or texts as the questions have them; optional `boxes` [n, o, 4] in
pixels (x0, y0, x1, y1) and `sizes` [n, 2] (width, height). Images with unequal numbers of regions lie one after the
other: `features` [regions, d], `boxes` [regions, 4], and `first` [n + 1], where each image's regions begin and the last
one's end; optional `labels` [n], class ids. Stored in one piece, `features` is mapped in place; a chunked or compressed
file is unpacked once into the cache folder (`$XDG_CACHE_HOME/vqabook`), never beside the user's data.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Shaped

from vqabook.features.codes import spread
from vqabook.files import cache_folder, portable, read_or_make, tell_damage, written_whole

PARTS = ("scale", "offset", "boxes", "sizes", "first", "labels")  # that a file may have besides
SAMPLE_PIECES, SAMPLE_BYTES = 16, 4 << 20  # of a float file that is opened


def map_features(path: str | os.PathLike, *, width: int | None = None) -> dict[str, np.ndarray]:
    """The arrays of the feature file at `path`: "codes", mapped, "image_ids" as int64 or text, and those of `PARTS`.

    Raises as `store.open_features`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"region features are read from an HDF5 file: {path} does not exist; check data_root")
    rule = "a feature file is HDF5 with `features` and `image_ids`"
    with tell_damage(path, rule, OSError, KeyError, advice="fetch or extract it again"), h5py.File(path, "r") as file:
        codes, parts = _map_codes(file, path), {"image_ids": read_ids(file)}
        parts |= {k: file[k][()] for k in PARTS if k in file}
    check_parts(path, codes, parts, width)
    parts |= {k: parts[k].astype(np.float32) for k in ("scale", "offset") if k in parts}
    check_finite(path, [*(parts[k] for k in ("scale", "offset") if k in parts), *sample(codes)])
    return {"codes": codes, **parts}


def check_numbers(path: str | os.PathLike) -> None:
    """Look at every number of a feature file. Raises as `map_features`, and for NaN or infinity anywhere.

    Reads the whole file: minutes for 18 GB.
    """
    codes = map_features(path)["codes"]
    if codes.dtype != np.uint8:
        check_finite(Path(path), (codes[start : start + 256] for start in range(0, len(codes), 256)))


def read_ids(file: h5py.File) -> Shaped[np.ndarray, " n"]:
    """The images' ids of an open feature file: int64, or text."""
    ids = file["image_ids"]
    return ids.asstr()[()].astype(np.str_) if h5py.check_string_dtype(ids.dtype) else ids[()].astype(np.int64)


def _map_codes(file: h5py.File, path: Path) -> np.ndarray:
    """The array itself, mapped: in place when HDF5 stores it in one piece, else through an unpacked copy."""
    features = file["features"]
    rule, rank = ("[regions, d]", 2) if "first" in file else ("[n, o, d]", 3)
    if features.ndim != rank or features.dtype not in (np.uint8, np.float16, np.float32) or 0 in features.shape:
        raise ValueError(
            f"`features` is {rule} in uint8, float16 or float32, got {features.shape} {features.dtype} in {path}; "
            "convert it"
        )
    offset = features.id.get_offset()
    if offset is not None:
        return np.memmap(path, mode="c", dtype=features.dtype, shape=features.shape, offset=offset)
    unpacked = cache_file(f"{path.stem}-{{}}.npy", [path])
    return read_or_make(
        unpacked, lambda target: map_array(target, features.shape, features.dtype), partial(_unpack, features)
    )


def cache_file(name: str, sources: Iterable[Path], *knobs: object) -> Path:
    """Where to keep what follows from these very files and knobs; `name` has {} for their hash."""
    digest = hashlib.sha256(repr(knobs).encode())
    for path in sources:
        stat = path.stat()
        digest.update(f"{portable(path.resolve())} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return cache_folder() / name.format(digest.hexdigest()[:16])


def map_array(path: Path, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """The array of an .npy file, mapped; raises unless it has this shape and dtype."""
    array = np.load(path, mmap_mode="c", allow_pickle=False)
    if (array.shape, array.dtype) != (shape, dtype):
        raise ValueError(f"an array of {shape} {np.dtype(dtype)} was kept, this is {array.shape} {array.dtype}")
    return array


def _unpack(features: h5py.Dataset, target: Path) -> None:
    """Write `features` as an .npy file, through `write`: a full disk behind a memory map would kill the process."""
    header = {"descr": np.lib.format.dtype_to_descr(features.dtype), "fortran_order": False, "shape": features.shape}
    with written_whole(target, "try again, or set XDG_CACHE_HOME") as partial, open(partial, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(features), 1024):
            file.write(np.ascontiguousarray(features[start : start + 1024]).data)


def check_parts(path: Path, codes: np.ndarray, parts: Mapping[str, np.ndarray], width: int | None) -> None:
    """Raise ValueError unless ids, offsets, scales and widths fit `codes`."""
    d, ids = codes.shape[-1], parts["image_ids"]
    n = len(parts["first"]) - 1 if "first" in parts else len(codes)
    if len(ids) != n or len(np.unique(ids)) != n:
        raise ValueError(
            f"each image has one feature row: {path} has {n} rows for {len(np.unique(ids))} distinct ids; "
            "extract it again"
        )
    if "first" in parts:
        first = parts["first"]
        if first[0] != 0 or first[-1] != len(codes) or (np.diff(first) < 1).any():
            raise ValueError(
                f"`first` rises from 0 to the number of regions, {len(codes)} here, one region an image at least; "
                f"in {path} it does not; convert it again"
            )
    if "boxes" in parts and parts["boxes"].shape != (*codes.shape[:-1], 4):
        raise ValueError(
            f"`boxes` has four numbers a region, {(*codes.shape[:-1], 4)} here, got {parts['boxes'].shape} in {path}; "
            "convert it again"
        )
    if width is not None and d != width:
        raise ValueError(
            f"the model reads features {width} wide, {path} holds {d}; "
            f"set the model's feature width to {d} or use its features"
        )
    if any(parts[k].shape != (d,) for k in ("scale", "offset") if k in parts):
        raise ValueError(
            f"`scale` and `offset` have one value a feature, {d} here; in {path} they do not; store them anew"
        )
    if codes.dtype == np.uint8 and not {"scale", "offset"} <= parts.keys():
        raise ValueError(f"uint8 features need `scale` and `offset`: {path} lacks them; store both or use float16")


def check_finite(path: Path, blocks: Iterable[np.ndarray]) -> None:
    """Raise ValueError if a number is NaN or infinite."""
    if not all(np.isfinite(block).all() for block in blocks):
        raise ValueError(f"features are finite numbers: {path} holds NaN or infinity; extract the damaged images again")


def sample(codes: np.ndarray) -> Iterator[np.ndarray]:
    """Pieces spread evenly over float features, 64 MiB in all; a file that is no larger, whole; of codes nothing."""
    if codes.dtype == np.uint8:
        return
    rows = max(1, min(SAMPLE_BYTES // (codes[0].size * codes.itemsize), -(-len(codes) // SAMPLE_PIECES)))
    for start in spread(len(codes) - rows + 1, SAMPLE_PIECES):
        yield codes[start : start + rows]
