"""VQA-HAT: where people look to answer a question, gathered by letting them sharpen a blurred image.

Das et al., "Human Attention in Visual Question Answering: Do Humans and Deep Networks Look at the Same Regions?", 2016,
arXiv:1606.05589. Official layout: vqahat_train/ and vqahat_val/ with grey PNG maps of the images' size, named
<question id>_<annotator>.png: one annotator in train, three in val. The ids are VQA *v1*'s (ten times the image id,
plus a digit), which VQA v2 (a thousand times the image id) does not share.
"""

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from vqabook.core import Table
from vqabook.features.file import cache_file, map_array
from vqabook.features.image_files import open_image
from vqabook.files import advise, read_or_make, written_whole
from vqabook.progress import Bar

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
    folder: str | os.PathLike, *, grid: int = GRID, question_ids: Iterable[int] | Int[np.ndarray, " q"] | None = None
) -> Table:
    """A row a map: inputs (question id,), target [n, grid * grid], a map of sum 1; side: "annotator", "split".

    A question of val has up to three rows; `split` is a place in SPLITS. What `read_maps` says holds here.
    """
    people = read_maps(folder, grid=grid, question_ids=question_ids)
    return Table(
        inputs=(torch.from_numpy(people.question_id),),
        target=torch.from_numpy(people.maps),
        n_classes=grid * grid,
        side={"annotator": torch.from_numpy(people.annotator), "split": torch.from_numpy(people.split)},
    )


def read_maps(
    folder: str | os.PathLike, *, grid: int = GRID, question_ids: Iterable[int] | Int[np.ndarray, " q"] | None = None
) -> HumanMaps:
    """Maps of both splits as far as they are there, by split, question and annotator.

    A cell is the mean over its area; a pixel across a border counts on each side by its share. The papers name no
    filter; bilinear sampling of a 640-pixel row at 14 places would miss most of a thin stroke. A map that is zero
    everywhere holds no attention and cannot be normalised: it is left out and counted. Reduced maps are kept in the
    cache folder.
    """
    files = _find_files(Path(folder))
    if question_ids is not None:
        wanted = {int(i) for i in question_ids}
        files = [row for row in files if row[1] in wanted]
        if not files:
            raise ValueError(
                f"none of the {len(wanted)} question_ids has a map in {folder}; VQA-HAT has VQA v1's ids, ten times "
                "the image id plus a digit"
            )
    sums = _reduce_all([path for *_, path in files], grid)
    total = sums.sum(1)
    kept = total > 0
    if not kept.any():
        again = advise(files[0][-1])
        raise ValueError(f"a human map has attention somewhere, all {len(files)} in {folder} are blank; {again}")
    split, question, annotator = np.array([row[:3] for row in files], dtype=np.int64).T
    maps = (sums[kept] / total[kept, None]).astype(np.float32)
    return HumanMaps(question[kept], annotator[kept], split[kept], maps, int((~kept).sum()))


def _find_files(folder: Path) -> list[tuple[int, int, int, Path]]:
    """(split, question, annotator, path) of every map, sorted."""
    files = []
    for split, name in enumerate(SPLITS):
        for path in (folder / f"vqahat_{name}").glob("[!.]*.png"):
            match = _NAME.fullmatch(path.name)
            if not match:
                raise ValueError(f"VQA-HAT's maps are named <question id>_<annotator>.png, got {path}; {advise(path)}")
            files.append((split, int(match[1]), int(match[2]), path))
    if not files:
        raise FileNotFoundError(
            f"VQA-HAT is a folder vqahat_train or vqahat_val of PNG maps, and {folder} has neither, or no map in it; "
            "check data_root or fetch the set"
        )
    return sorted(files)


def _reduce_all(paths: list[Path], grid: int) -> Float[np.ndarray, "n cells"]:
    """Means of all maps' cells: from the cache if these very files were reduced before."""
    shape = (len(paths), grid * grid)
    target = cache_file("hat-{}.npy", [*paths, Path(__file__)], grid)
    return read_or_make(target, lambda target: map_array(target, shape, np.float32), partial(_keep, paths, grid))


def _keep(paths: list[Path], grid: int, target: Path) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow decodes outside Python's lock
        reduced = threads.map(lambda path: _reduce(path, grid), paths)
        cells = np.stack(list(Bar(reduced, total=len(paths), desc="human maps", delay=2)))
    with written_whole(target) as partial, open(partial, "wb") as file:
        np.save(file, cells)


def _reduce(path: Path, grid: int) -> Float[np.ndarray, " cells"]:
    with open_image(path, "a human map is a whole PNG image") as image:
        grey = image if image.mode in ("L", "I", "F") or image.mode.startswith("I;16") else image.convert("L")
        pixels = np.asarray(grey, dtype=np.float32)
    rows, columns = (_shares(n, grid) for n in pixels.shape)
    return (rows @ pixels @ columns.T).ravel()


@lru_cache(maxsize=64)
def _shares(n: int, grid: int) -> Float[np.ndarray, "grid n"]:
    """What each of `n` pixels of a line gives to the mean of each cell: its overlap over the cell's length."""
    edges = np.arange(grid + 1) * n / grid
    pixel = np.arange(n)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (overlap.clip(min=0) * grid / n).astype(np.float32)
