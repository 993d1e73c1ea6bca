"""VQA-HAT: where people look to answer a question, gathered by letting them sharpen a blurred image.

Das et al., "Human Attention in Visual Question Answering: Do Humans and Deep Networks Look at the Same Regions?", 2016,
arXiv:1606.05589. Official layout: vqahat_train/ and vqahat_val/ with grey PNG maps of the images' size, named
<question id>_<annotator>.png: one annotator in train, three in val. The ids are VQA *v1*'s (ten times the image id,
plus a digit), which VQA v2 (a thousand times the image id) does not share.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from vqabook.core import Table
from vqabook.data.description import Description, Picture
from vqabook.data.features import cache_folder

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SPLITS = ("train", "val")
GRID = 14  # Das et al. 2016 compare maps as ranks of 14 x 14 cells
_NAME = re.compile(r"(\d+)_([1-9])\.png")


@dataclass(frozen=True)
class HumanMaps:
    """Maps [n, cells] in reading order, each of sum 1, with where they come from. `n_blank` more were blank."""

    question_id: Int[np.ndarray, " n"]
    annotator: Int[np.ndarray, " n"]  # 1, 2, 3
    split: Int[np.ndarray, " n"]  # a place in SPLITS
    maps: Float[np.ndarray, "n cells"]
    n_blank: int


def load_hat(
    folder: Path, *, grid: int = GRID, question_ids: Iterable[int] | Int[np.ndarray, " q"] | None = None
) -> Table:
    """Inputs (question id,), target: a human map [n, grid * grid] of sum 1. side: "annotator", "split".

    One row a map, so a question of val has up to three. `question_ids` keeps those questions alone.
    """
    found = read_maps(folder, grid=grid, question_ids=question_ids)
    return Table(
        inputs=(torch.from_numpy(found.question_id),),
        target=torch.from_numpy(found.maps),
        n_classes=grid * grid,
        side={"annotator": torch.from_numpy(found.annotator), "split": torch.from_numpy(found.split)},
    )


def read_maps(
    folder: Path, *, grid: int = GRID, question_ids: Iterable[int] | Int[np.ndarray, " q"] | None = None
) -> HumanMaps:
    """Maps of both splits as far as they are there, by split, question and annotator.

    A cell is the mean over its area; a pixel across a border counts on each side by its share. The papers name no
    filter; bilinear sampling of a 640-pixel row at 14 places would miss most of a thin stroke. A map that is zero
    everywhere holds no attention and cannot be normalised: it is left out and counted. Reduced maps are kept in the
    cache folder.
    """
    if grid < 1:
        raise ValueError(f"maps are reduced to grid x grid cells, grid at least 1, got {grid}; the paper's is {GRID}")
    files = _files(folder)
    if question_ids is not None:
        wanted = {int(i) for i in question_ids}
        files = [row for row in files if row[1] in wanted]
        if not files:
            raise ValueError(
                f"none of the {len(wanted)} question_ids has a map in {folder}; VQA-HAT has VQA v1's ids, ten times "
                "the image id plus a digit"
            )
    sums = _cached([path for *_, path in files], grid)
    total = sums.sum(1)
    kept = total > 0
    if not kept.any():
        raise ValueError(f"a human map has attention somewhere, all {len(files)} in {folder} are blank; fetch it again")
    split, question, annotator = np.array([row[:3] for row in files], dtype=np.int64).T
    maps = (sums[kept] / total[kept, None]).astype(np.float32)
    return HumanMaps(question[kept], annotator[kept], split[kept], maps, int((~kept).sum()))


def _files(folder: Path) -> list[tuple[int, int, int, Path]]:
    """(split, question, annotator, path) of every map, sorted."""
    found = []
    for split, name in enumerate(SPLITS):
        place = folder / f"vqahat_{name}"
        for path in place.iterdir() if place.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match:
                found.append((split, int(match[1]), int(match[2]), path))
            elif path.suffix == ".png" and not path.name.startswith("."):
                raise ValueError(
                    f"VQA-HAT's maps are named <question id>_<annotator>.png, got {path}; fetch the set again"
                )
    if not found:
        raise FileNotFoundError(
            f"VQA-HAT is a folder vqahat_train or vqahat_val of PNG maps, and {folder} has neither, or no map in it; "
            "check data_root or fetch the set"
        )
    return sorted(found)


def _cached(paths: list[Path], grid: int) -> Float[np.ndarray, "n cells"]:
    """Means of all maps' cells: from the cache if these very files were reduced before."""
    digest = hashlib.sha256(f"{grid}\n".encode())
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    target = cache_folder() / f"hat-{digest.hexdigest()[:16]}.npy"
    if target.exists():
        return np.load(target, allow_pickle=False)
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow decodes outside Python's lock
        reduced = threads.map(lambda path: _reduce(path, grid), paths)
        cells = np.stack(list(tqdm(reduced, total=len(paths), desc="human maps", disable=None, delay=2)))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.save(file, cells)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return cells


