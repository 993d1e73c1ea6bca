"""A generated detection set with a long tail, in LVIS' own format: coloured polygons on noise.

A category is a number of corners and a colour. In the train split categories are as frequent as a power of their rank;
in the val split they are alike, so that rare ones are judged, too. As in LVIS, categories carry the counts of train.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from vqabook.data.lvis import BOUNDS, FREQUENCIES
from vqabook.files import written_whole

COLOURS = {
    "red": (214, 39, 40), "blue": (31, 119, 180), "green": (44, 160, 44), "yellow": (230, 200, 40),
    "purple": (148, 103, 189), "white": (235, 235, 235),
}  # fmt: skip
CORNERS = (3, 4, 5, 6, 8)
NAMES = tuple(f"{colour} {corners}-gon" for corners in CORNERS for colour in COLOURS)
TRIES = 20  # places that are drawn for an object before it is left out


@dataclass(frozen=True)
class Scenes:
    """What is drawn. Sizes are pixels."""

    train: int = 400  # images
    val: int = 100
    side: int = 128
    objects: tuple[int, int] = (2, 5)  # fewest and most in an image
    radius: tuple[int, int] = (10, 22)
    power: float = 1.6  # a category's share in train goes with rank to minus this
    seed: int = 0
    dataset: Literal["scenes"] = "scenes"  # its name in records


def write_scenes(folder: Path, scenes: Scenes) -> dict[str, Path]:
    """Draw the images and write train.json and val.json beside them; their paths.

    After the train split comes an image for each category that no image shows: every category has a training row.
    """
    rng = np.random.default_rng(scenes.seed)
    order, rank = rng.permutation(len(NAMES)), np.arange(1, len(NAMES) + 1)
    train = (rank**-scenes.power)[order.argsort()]
    shares = {"train": train / train.sum(), "val": np.full(len(NAMES), 1 / len(NAMES))}
    drawn: dict[str, list[tuple[dict, list[dict]]]] = {"train": [], "val": []}
    for split, first, n in (("train", 1, scenes.train), ("val", 1 + scenes.train, scenes.val)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for image_id in range(first, first + n):
            places = rng.choice(len(NAMES), rng.integers(scenes.objects[0], scenes.objects[1] + 1), p=shares[split])
            drawn[split].append(_draw(folder / split, image_id, places.tolist(), scenes, rng))
        if split == "train":
            seen = {entry["category_id"] for _, entries in drawn["train"] for entry in entries}
            absent = [place for place in range(len(NAMES)) if place + 1 not in seen]
            for image_id, place in enumerate(absent, start=10**6 + first + n):
                drawn["train"].append(_draw(folder / split, image_id, [place], scenes, rng))
    categories = _categories([entry for _, entries in drawn["train"] for entry in entries])
    return {split: _write(folder / f"{split}.json", images, categories) for split, images in drawn.items()}


def _draw(
    folder: Path, image_id: int, categories: list[int], scenes: Scenes, rng: np.random.Generator
) -> tuple[dict, list[dict]]:
    """One image with objects that do not touch, and its annotations."""
    side, annotations = scenes.side, []
    taken: list[tuple[int, int, int]] = []  # x, y, radius
    noise = rng.integers(60, 140, (side // 4, side // 4, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((side, side), Image.Resampling.BILINEAR)
    brush = ImageDraw.Draw(picture)
    for place in categories:
        radius = int(rng.integers(*scenes.radius))
        for _ in range(TRIES):
            x, y = rng.integers(radius, side - radius, 2).tolist()
            if all(math.hypot(x - u, y - v) > radius + r for u, v, r in taken):
                break
        else:
            continue
        taken.append((x, y, radius))
        corners, colour = CORNERS[place // len(COLOURS)], list(COLOURS.values())[place % len(COLOURS)]
        angle = rng.uniform(0, 2 * math.pi) + 2 * math.pi * np.arange(corners) / corners
        polygon = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)
        brush.polygon([tuple(point) for point in polygon.tolist()], fill=colour)
        annotations.append(_annotation(image_id, place, polygon))
    name = f"{image_id:012d}.png"
    picture.save(folder / name)
    return {"id": image_id, "width": side, "height": side, "file_name": name}, annotations


def _annotation(image_id: int, place: int, polygon: Float[np.ndarray, "k 2"]) -> dict:
    low, high = polygon.min(0), polygon.max(0)
    x, y = polygon.T
    area = 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
    box = [round(float(v), 2) for v in (*low, *(high - low))]
    outline = [[round(float(v), 2) for v in polygon.flatten()]]
    return {"image_id": image_id, "category_id": place + 1, "bbox": box, "area": area, "segmentation": outline}


def _categories(annotations: Sequence[dict]) -> list[dict]:
    """With what LVIS says of each: how many images and instances train has, and r, c or f by its images."""
    categories = []
    for category_id, name in enumerate(NAMES, start=1):
        shown_in = [entry["image_id"] for entry in annotations if entry["category_id"] == category_id]
        counts = {"image_count": len(set(shown_in)), "instance_count": len(shown_in)}
        frequency = FREQUENCIES[int(np.searchsorted(BOUNDS, counts["image_count"]))]
        categories.append({"id": category_id, "name": name, "frequency": frequency, **counts})
    return categories


def _write(path: Path, drawn: list[tuple[dict, list[dict]]], categories: list[dict]) -> Path:
    """All categories are looked for in all images: what is not annotated is not there."""
    images, every = [], {category["id"] for category in categories}
    for image, entries in drawn:
        absent = sorted(every - {entry["category_id"] for entry in entries})
        images.append(image | {"neg_category_ids": absent, "not_exhaustive_category_ids": []})
    annotations = [entry | {"id": i} for i, entry in enumerate(chain(*(entries for _, entries in drawn)), start=1)]
    with written_whole(path) as partial:
        content = {"images": images, "annotations": annotations, "categories": categories}
        partial.write_text(json.dumps(content), encoding="utf-8")
    return path
