"""The outlines of an annotation file: polygons or run lengths, as COCO's format has both, that enclose an area."""

import os
import warnings
from math import prod
from typing import Any

import msgspec

from vqabook.data.json_files import read_json


class RunLengths(msgspec.Struct):
    """A mask as its runs of 0 and 1 in turn, column by column; as numbers, or packed into a text."""

    size: tuple[int, int]  # height, width
    counts: list[int] | str


def read_annotations(path: str | os.PathLike) -> dict:
    """The file as it is, but for outlines without an area, which go: polygons of fewer than three points.

    What reads them (COCO's own code, and faster-coco-eval) would take two points for a box, left, top, width and
    height. An object that has no outline then is left out, from training and from the truth alike, and said. ValueError
    for what is no outline, or if no object is left.
    """
    known = read_json(path, dict, "an annotation file is a JSON object")
    sizes = {image["id"]: (image["height"], image["width"]) for image in known["images"]}
    for number, entry in enumerate(known["annotations"]):
        where = f"annotation {entry.get('id', number)} in {path}"
        entry["segmentation"] = _find_areas(entry.get("segmentation"), sizes.get(entry["image_id"]), where)
    kept = [entry for entry in known["annotations"] if entry["segmentation"]]
    lost = f"{len(known['annotations']) - len(kept)} of {len(known['annotations'])} objects in {path}"
    if not kept:
        raise ValueError(f"an object has a polygon of three points or run lengths: {lost} have neither; fetch it again")
    if len(kept) < len(known["annotations"]):
        warnings.warn(f"{lost} have no outline with an area; they are left out", stacklevel=2)
    return known | {"annotations": kept}


def _find_areas(outline: Any, size: tuple[int, int] | None, where: str) -> list | dict:
    """Its polygons of three points or more, or its run lengths."""
    rule = "an outline is a list of polygons (x, y, x, y, ...), or run lengths of its image's size"
    try:
        known = msgspec.convert(outline or [], list[list[float]] | RunLengths)
    except msgspec.ValidationError as error:
        raise ValueError(f"{rule}; {where} has another ({error}): fetch it again") from error
    if isinstance(known, RunLengths):
        runs = [prod(known.size)] if isinstance(known.counts, str) else known.counts
        if known.size != (size or known.size) or sum(runs) != prod(known.size) or min(runs) < 0:
            raise ValueError(f"{rule}; {where} has {sum(runs)} pixels of {known.size}, not {size}: fetch it again")
        return outline or []
    if odd := [len(polygon) for polygon in known if len(polygon) % 2]:
        raise ValueError(f"{rule}; {where} has one of {odd[0]} numbers: fetch it again")
    return [polygon for polygon in outline or [] if len(polygon) >= 6]
