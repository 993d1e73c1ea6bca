"""LVIS: objects of 1,203 categories, most of them rare; the long tail as photographs have it.

Gupta, Dollar, Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", 2019, arXiv:1908.03195. Official
layout, versions 0.5 and 1.0: one JSON dict with images, annotations and categories, plain or gzipped; a category-info
file is the list of categories alone. The images are COCO's.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
import torch
from jaxtyping import Int

from vqabook.core import Table
from vqabook.data.json_files import check_unique, read_entries, read_json
from vqabook.files import advise

Frequency = Literal["r", "c", "f"]
FREQUENCIES = get_args(Frequency)  # rare: 1 to 10 train images, common: 11 to 100, frequent: more
BOUNDS = (10, 100)
# version -> share of train's images below which a category is equalisation loss' tail, rare and common ones (Tan et al.
# 2020, arXiv:2003.05176, and its release): 101 images of 0.5, 110 of 1.0
EQUALISED = {"0.5": 0.00177, "1.0": 0.0011}
_CATEGORIES = f"categories (id, name, frequency one of {', '.join(FREQUENCIES)}, image_count, instance_count)"
IMAGES = "coco_images"  # the folder of COCO's images, below a data root
SLACK = 1.0  # pixels: boxes are drawn around polygons with rounded corners


@dataclass(frozen=True)
class Categories:
    """Columns by category id, ascending; a class is a place in them. Counts are those of the train split."""

    id: Int[np.ndarray, " c"]
    name: tuple[str, ...]
    frequency: Int[np.ndarray, " c"]  # a place in FREQUENCIES
    image_count: Int[np.ndarray, " c"]
    instance_count: Int[np.ndarray, " c"]

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True)
class Lvis:
    """Instances as a Table, with what its ids mean: `image_ids[row]` is COCO's id."""

    table: Table
    categories: Categories
    image_ids: Int[np.ndarray, " images"]


@dataclass(frozen=True)
class Photographs:
    """LVIS 1.0 with its images, as a recipe tells it."""

    digest: str  # of both annotation files
    dataset: Literal["lvis_v1"] = "lvis_v1"


def find_annotations(root: Path) -> dict[str, Path]:
    """The official annotation files below a data root, by split; FileNotFoundError without them or COCO's images."""
    paths = {split: root / "lvis" / f"lvis_v1_{split}.json" for split in ("train", "val")}
    if absent := [path for path in (*paths.values(), root / IMAGES) if not path.exists()]:
        raise FileNotFoundError(
            f"LVIS has its annotations in lvis/ and COCO's images in {IMAGES}/, {absent[0]} does not exist; check "
            "data_root, or run: vqabook data fetch lvis coco_images"
        )
    return paths


def describe_photographs(root: Path) -> Photographs:
    """What is there, for a recipe."""
    known = hashlib.sha256()
    for path in find_annotations(root).values():
        with path.open("rb") as file:
            known.update(hashlib.file_digest(file, "sha256").digest())
    return Photographs(known.hexdigest()[:12])


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]  # x, y, w, h
    area: float


class _Image(msgspec.Struct):
    id: int
    width: int
    height: int


class _Category(msgspec.Struct):
    id: int
    name: str
    frequency: Frequency
    image_count: int
    instance_count: int


class _Listing(msgspec.Struct):
    """The whole file as far as it is read: no polygons."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def load_lvis(path: str | os.PathLike) -> Lvis:
    """Inputs (image row,); target: the category's place by ascending id. side: "box" [n, 4] (x, y, w, h in pixels),
    "area" (of the mask, in pixels), "frequency" (a place in `FREQUENCIES`), "image_id".
    """
    rule = f"LVIS lists images (id, width, height), annotations (image_id, category_id, bbox, area) and {_CATEGORIES}"
    path = Path(path)
    listing = read_json(path, _Listing, rule)
    categories = _to_columns(listing.categories, path)
    ids = np.array([(x.image_id, x.category_id) for x in listing.annotations], dtype=np.int64)
    numbers = np.array([(*x.bbox, x.area) for x in listing.annotations], dtype=np.float64)
    if not len(ids):
        raise ValueError(f'LVIS files hold a list under "annotations"; {path} has none: is it the right file?')
    sizes = np.array([(x.id, x.width, x.height) for x in listing.images], dtype=np.int64)
    image_ids, width, height = sizes.reshape(-1, 3).T.copy()
    check_unique(image_ids.tolist(), "each image is listed once", path)
    image = _places(ids[:, 0], image_ids, "image", path)
    target = _places(ids[:, 1], categories.id, "category", path)
    _check_boxes(numbers[:, :4], width[image], height[image], ids[:, 0], path)
    table = Table(
        inputs=(torch.from_numpy(image),),
        target=torch.from_numpy(target),
        n_classes=len(categories),
        side={
            "box": torch.from_numpy(numbers[:, :4].astype(np.float32)),
            "area": torch.from_numpy(numbers[:, 4].astype(np.float32)),
            "frequency": torch.from_numpy(categories.frequency[target]),
            "image_id": torch.from_numpy(ids[:, 0].copy()),
        },
    )
    return Lvis(table, categories, image_ids)


def category_counts(path: str | os.PathLike) -> Categories:
    """The categories of an annotation file or of a category-info file, with the train split's counts as recorded."""
    return _to_columns(list(read_entries(path, "categories", _Category, f"LVIS lists {_CATEGORIES}")), path)


def _to_columns(entries: list[_Category], path: str | os.PathLike) -> Categories:
    entries = sorted(entries, key=lambda entry: entry.id)
    ids, images, instances = (
        np.array([(entry.id, entry.image_count, entry.instance_count) for entry in entries], dtype=np.int64)
        .reshape(-1, 3)
        .T.copy()
    )
    check_unique(ids.tolist(), "each category is listed once", path)
    frequency = np.array([FREQUENCIES.index(entry.frequency) for entry in entries], dtype=np.int64)
    return Categories(ids, tuple(entry.name for entry in entries), frequency, images, instances)


def _places(
    wanted: Int[np.ndarray, " n"], ids: Int[np.ndarray, " k"], what: str, path: str | os.PathLike
) -> Int[np.ndarray, " n"]:
    """The place of each wanted id among the ids."""
    place_of = {number: place for place, number in enumerate(ids.tolist())}
    places = np.array([place_of.get(number, -1) for number in wanted.tolist()])
    unknown = places < 0
    if unknown.any():
        raise ValueError(
            f"an annotation's {what} is listed in its file: {what} {wanted[unknown][0]} is not among the {len(ids)} in "
            f"{path} ({unknown.sum()} annotations); use one whole official file"
        )
    return places


def _check_boxes(
    boxes: np.ndarray, width: Int[np.ndarray, " n"], height: Int[np.ndarray, " n"], image: np.ndarray, path: Path
) -> None:
    x, y, w, h = boxes.T
    inside = (x >= -SLACK) & (y >= -SLACK) & (w >= 0) & (h >= 0) & (x + w <= width + SLACK) & (y + h <= height + SLACK)
    if not inside.all():  # NaN is not inside
        i = int(np.flatnonzero(~inside)[0])
        raise ValueError(
            f"a box (x, y, w, h) lies in its image: {boxes[i].tolist()} in image {image[i]} of {width[i]} x {height[i]}"
            f" pixels does not, nor do {(~inside).sum() - 1} more in {path}; {advise(path)}"
        )
