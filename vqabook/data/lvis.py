"""LVIS: objects of 1,203 categories, most of them rare; the long tail as photographs have it.

Gupta, Dollar, Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", 2019, arXiv:1908.03195. Official
layout, versions 0.5 and 1.0: one JSON dict with images, annotations and categories, plain or gzipped; a category-info
file is the list of categories alone. The images are COCO's.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vqabook.core import Table
from vqabook.data.json_stream import stream_json

if TYPE_CHECKING:
    from jaxtyping import Int

FREQUENCIES = ("r", "c", "f")  # rare: 1 to 10 train images, common: 11 to 100, frequent: more
BOUNDS = (10, 100)
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


class _Columns:
    """What is kept of the file, as flat arrays of numbers: 72 bytes an instance, no polygons."""

    def __init__(self, path: Path):
        self.path = path
        self.categories: list[dict] = []
        self.images = {"id": array("q"), "width": array("q"), "height": array("q")}
        self.ids, self.numbers = array("q"), array("d")  # per instance: image, category; x, y, w, h, area

    def take(self, key: str, entry: Any) -> None:
        try:
            if key == "annotations":
                self.ids.extend((entry["image_id"], entry["category_id"]))
                x, y, w, h = entry["bbox"]
                self.numbers.extend((x, y, w, h, entry["area"]))
            elif key == "images":
                for name, column in self.images.items():
                    column.append(entry[name])
            elif key in ("categories", ""):
                self.categories.append(entry)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"LVIS annotations have image_id, category_id, bbox of four and area, images id, width and height; one "
                f"under {key} in {self.path} does not ({error!r}): is it the right file?"
            ) from error


def load_lvis(path: Path) -> Lvis:
    """Inputs (image row,); target: the category's place by ascending id. side: "box" [n, 4] (x, y, w, h in pixels),
    "area" (of the mask, in pixels), "frequency" (a place in `FREQUENCIES`), "image_id".

    The file is read as a stream, so memory is that of the columns whatever the size of its polygons.
    """
    columns = _Columns(path)
    for key, entry in stream_json(path):
        columns.take(key, entry)
    categories = _categories(columns.categories, path)
    ids = np.array(columns.ids, dtype=np.int64).reshape(-1, 2)
    numbers = np.array(columns.numbers, dtype=np.float64).reshape(-1, 5)
    if not len(ids):
        raise ValueError(f'LVIS files hold a list under "annotations"; {path} has none: is it the right file?')
    image_ids, width, height = (np.array(column, dtype=np.int64) for column in columns.images.values())
    if len(np.unique(image_ids)) < len(image_ids):
        values, counts = np.unique(image_ids, return_counts=True)
        raise ValueError(
            f"each image is listed once, image {values[counts > 1][0]} is {counts.max()} times in {path}; "
            "fetch it again"
        )
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


def category_counts(path: Path) -> Categories:
    """The categories of an annotation file or of a category-info file, with the train split's counts as recorded."""
    return _categories([entry for key, entry in stream_json(path) if key in ("categories", "")], path)


def _categories(entries: list[dict], path: Path) -> Categories:
    fields = ("id", "name", "frequency", "image_count", "instance_count")
    if not entries:
        raise ValueError(f'LVIS files hold a list under "categories"; {path} has none: is it the right file?')
    for entry in entries:
        if not isinstance(entry, dict) or any(f not in entry for f in fields) or entry["frequency"] not in FREQUENCIES:
            raise ValueError(
                f"a category has {', '.join(fields)}, frequency one of {', '.join(FREQUENCIES)}; {path} has "
                f"{str(entry)[:80]}: is it the right file?"
            )
    entries = sorted(entries, key=lambda entry: entry["id"])
    ids, images, instances = (
        np.array([entry[f] for entry in entries], dtype=np.int64) for f in ("id", "image_count", "instance_count")
    )
    if len(np.unique(ids)) < len(ids):
        raise ValueError(f"each category is listed once, {path} repeats an id; fetch it again")
    frequency = np.array([FREQUENCIES.index(entry["frequency"]) for entry in entries], dtype=np.int64)
    return Categories(ids, tuple(entry["name"] for entry in entries), frequency, images, instances)


def _places(wanted: Int[np.ndarray, " n"], ids: Int[np.ndarray, " k"], what: str, path: Path) -> Int[np.ndarray, " n"]:
    """The place of each wanted id among the ids."""
    order = np.argsort(ids, kind="stable")
    places = order[np.searchsorted(ids, wanted, sorter=order).clip(max=len(ids) - 1)] if len(ids) else wanted * 0
    unknown = ids[places] != wanted if len(ids) else np.ones(len(wanted), bool)
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
            f" pixels does not, nor do {(~inside).sum() - 1} more in {path}; fetch it again"
        )
