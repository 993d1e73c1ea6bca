"""Region features: one contiguous array, memory-mapped, and on the device once if it fits. A batch is an index.

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
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, SupportsIndex

import h5py
import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from vqabook.features.codes import spread
from vqabook.files import cache_folder, portable, read_or_make, tell_damage, written_whole


@dataclass(frozen=True)
class FeatureStore:
    """Region features of all images. `gather(rows)` gives float regions [b, o, d].

    With unequal numbers of regions (`first` is there) an image is padded with zeros up to the widest of the *store*:
    in a batch of 512 the widest of the batch is nearly always as wide, and a constant shape needs no wait for a GPU
    and no second compilation.
    """

    path: Path
    image_ids: Shaped[np.ndarray, " n"]
    codes: Tensor  # [n, o, d] or [regions, d], uint8, float16 or float32; memory-mapped until `to`
    scale: Float[Tensor, " d"] | None = None
    offset: Float[Tensor, " d"] | None = None
    boxes: Float[np.ndarray, "*o 4"] | None = None
    sizes: Int[np.ndarray, "n 2"] | None = None
    first: Int[Tensor, " n1"] | None = None
    labels: Int[np.ndarray, " n"] | None = None
    mapped: bool = field(default=False, init=False)  # as the file has it: a pickle names the file, to map it again

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        if not self.mapped:
            return super().__reduce_ex__(protocol)
        return _map_again, (self.path.absolute(), self.image_ids, self.codes.shape)

    @cached_property
    def n_regions(self) -> int:
        """Regions of every image, or of the one that has most."""
        return self.codes.shape[1] if self.first is None else int(self.first.diff().max())

    @property
    def width(self) -> int:
        return self.codes.shape[-1]

    def rows_of(self, image_ids: Shaped[np.ndarray, " q"]) -> Int[np.ndarray, " q"]:
        """Row of each image id. Raises if an image has no features, or ids are numbers here and texts there."""
        if len(image_ids) and (image_ids.dtype.kind == "U") != (self.image_ids.dtype.kind == "U"):
            raise ValueError(
                f"every question's image needs features under its id: the questions have {image_ids[0].item()!r}, "
                f"{self.path} {self.image_ids[0].item()!r}; write both as numbers, or both as texts"
            )
        order = np.argsort(self.image_ids, kind="stable")
        at = np.searchsorted(self.image_ids, image_ids, sorter=order).clip(max=len(order) - 1)
        rows = order[at]
        missing = self.image_ids[rows] != image_ids
        if missing.any():
            raise ValueError(
                f"every question's image needs features: {len(np.unique(image_ids[missing]))} images of the questions "
                f"(first: {image_ids[missing][0]}) are not among the {len(order)} in {self.path}; "
                "drop those questions or extract their features"
            )
        return rows

    def gather(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b o d"]:
        """Features of the given rows, decoded to float on the rows' device."""
        if self.first is None:
            return self._decode(rows)
        here = rows.to(self.first.device)
        begin, end = self.first[here, None], self.first[here + 1, None]
        at = begin + torch.arange(self.n_regions, device=here.device)
        # padding re-reads the image's last region, which is at hand, and is then set to zero
        regions = self._decode(torch.minimum(at, end - 1).flatten().to(rows.device))
        padding = (at >= end).to(rows.device)
        return regions.view(*at.shape, -1).masked_fill(padding[..., None], 0.0)

    def _decode(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b *o d"]:
        picked = torch.index_select(self.codes, 0, rows.to(self.codes.device)).to(rows.device, non_blocking=True)
        if self.scale is None or self.offset is None:
            return picked.float()
        return torch.addcmul(self.offset.to(rows.device), picked, self.scale.to(rows.device))

    def to(self, device: torch.device | str, *, budget_bytes: int = 8 << 30) -> FeatureStore:
        """Copy onto `device` if the decoded array fits in `budget_bytes`: a batch is then one index; else stay mapped.

        On a CPU codes are decoded to float32 (a gather is then a copy); on a GPU the codes travel as they are.
        """
        device = torch.device(device)
        decoded = device.type == "cpu" and self.scale is not None
        n_bytes = self.codes.numel() * (4 if decoded else self.codes.element_size())
        if n_bytes > budget_bytes:
            return self
        scale, offset, first = (None if x is None else x.to(device) for x in (self.scale, self.offset, self.first))
        if not decoded or scale is None or offset is None:
            return replace(self, codes=self.codes.to(device, copy=True), scale=scale, offset=offset, first=first)
        whole = torch.empty(self.codes.shape)
        for block, codes in zip(whole.split(2048), self.codes.split(2048), strict=True):
            torch.addcmul(offset, codes, scale, out=block)
        return replace(self, codes=whole, scale=None, offset=None, first=first)


def open_features(path: str | os.PathLike, *, width: int | None = None) -> FeatureStore:
    """Map the feature file at `path`. Raises if it is damaged, holds NaN codes' scale, or is not `width` wide.

    Of float features a sample is looked at (64 MiB; all of a small file): reading 18 GB would take minutes. Files of
    ours are checked number by number when they are written; `check_numbers` does it for any other.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"region features are read from an HDF5 file: {path} does not exist; check data_root")
    rule = "a feature file is HDF5 with `features` and `image_ids`"
    with tell_damage(path, rule, OSError, KeyError, advice="fetch or extract it again"), h5py.File(path, "r") as file:
        codes, parts = _map_codes(file, path), {"image_ids": read_ids(file)}
        parts |= {k: file[k][()] for k in ("scale", "offset", "boxes", "sizes", "first", "labels") if k in file}
    check_parts(path, codes, parts, width)
    ranges = {k: torch.from_numpy(parts[k].astype(np.float32)) for k in ("scale", "offset") if k in parts}
    check_finite(path, [*(parts[k] for k in ranges), *sample(codes)])
    store = FeatureStore(
        path,
        parts["image_ids"],
        torch.from_numpy(codes),
        boxes=parts.get("boxes"),
        sizes=parts.get("sizes"),
        first=torch.from_numpy(parts["first"].astype(np.int64)) if "first" in parts else None,
        labels=parts.get("labels"),
        **ranges,
    )
    object.__setattr__(store, "mapped", True)  # not of what `replace` makes of it
    return store


def _map_again(path: Path, image_ids: Shaped[np.ndarray, " n"], shape: torch.Size) -> FeatureStore:
    """The store of a pickle, on another process or machine: rows mean the same images there, or nothing is read."""
    store = open_features(path)
    if store.codes.shape != shape or not np.array_equal(store.image_ids, image_ids):
        raise ValueError(
            f"a pickled table reads its feature file where it lay: {path} has other images since; make the table anew"
        )
    return store


@dataclass(frozen=True)
class Gather:
    """The lookup of a table of questions: of an image row its regions; all other columns pass."""

    features: FeatureStore

    def __call__(self, image: Int[Tensor, " b"], *columns: Tensor) -> tuple[Tensor, ...]:
        return self.features.gather(image), *columns


def read_ids(file: h5py.File) -> Shaped[np.ndarray, " n"]:
    """The images' ids of an open feature file: int64, or text."""
    ids = file["image_ids"]
    return ids.asstr()[()].astype(np.str_) if h5py.check_string_dtype(ids.dtype) else ids[()].astype(np.int64)


def check_numbers(path: str | os.PathLike) -> FeatureStore:
    """The store at `path`, every number of it looked at. Raises as `open_features`, and for NaN or infinity anywhere.

    Reads the whole file: minutes for 18 GB.
    """
    store = open_features(path)
    if store.codes.dtype != torch.uint8:
        check_finite(store.path, (codes.numpy() for codes in store.codes.split(256)))
    return store


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


SAMPLE_PIECES, SAMPLE_BYTES = 16, 4 << 20  # of a float file that is opened


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
