"""What a model had before it when it answered: the picture of an image id, and where its regions lie in it."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import msgspec
import numpy as np
from jaxtyping import Float, Int, UInt8

from vqabook.data.json_files import read_entries
from vqabook.data.layout import SOURCES, DataSpec, find_own, source_files
from vqabook.features.file import read_ids
from vqabook.features.image_files import read_pixels
from vqabook.files import data_root as root_of
from vqabook.world.render import render
from vqabook.world.scenes import CANVAS

COCO_FILES = tuple(f"coco_images/{part}/COCO_{part}_{{:012d}}.jpg" for part in ("train2014", "val2014"))  # the set's

OWN_FILES = ("images/{}", "images/{}.jpg", "images/{}.png")


class _Asked(msgspec.Struct):
    question_id: int
    relevant_regions: list[int]


class View(NamedTuple):
    """`image` is None where it does not lie on this machine; `boxes`: left, top, right, bottom as fractions of it."""

    image: UInt8[np.ndarray, "s s 3"] | None
    boxes: Float[np.ndarray, "o 4"]


def find_views(
    data: Mapping,
    image_ids: Sequence[int | str],
    n_regions: int,
    *,
    data_root: str | os.PathLike | None = None,
    side: int = 224,
) -> list[View]:
    """The images of a recipe's `data`, each with its `n_regions` regions, `side` pixels wide and high.

    The embedded world draws its scenes. Photographs are COCO's, or those in `images` of a folder of one's own, resized
    whole; their regions are the boxes of the feature file, and where it has none or is not here the cells of a square
    grid. Raises ValueError if `n_regions` is then no square.
    """
    if data["dataset"] == "shapes":
        return _draw_scenes(data["world"], image_ids, side)
    dataset, folder = data["dataset"], root_of(data_root)
    names = COCO_FILES
    if dataset == "easy_vqa":
        names = ()  # its image ids are its own
    elif dataset not in SOURCES:
        folder, names = Path(dataset), OWN_FILES
    photographs = [_read_photograph(folder, names, image_id, side) for image_id in image_ids]
    boxes = boxes_of(dataset, image_ids, folder) or [grid(n_regions)] * len(image_ids)
    return [View(*view) for view in zip(photographs, boxes, strict=True)]


def boxes_of(dataset: str, image_ids: Sequence[int | str], folder: Path) -> list[Float[np.ndarray, "o 4"]] | None:
    """The regions of images of a real set, as fractions of the image; None where its file has none or is not there.

    It lies below `folder` if it is named, else where it says.
    """
    if dataset in SOURCES:
        return _read_boxes(folder / SOURCES[dataset].features, image_ids)
    own = Path(dataset)
    return _read_boxes(own / find_own(own).features, image_ids) if own.is_dir() else None


def grid(n_regions: int) -> Float[np.ndarray, "o 4"]:
    """The boxes of a square grid of equal cells, row by row."""
    cells = round(n_regions**0.5)
    if cells**2 != n_regions:
        raise ValueError(
            f"regions without boxes are the cells of a square grid, got {n_regions}; "
            "give the feature file boxes and sizes, or fetch it if it is not there"
        )
    top, left = np.divmod(np.arange(n_regions), cells)
    return np.stack([left, top, left + 1, top + 1], 1) / cells


def _read_boxes(
    features: Path, image_ids: Sequence[int | str], side: int | None = None
) -> list[Float[np.ndarray, "o 4"]] | None:
    """Of each image, as fractions of it; None where the file has no boxes, or is not there.

    `side`: of all images, in pixels, where the file has no sizes; without it boxes in pixels tell no fractions.
    """
    if not features.exists():
        return None
    with h5py.File(features) as file:
        if "boxes" not in file or ("sizes" not in file and side is None):
            return None
        row_of = {image_id: row for row, image_id in enumerate(read_ids(file).tolist())}
        rows = [row_of[image_id] for image_id in image_ids]
        sizes = [np.tile(file["sizes"][row], 2) if "sizes" in file else side for row in rows]
        places = [slice(*file["first"][row : row + 2]) if "first" in file else row for row in rows]
        return [file["boxes"][place] / size for place, size in zip(places, sizes, strict=True)]


def _read_photograph(
    folder: Path, names: Sequence[str], image_id: int | str, side: int
) -> UInt8[np.ndarray, "s s 3"] | None:
    paths = [folder / name.format(image_id) for name in names]
    return next((read_pixels(path, side)[0].transpose(1, 2, 0) for path in paths if path.exists()), None)


def _draw_scenes(knobs: Mapping, image_ids: Sequence[int | str], side: int) -> list[View]:
    """Scenes of the world that `knobs` make, written on first use, with the boxes of its feature file."""
    folder = source_files(DataSpec.of({"dataset": "shapes", "world": knobs}), None)[1]
    scenes = {scene["image_id"]: scene for scene in json.loads((folder / "scenes.json").read_bytes())["scenes"]}
    pictures = [np.asarray(render(scenes[image_id], side)) for image_id in image_ids]
    boxes = _read_boxes(folder / "features.h5", image_ids, CANVAS) or ()  # a world has them all
    return [View(*view) for view in zip(pictures, boxes, strict=True)]


def relevant_maps(
    spec: DataSpec, question_id: Int[np.ndarray, " n"], *, n_regions: int, data_root: str | os.PathLike | None = None
) -> Float[np.ndarray, "n o"]:
    """For each question a map over regions that is even over the relevant ones, 0 elsewhere, and sums to 1.

    ValueError for a set whose questions do not name `relevant_regions`.
    """
    source, folder = source_files(spec, data_root)
    regions: dict[int, list[int]] = {}
    if spec.dataset == "shapes":
        for split in (source.train, source.test):
            questions = read_entries(folder / split.questions, "questions", _Asked, "a question has relevant_regions")
            regions |= {question.question_id: question.relevant_regions for question in questions}
    if lacking := [i for i in question_id.tolist() if i not in regions]:
        raise ValueError(
            f"only the embedded world's questions name their relevant regions, {len(lacking)} of {len(question_id)} of "
            f"{spec.dataset} do not; take human maps for another set"
        )
    maps = np.zeros((len(question_id), n_regions), np.float32)
    for row, question in zip(maps, question_id.tolist(), strict=True):
        row[regions[question]] = 1 / len(regions[question])
    return maps
