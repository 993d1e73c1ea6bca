"""LVIS' instances as a Table. `data.lvis` says what the official files are, and reads their categories."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from jaxtyping import Int

from vqabook.core import Table
from vqabook.data.json_files import check_unique, read_json
from vqabook.data.lvis import COLUMNS, Categories, Category, to_columns
from vqabook.files import advise

SLACK = 1.0  # pixels: boxes are drawn around polygons with rounded corners


@dataclass(frozen=True)
class Lvis:
    """Instances as a Table, with what its ids mean: `image_ids[row]` is COCO's id."""

    table: Table
    categories: Categories
    image_ids: Int[np.ndarray, " images"]


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]  # x, y, w, h
    area: float


class _Image(msgspec.Struct):
    id: int
    width: int
    height: int


class _Listing(msgspec.Struct):
    """The whole file as far as it is read: no polygons."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[Category]


def load_lvis(path: str | os.PathLike) -> Lvis:
    """Inputs (image row,); target: the category's place by ascending id. side: "box" [n, 4] (x, y, w, h in pixels),
    "area" (of the mask, in pixels), "frequency" (a place in `FREQUENCIES`), "image_id".
    """
    rule = f"LVIS lists images (id, width, height), annotations (image_id, category_id, bbox, area) and {COLUMNS}"
    path = Path(path)
    listing = read_json(path, _Listing, rule)
    categories = to_columns(listing.categories, path)
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
