"""LVIS: objects of 1,203 categories, most of them rare; the long tail as photographs have it.

Gupta, Dollar, Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", 2019, arXiv:1908.03195. Official
layout, versions 0.5 and 1.0: one JSON dict with images, annotations and categories, plain or gzipped; a category-info
file is the list of categories alone. The images are COCO's. `data.instances` makes a Table of the annotations.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
from jaxtyping import Int

from vqabook.data.json_files import check_unique, read_entries

Frequency = Literal["r", "c", "f"]
FREQUENCIES = get_args(Frequency)  # rare: 1 to 10 train images, common: 11 to 100, frequent: more
BOUNDS = (10, 100)
# version -> share of train's images below which a category is equalisation loss' tail, rare and common ones (Tan et al.
# 2020, arXiv:2003.05176, and its release): 101 images of 0.5, 110 of 1.0
EQUALISED = {"0.5": 0.00177, "1.0": 0.0011}
COLUMNS = f"categories (id, name, frequency one of {', '.join(FREQUENCIES)}, image_count, instance_count)"
CATEGORIES = "lvis/lvis_v1_train_cat_info.json.gz"  # category info, below a data root
IMAGES = "coco_images"  # the folder of COCO's images, below a data root


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


class Category(msgspec.Struct):
    """What is read of an entry of the categories."""

    id: int
    name: str
    frequency: Frequency
    image_count: int
    instance_count: int


def category_counts(path: str | os.PathLike) -> Categories:
    """The categories of an annotation file or of a category-info file, with the train split's counts as recorded."""
    return to_columns(list(read_entries(path, "categories", Category, f"LVIS lists {COLUMNS}")), path)


def to_columns(entries: list[Category], path: str | os.PathLike) -> Categories:
    """The entries by ascending id."""
    entries = sorted(entries, key=lambda entry: entry.id)
    ids, images, instances = (
        np.array([(entry.id, entry.image_count, entry.instance_count) for entry in entries], dtype=np.int64)
        .reshape(-1, 3)
        .T.copy()
    )
    check_unique(ids.tolist(), "each category is listed once", path)
    frequency = np.array([FREQUENCIES.index(entry.frequency) for entry in entries], dtype=np.int64)
    return Categories(ids, tuple(entry.name for entry in entries), frequency, images, instances)
