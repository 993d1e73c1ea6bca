"""An annotation file in LVIS' format: as a Table of rows that a detector reads, and as the truth it is judged by.

Average precision of boxes and masks is faster-coco-eval's: of all categories, and of rare, common, frequent ones.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as rle
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torchvision.io import decode_image
from torchvision.ops import box_convert

from vqabook.core import Table
from vqabook.data.lvis import IMAGES, Photographs, category_counts, find_annotations
from vqabook.detection.outlines import read_annotations
from vqabook.detection.scenes import Scenes, write_scenes

KINDS = {"mask": "segm", "box": "bbox"}
LABELS = {"overall": "AP_all", "r": "APr", "c": "APc", "f": "APf"}


# What a Table calls; a detector takes lists of images and targets.
_Look = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class Objects:
    """What is annotated in one image: boxes as left, top, right, bottom; labels from 1; outlines in run lengths."""

    boxes: Float[Tensor, "o 4"]
    labels: Int[Tensor, " o"]
    outlines: tuple[dict, ...]

    def target(self, flip: bool, height: int, width: int) -> dict[str, Tensor]:
        """torchvision's, with masks; mirrored if `flip`."""
        drawn = rle.decode(list(self.outlines)) if self.outlines else np.zeros((height, width, 0), np.uint8)
        boxes, masks = self.boxes, torch.from_numpy(drawn).permute(2, 0, 1)
        if flip:
            boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
            masks = masks.flip(2)
        return {"boxes": boxes, "labels": self.labels, "masks": masks.contiguous()}


@dataclass(frozen=True)
class Annotated:
    """An annotation file with its images. `counts` and `frequency` are those of the train split, by category."""

    path: Path
    table: Table  # inputs (image row,); looked up: images, targets
    image_ids: tuple[int, ...]
    category_ids: tuple[int, ...]
    counts: Int[Tensor, " c"]  # instances
    frequency: Int[Tensor, " c"]  # a place in data.lvis.FREQUENCIES
    shown: Bool[Tensor, "n c"]


