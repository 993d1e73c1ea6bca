"""LVIS' categories in numbers."""

from pathlib import Path

import numpy as np

from vqabook.catalogue.description import Description, Picture, rank
from vqabook.data.instances import load_lvis
from vqabook.data.lvis import BOUNDS, FREQUENCIES, Categories, category_counts


def describe(folder: Path) -> Description:
    """Counts of the train split from its category info or annotations, and the boxes of val if they are there."""
    categories = category_counts(_train_file(folder))
    counts = categories.instance_count
    rows = {"train": int(counts.sum())}
    for split in ("v1_val", "val_100"):
        if _is_there(file := folder / f"lvis_{split}.json"):
            rows[split] = len(load_lvis(file).table)
    rare, common, frequent = np.bincount(categories.frequency, minlength=len(FREQUENCIES)).tolist()
    top = np.sort(counts)[::-1][: len(counts) // 10].sum() / max(1, rows["train"])
    return Description(
        rows=rows,
        classes=rank(categories.name, counts),
        n_classes=len(categories),
        picture=_tail(categories),
        facts={
            "frequent categories, more than 100 images": frequent,
            "common categories, 11 to 100 images": common,
            "rare categories, 1 to 10 images": rare,
            "instances of the commonest tenth of the categories, %": round(100 * float(top), 1),
            "largest over smallest class": int(counts.max() // max(1, counts.min())),
        },
    )


def _is_there(file: Path) -> bool:
    return file.exists() or file.with_suffix(".json.gz").exists()


def _train_file(folder: Path) -> Path:
    """The category info if it is there: the same counts, without reading a gigabyte of polygons."""
    names = ("lvis_v1_train_cat_info.json", "lvis_v1_train.json")
    for name in names:
        if _is_there(folder / name):
            return folder / name
    raise FileNotFoundError(
        f"LVIS is described by {' or '.join(names)} (or with .gz), and {folder} has neither; "
        "check data_root or fetch the set"
    )


def _tail(categories: Categories) -> Picture:
    """Sorted counts over rank; the rule of frequent, common and rare goes by images, so its bounds cross that curve."""
    images, instances = (np.sort(c)[::-1] for c in (categories.image_count, categories.instance_count))
    shown = int((images > 0).sum())  # a count of 0 has no logarithm
    series = {"instances": instances[:shown].tolist(), "images": images[:shown].tolist()}
    names = ("rare up to here, 10 images", "common up to here, 100 images")
    series |= {name: [bound] * shown for name, bound in zip(names, BOUNDS, strict=True)}
    axes = {"x_label": "category, commonest first", "y_label": "count in train", "log": "xy"}
    return Picture(
        "curve",
        {"x": list(range(1, shown + 1)), "series": series} | axes,
        f"Instances and images of each of LVIS's {shown} categories, sorted, on logarithmic axes: from tens of "
        "thousands down to one, with the bounds of common and rare at 100 and 10 images.",
    )
