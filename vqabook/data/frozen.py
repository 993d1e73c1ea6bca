"""Frozen features of labelled images: what a linear classifier is trained on where no network learns.

CIFAR's come from `vqabook data features`, train before test; scikit-learn's digits are their own pixels.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float, Int

from vqabook.data.imbalanced import Cut, select_images
from vqabook.data.long_tail import long_tail_counts, long_tail_rows
from vqabook.features.file import map_features

BACKBONE = "efficientnet-lite0"
PIXELS = "pixels"
TRAIN = 50_000  # rows of CIFAR in its feature file that are training ones; the others are test
HELD_OUT = 0.4  # of digits, where there is no official split


@dataclass(frozen=True)
class Frozen:
    """Features and labels of all training rows, before a tail is cut, and of the balanced test rows."""

    train: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]
    test: Float[np.ndarray, "m d"]
    truth: Int[np.ndarray, " m"]
    about: str  # JSON, what gave them

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.truth.max()) + 1

    def digest(self) -> str:
        """Of what gave the features, and of all labels in order. Not of numbers, whose last digits are a machine's."""
        labels = np.concatenate([self.labels, self.truth]).astype(np.uint8).tobytes()
        return hashlib.sha256(self.about.encode() + labels).hexdigest()[:12]


def path_of(dataset: str, side: int, root: Path) -> Path:
    """Where the features of a data set's images lie, extracted at so many pixels a side."""
    return root / dataset / f"{BACKBONE}-{side}.h5"


@lru_cache(maxsize=4)
def read_frozen(dataset: str, side: int, root: Path, seed: int = 0) -> Frozen:
    """The frozen features of a data set; the pixels of digits, whose test rows a seed holds out."""
    if dataset == "digits":
        whole = select_images(Cut("digits", "imbalanced", 1.0, HELD_OUT, seed), root)
        train, test = ((x.pixels.reshape(len(x), -1) / 16, x.labels) for x in (whole.train, whole.held_out))
        return Frozen(*train, *test, PIXELS)
    path = path_of(dataset, side, root)
    if not path.exists():
        raise FileNotFoundError(
            f"heads are trained on frozen features: {path} does not exist; check data_root, or run: vqabook data "
            f"features {root / dataset} {path} --size {side} --grid 1 --dtype float16"
        )
    parts = map_features(path)
    if "labels" not in parts or "first" in parts or parts["codes"].shape[1] != 1:
        raise ValueError(f"heads read one feature of each image, and its label: {path} has others; extract it again")
    order = np.argsort(parts["image_ids"])
    features, labels = parts["codes"][order, 0].astype(np.float32), parts["labels"][order]
    with h5py.File(path) as file:
        recipe = json.loads(file.attrs["recipe"])
    told = {name: recipe[name] for name in ("backbone", "weights_sha256", "size", "resize", "mean", "std", "grid")}
    about = json.dumps(told, sort_keys=True)
    return Frozen(features[:TRAIN], labels[:TRAIN], features[TRAIN:], labels[TRAIN:], about)


def cut_tail(frozen: Frozen, imbalance: float, seed: int) -> tuple[Int[np.ndarray, " kept"], list[int]]:
    """Training rows of a tail, and how many each class has."""
    most = int(np.bincount(frozen.labels).min())
    counts = long_tail_counts(most, frozen.classes, imbalance)
    return long_tail_rows(frozen.labels, counts, seed=seed), counts
