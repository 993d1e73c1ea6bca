"""LVIS' categories in numbers."""

from pathlib import Path

import numpy as np

from vqabook.catalogue.description import Description, Picture
from vqabook.data.lvis import BOUNDS, FREQUENCIES, Categories, category_counts, load_lvis


def describe(folder: Path) -> Description:
    """Counts of the train split from its category info or annotations, and the boxes of val if they are there."""
    categories = category_counts(_train_file(folder))
    rows = {"train": int(categories.instance_count.sum())}
    for name in ("lvis_v1_val.json", "lvis_val_100.json"):
        if (folder / name).exists() or (folder / f"{name}.gz").exists():
            rows[name.removesuffix(".json").removeprefix("lvis_")] = len(load_lvis(folder / name).table)
    order = np.argsort(-categories.instance_count, kind="stable")
    n_frequent, n_common, n_rare = ((categories.frequency == FREQUENCIES.index(code)).sum() for code in "fcr")
    top = categories.instance_count[order[: len(order) // 10]].sum() / max(1, rows["train"])
    return Description(
        rows=rows,
        classes={categories.name[i]: int(categories.instance_count[i]) for i in order[:50]},
        n_classes=len(categories),
        picture=_tail(categories),
        facts={
            "frequent categories, more than 100 images": int(n_frequent),
            "common categories, 11 to 100 images": int(n_common),
            "rare categories, 1 to 10 images": int(n_rare),
            "instances of the commonest tenth of the categories, %": round(100 * float(top), 1),
            "largest over smallest class": int(
                categories.instance_count.max() // max(1, categories.instance_count.min())
            ),
        },
    )


def _train_file(folder: Path) -> Path:
    """The category info if it is there: the same counts, without reading a gigabyte of polygons."""
    names = ("lvis_v1_train_cat_info.json", "lvis_v1_train.json")
    for name in names:
        if (folder / name).exists() or (folder / f"{name}.gz").exists():
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
    return Picture(
        "curve",
        {
            "x": list(range(1, shown + 1)),
            "series": series,
            "x_label": "category, commonest first",
            "y_label": "count in train",
            "log": "xy",
        },
        f"Instances and images of each of LVIS's {shown} categories, sorted, on logarithmic axes: from tens of "
        "thousands down to one, with the bounds of common and rare at 100 and 10 images.",
    )
