"""Region features: one contiguous array, memory-mapped, and on the device once if it fits. A batch is an index.

File format (HDF5): `features` [n, o, d] as uint8 codes with `scale` [d] and `offset` [d] (x = codes * scale + offset),
or as float16 / float32; `image_ids` [n]; optional `boxes` [n, o, 4] in pixels (x0, y0, x1, y1). Stored in one piece,
`features` is mapped in place; a chunked or compressed file is unpacked once into the cache folder
(`$XDG_CACHE_HOME/vqabook`), never beside the user's data.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class FeatureStore:
    """Region features of all images. `gather(rows)` gives float regions [b, o, d]."""

    path: Path
    image_ids: Int[np.ndarray, " n"]
    codes: Tensor  # [n, o, d] uint8, float16 or float32; memory-mapped until `to`
    scale: Float[Tensor, " d"] | None
    offset: Float[Tensor, " d"] | None
    boxes: Float[np.ndarray, "n o 4"] | None = None

    @property
    def n_regions(self) -> int:
        return self.codes.shape[1]

    @property
    def width(self) -> int:
        return self.codes.shape[2]

    def rows_of(self, image_ids: Int[np.ndarray, " q"]) -> Int[np.ndarray, " q"]:
        """Row of each image id. Raises if an image has no features."""
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
        picked = torch.index_select(self.codes, 0, rows.to(self.codes.device)).to(rows.device, non_blocking=True)
        if self.scale is None:
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
        scale, offset = (None if x is None else x.to(device) for x in (self.scale, self.offset))
        if not decoded:
            return FeatureStore(self.path, self.image_ids, self.codes.to(device, copy=True), scale, offset, self.boxes)
        whole = torch.empty(self.codes.shape)
        for some, codes in zip(whole.split(2048), self.codes.split(2048), strict=True):
            torch.addcmul(offset, codes, scale, out=some)
        return FeatureStore(self.path, self.image_ids, whole, None, None, self.boxes)


def open_features(path: str | os.PathLike, *, width: int | None = None) -> FeatureStore:
    """Map the feature file at `path`. Raises if it is damaged, holds NaN codes' scale, or is not `width` wide."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"region features are read from an HDF5 file: {path} does not exist; check data_root")
    try:
        with h5py.File(path, "r") as file:
            codes, parts = _map_codes(file, path), {"image_ids": file["image_ids"][()]}
            parts |= {k: file[k][()] for k in ("scale", "offset", "boxes") if k in file}
    except (OSError, KeyError) as error:
        raise ValueError(
            f"a feature file is HDF5 with `features` and `image_ids`: {path} is not ({error}); "
            "fetch or extract it again"
        ) from error
    _check(path, codes, parts, width)
    scale, offset = (
        None if k not in parts else torch.from_numpy(parts[k].astype(np.float32)) for k in ("scale", "offset")
    )
    return FeatureStore(
        path, parts["image_ids"].astype(np.int64), torch.from_numpy(codes), scale, offset, parts.get("boxes")
    )


def _map_codes(file: h5py.File, path: Path) -> np.ndarray:
    """The array itself, mapped: in place when HDF5 stores it in one piece, else through an unpacked copy."""
    features = file["features"]
    if features.ndim != 3 or features.dtype not in (np.uint8, np.float16, np.float32):
        raise ValueError(
            f"`features` is [n, o, d] in uint8, float16 or float32, got {features.shape} {features.dtype} in {path}; "
            "convert it"
        )
    offset = features.id.get_offset()
    if offset is not None:
        return np.memmap(path, mode="c", dtype=features.dtype, shape=features.shape, offset=offset)
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:16]
    unpacked = cache_folder() / f"{path.stem}-{key}.npy"
    if not unpacked.exists():
        _unpack(features, unpacked)
    return np.load(unpacked, mmap_mode="c")


def cache_folder() -> Path:
    """Where unpacked copies live: `$XDG_CACHE_HOME/vqabook`, by default `~/.cache/vqabook`. Safe to delete any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vqabook"


def _unpack(features: h5py.Dataset, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        whole = np.lib.format.open_memmap(partial, mode="w+", dtype=features.dtype, shape=features.shape)
        for start in range(0, len(features), 1024):
            whole[start : start + 1024] = features[start : start + 1024]
        whole.flush()
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _check(path: Path, codes: np.ndarray, parts: dict, width: int | None) -> None:
    n, _, d = codes.shape
    ids = parts["image_ids"]
    if len(ids) != n or len(np.unique(ids)) != n:
        raise ValueError(
            f"each image has one feature row: {path} has {n} rows for {len(np.unique(ids))} distinct ids; "
            "extract it again"
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
    floats = [parts[k] for k in ("scale", "offset") if k in parts]
    if codes.dtype != np.uint8:
        floats += [codes[start : start + 1024] for start in range(0, n, 1024)]
    if not all(np.isfinite(x).all() for x in floats):
        raise ValueError(f"features are finite numbers: {path} holds NaN or infinity; extract the damaged images again")