def _reduce(path: Path, grid: int) -> Float[np.ndarray, " cells"]:
    try:
        from PIL import Image
    except ImportError as error:
        raise RuntimeError("VQA-HAT is read with Pillow, which is missing; pip install vqabook[data]") from error
    try:
        with Image.open(path) as image:
            grey = image if image.mode in ("L", "I", "F") or image.mode.startswith("I;16") else image.convert("L")
            pixels = np.asarray(grey, dtype=np.float32)
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # SyntaxError: Pillow's word for a broken file
        raise ValueError(
            f"a human map is a whole PNG image: {path} does not decode ({error}); fetch it again"
        ) from error
    rows, columns = (_shares(n, grid) for n in pixels.shape)
    return (rows @ pixels @ columns.T).ravel()


@lru_cache(maxsize=64)
def _shares(n: int, grid: int) -> Float[np.ndarray, "grid n"]:
    """What each of `n` pixels of a line gives to the mean of each cell: its overlap over the cell's length."""
    edges = np.arange(grid + 1) * n / grid
    pixel = np.arange(n)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (overlap.clip(min=0) * grid / n).astype(np.float32)


def describe(folder: Path) -> Description:
    """Counts, the mean map, how far attention keeps to the middle, and how well people agree."""
    found = read_maps(folder)
    square = found.maps.astype(np.float64).reshape(-1, GRID, GRID)
    middle = square[:, 3:-3, 3:-3].sum((1, 2)).mean()
    peaks = np.bincount(found.maps.argmax(1), minlength=GRID * GRID)
    order = [i for i in np.argsort(-peaks, kind="stable")[:50] if peaks[i]]
    agreement = human_agreement(found)
    picture = Picture(
        "images",
        {"labels": [f"mean of {len(square)} maps"], "png": [_png(square.mean(0))]},
        f"The mean of {len(square)} human attention maps on a grid of 14 by 14, white where people looked most.",
    )
    facts = {
        "questions": len(np.unique(found.question_id)),
        "blank maps left out": found.n_blank,
        "attention in the middle 8 x 8 of 14 x 14 cells, % (32.7 if even)": round(100 * middle.item(), 1),
    }
    if agreement is not None:
        facts["rank correlation between two people"] = round(agreement, 3)
    return Description(
        rows={name: int((found.split == i).sum()) for i, name in enumerate(SPLITS) if (found.split == i).any()},
        classes={f"peak in row {i // GRID}, column {i % GRID}": int(peaks[i]) for i in order},
        n_classes=GRID * GRID,
        picture=picture,
        facts=facts,
    )


def human_agreement(found: HumanMaps) -> float | None:
    """Mean Spearman correlation over pairs of people who saw the same question; None if no two did.

    Das et al. 2016 print 0.623 for val.
    """
    by_question: dict[int, list[int]] = {}
    for row, question in enumerate(found.question_id.tolist()):
        by_question.setdefault(question, []).append(row)
    pairs = [(a, b) for rows in by_question.values() for i, a in enumerate(rows) for b in rows[:i]]
    if not pairs:
        return None
    rows = sorted({row for pair in pairs for row in pair})
    ranks = {row: _ranks(found.maps[row]) for row in rows}
    return float(np.mean([ranks[a] @ ranks[b] for a, b in pairs]))


def _ranks(values: Float[np.ndarray, " cells"]) -> Float[np.ndarray, " cells"]:
    """Ranks, the mean rank for ties, centred and of length 1: a dot product of two is Spearman's correlation."""
    _, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[code]
    centred = rank - rank.mean()
    return centred / max(np.linalg.norm(centred), 1e-12)


def _png(cells: Float[np.ndarray, "h w"]) -> str:
    """A greyscale PNG file in base64, white where the map is largest, ten pixels a cell."""
    from PIL import Image

    grey = np.rint(255 * cells / cells.max()).astype(np.uint8).repeat(10, 0).repeat(10, 1)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
