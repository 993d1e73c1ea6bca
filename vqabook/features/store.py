"""Region features on a device: memory-mapped from their file (`features.file`), and on the device once if they fit.

A batch is an index.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from vqabook.features.file import map_features


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
    ours are checked number by number when they are written; `file.check_numbers` does it for any other.
    """
    parts: dict[str, Any] = map_features(path, width=width)
    if "first" in parts:
        parts["first"] = parts["first"].astype(np.int64)
    parts |= {k: torch.from_numpy(parts[k]) for k in ("codes", "scale", "offset", "first") if k in parts}
    store = FeatureStore(Path(path), **parts)
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
