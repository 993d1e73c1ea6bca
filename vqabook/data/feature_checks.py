"""What a feature file must be, each rule with its sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

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
    n = len(codes)
    rows = max(1, min(SAMPLE_BYTES // (codes[0].size * codes.itemsize), -(-n // SAMPLE_PIECES)))
    for start in np.linspace(0, n - rows, SAMPLE_PIECES).round().astype(int):
        yield codes[start : start + rows]
