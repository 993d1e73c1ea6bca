"""Image sets with classes of unequal size, each with a control of the same classes in equal numbers.

Imbalanced CIFAR-10 (its long tail is that of LDAM, arXiv:1906.07413), the seven people of LFW, who are imbalanced by
nature, and scikit-learn's digits with a long tail, which need no download.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vqabook.core import Table
from vqabook.data.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES, load_cifar10, load_cifar100
from vqabook.data.faces import load_faces
from vqabook.data.long_tail import long_tail_counts, long_tail_rows
from vqabook.data.tables import hold_out, to_device
from vqabook.extras import import_extra

DIVISIONS = ("imbalanced", "balanced")


@dataclass(frozen=True)
class Cut:
    """How rows are chosen. `imbalance` None: as it is by nature; `held_out` None: the official test split."""

    dataset: str
    division: str
    imbalance: float | None
    held_out: float | None
    seed: int

    def __post_init__(self):
        if self.dataset not in POOLS:
            raise ValueError(f"data sets are {', '.join(POOLS)}, got {self.dataset!r}; choose among them")
        if self.division not in DIVISIONS:
            raise ValueError(f"division is one of {', '.join(DIVISIONS)}, got {self.division!r}; choose one")


@dataclass(frozen=True)
class CutImages(Cut):
    """A cut as a recipe names it: with the rows of each class that it has, and a hash of their labels."""

    counts: list[int]
    held_out_counts: list[int]
    digest: str


@dataclass(frozen=True)
class Division:
    """A data set cut for one run. `frequency`: training rows a class of the imbalanced cut, whichever this one is."""

    train: Table
    held_out: Table
    names: tuple[str, ...]
    frequency: Int[np.ndarray, " c"]

    def describe(self, cut: Cut) -> CutImages:
        """The cut that this is the division of, for a recipe."""
        columns = [table.labels.cpu().numpy() for table in (self.train, self.held_out)]
        digest = hashlib.sha256(b"/".join(column.astype(np.uint8).tobytes() for column in columns)).hexdigest()
        train, held_out = (np.bincount(column, minlength=len(self.names)).tolist() for column in columns)
        return CutImages(**asdict(cut), counts=train, held_out_counts=held_out, digest=digest[:12])

    def to(self, device: torch.device) -> Division:
        """The same rows on a device."""
        return replace(self, train=to_device(self.train, device), held_out=to_device(self.held_out, device))


@dataclass(frozen=True)
class Pool:
    """A data set before it is cut; `held_out` is None where there is no official test split."""

    rows: Table
    held_out: Table | None
    names: tuple[str, ...]


def divide(cut: Cut, root: str | os.PathLike) -> Division:
    """The rows of a cut; both divisions hold out the same rows, and a made tail and its control have equally many.

    Class 0 is the most frequent of a made tail. Where the imbalance is natural each class of the control has as many
    rows as the rarest. Training rows, and held-out ones without an official split, are drawn by the cut's seed.
    """
    pool = _pool(cut.dataset, Path(root))
    rows, held_out = pool.rows, pool.held_out
    if cut.held_out is not None:
        rows, held_out = hold_out(rows, fraction=cut.held_out, seed=cut.seed)
    if held_out is None:
        raise ValueError(f"{cut.dataset} has no official test split, got held_out None; give a fraction of its rows")
    labels, n = rows.labels.numpy(), rows.n_classes
    there = np.bincount(labels, minlength=n)
    counts = there if cut.imbalance is None else np.array(long_tail_counts(int(there.min()), n, cut.imbalance))
    total = n * there.min() if cut.imbalance is None else counts.sum()
    even = total // n + (np.arange(n) < total % n)
    kept = counts if cut.division == "imbalanced" else even
    chosen = torch.from_numpy(long_tail_rows(labels, kept.tolist(), seed=cut.seed))
    return Division(rows.subset(chosen), held_out, pool.names, counts)


@lru_cache(maxsize=2)
def _pool(dataset: str, root: Path) -> Pool:
    return POOLS[dataset](root)


def _cifar10(root: Path) -> Pool:
    return Pool(*load_cifar10(root / "cifar10"), CIFAR10_CLASSES)


def _cifar100(root: Path) -> Pool:
    return Pool(*load_cifar100(root / "cifar100"), CIFAR100_CLASSES)


def _faces(root: Path) -> Pool:
    """All photographs of the seven people, their split undone: each run cuts its own."""
    faces = load_faces(root)
    parts = (faces.train, faces.valid, faces.test)
    images, target = torch.cat([p.inputs[0] for p in parts]), torch.cat([p.labels for p in parts])
    return Pool(replace(faces.train, inputs=(images,), target=target, side={}), None, faces.people)


def _digits(root: Path) -> Pool:
    """1,797 grey images of 8 x 8, 16 levels; they lie in scikit-learn itself."""
    digits = import_extra("sklearn.datasets").load_digits()
    images, target = torch.from_numpy(digits.images).byte()[:, None], torch.from_numpy(digits.target).long()
    return Pool(Table((images,), target, 10, lookup=_from_sixteenths), None, tuple("0123456789"))


def _from_sixteenths(images: UInt8[Tensor, "b 1 8 8"]) -> tuple[Float[Tensor, "b 1 8 8"]]:
    return (images.float() / 16,)


POOLS = {"cifar10": _cifar10, "cifar100": _cifar100, "faces": _faces, "digits": _digits}