@dataclass(frozen=True)
class Lookup:
    """Images in [0, 1], decoded when they are asked for, and their targets.

    Half of them are mirrored if `flip`, by torch's global generator.
    """

    files: tuple[Path, ...]
    objects: tuple[Objects, ...]
    flip: bool = False

    def __call__(self, rows: Int[Tensor, " b"]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        mirrored = (torch.rand(len(rows)) < 0.5 * self.flip).tolist()
        images = [(decode_image(str(self.files[row]), "RGB") / 255).to(rows.device) for row in rows.tolist()]
        targets = [
            {name: x.to(rows.device) for name, x in self.objects[row].target(flip, *image.shape[1:]).items()}
            for row, flip, image in zip(rows.tolist(), mirrored, images, strict=True)
        ]
        return [x.flip(2) if flip else x for x, flip in zip(images, mirrored, strict=True)], targets


@contextmanager
def open_sets(data: Scenes | Photographs, root: Path) -> Iterator[dict[str, tuple[Path, Path]]]:
    """Each split's annotation file and folder of images; scenes are there for as long as they are open."""
    if isinstance(data, Photographs):
        yield {split: (path, root / IMAGES) for split, path in find_annotations(root).items()}
        return
    with tempfile.TemporaryDirectory() as folder:
        yield {split: (path, path.with_suffix("")) for split, path in write_scenes(Path(folder), data).items()}


def load_annotated(
    path: str | os.PathLike, images: str | os.PathLike, device: torch.device | str = "cpu", *, bare: bool = False
) -> Annotated:
    """The annotations of a file (`read_annotations`) and the images below a folder, COCO's of 2017 or of 2014.

    Those without an object go, unless `bare`: there is nothing to learn in them, but something to find wrongly.
    Annotations are kept in memory, as run lengths; images stay on disk, and go to `device` when they are read.
    ValueError where categories lack what LVIS says of them or an object's is not listed, FileNotFoundError without an
    image.
    """
    path, images = Path(path), Path(images)
    categories, known = category_counts(path), read_annotations(path)
    place = {category_id: i for i, category_id in enumerate(categories.id.tolist())}
    of_image: dict[int, list[dict]] = {}
    for entry in known["annotations"]:
        if entry["category_id"] not in place:
            raise ValueError(
                f"an object's category is listed in its file: category {entry['category_id']} is not among the "
                f"{len(place)} in {path}; is the file whole?"
            )
        of_image.setdefault(entry["image_id"], []).append(entry)
    listed = [image for image in known["images"] if bare or image["id"] in of_image]
    objects = tuple(_objects(of_image.get(image["id"], []), place, image) for image in listed)
    shown = torch.zeros(len(listed), len(place), dtype=torch.bool)
    for row, in_image in enumerate(objects):
        shown[row, in_image.labels - 1] = True
    files = tuple(_find_image(images, image) for image in listed)
    if absent := [file for file in files if not file.exists()]:
        raise FileNotFoundError(
            f"every image of the annotations is there, {absent[0]} is not ({len(absent)} of {len(files)}); check the "
            "folder of images"
        )
    rows = torch.arange(len(listed), device=device)
    return Annotated(
        path=path,
        table=Table((rows,), rows, len(place), lookup=cast(_Look, Lookup(files, objects))),
        image_ids=tuple(image["id"] for image in listed),
        category_ids=tuple(place),
        counts=torch.from_numpy(categories.instance_count),
        frequency=torch.from_numpy(categories.frequency),
        shown=shown,
    )


def mirror_half(table: Table) -> Table:
    """The same rows, half of them mirrored each time they are read."""
    if not isinstance(table.lookup, Lookup):
        raise TypeError(f"rows are mirrored that a Lookup of images reads, got {table.lookup!r}; give such a table")
    return replace(table, lookup=cast(_Look, replace(table.lookup, flip=True)))


def _objects(entries: list[dict], place: dict[int, int], image: dict) -> Objects:
    boxes = torch.tensor([entry["bbox"] for entry in entries], dtype=torch.float).reshape(-1, 4)
    outlines = tuple(_to_runs(entry["segmentation"], image["height"], image["width"]) for entry in entries)
    labels = torch.tensor([place[entry["category_id"]] + 1 for entry in entries], dtype=torch.long)
    return Objects(box_convert(boxes, "xywh", "xyxy"), labels, outlines)


def _to_runs(outline: list[list[float]] | dict, height: int, width: int) -> dict:
    if isinstance(outline, list):
        return rle.merge(rle.frPyObjects(outline, height, width))
    return outline if isinstance(outline["counts"], str) else rle.frPyObjects(outline, height, width)


def _find_image(folder: Path, image: dict) -> Path:
    """Its file: as named, or by COCO's address of 2017, or as COCO of 2014 has it; the first of these that exists."""
    names = [image["file_name"]] if "file_name" in image else []
    names += ["/".join(image["coco_url"].split("/")[-2:])] if "coco_url" in image else []
    names += [f"{split}/COCO_{split}_{image['id']:012d}.jpg" for split in ("train2014", "val2014")]
    return next((folder / name for name in names if (folder / name).exists()), folder / names[0])


@torch.no_grad()
def detections(model: nn.Module, annotated: Annotated, *, batch_size: int = 4) -> list[dict]:
    """What a detector finds in every image, as LVIS' result file has it."""
    model.eval()
    results = []
    for rows in torch.arange(len(annotated.table), device=annotated.table.device).split(batch_size):
        images, _ = annotated.table.batch(rows).inputs
        for row, out in zip(rows.tolist(), model(images), strict=True):
            results += _results(annotated, row, out)
    return results


def _results(annotated: Annotated, row: int, out: dict[str, Tensor]) -> list[dict]:
    masks = np.asfortranarray((out["masks"][:, 0] > 0.5).permute(1, 2, 0).to(torch.uint8).cpu().numpy())
    boxes = box_convert(out["boxes"].cpu(), "xyxy", "xywh").tolist()
    columns = (out["labels"].tolist(), boxes, out["scores"].tolist(), rle.encode(masks))
    return [
        {"image_id": annotated.image_ids[row], "category_id": annotated.category_ids[label - 1], "bbox": box,
         "score": score, "segmentation": outline}
        for label, box, score, outline in zip(*columns, strict=True)
    ]  # fmt: skip


def average_precision(path: str | os.PathLike, results: list[dict]) -> dict[str, dict[str, float | None]]:
    """{"mask", "box"} -> {"overall", "r", "c", "f"} -> percent; None without such a category. `path`: annotations.

    A category is judged in the images that show it or are known not to, as LVIS says; elsewhere nothing is.
    """
    known = read_annotations(path)
    judged = {(entry["image_id"], entry["category_id"]) for entry in known["annotations"]}
    for image in known["images"]:
        judged |= {(image["id"], category_id) for category_id in image.get("neg_category_ids", ())}
    results = [result for result in results if (result["image_id"], result["category_id"]) in judged]
    if not results:
        return {kind: dict.fromkeys(LABELS, 0.0) for kind in KINDS}
    without_masks = [{k: v for k, v in result.items() if k != "segmentation"} for result in results]
    with redirect_stdout(io.StringIO()):
        truth, precision = COCO(known), {}
        for kind, theirs in KINDS.items():
            detected = truth.loadRes(results if kind == "mask" else without_masks)
            evaluator = COCOeval_faster(truth, detected, theirs, lvis_style=True)
            evaluator.params.maxDets = [300]
            evaluator.run()
            stats = {name: float(evaluator.stats_as_dict[label]) for name, label in LABELS.items()}
            # they write -1 where there is nothing to judge
            precision[kind] = {name: None if value < 0 else 100 * value for name, value in stats.items()}
    return precision
