"""Image sets with classes of unequal size, each with a control of the same classes in equal numbers.

What a recipe says of them: the rows that a cut takes, as arrays. `data.image_tables` makes Tables of these.

Imbalanced CIFAR-10 (its long tail is that of LDAM, arXiv:1906.07413), the seven people of LFW, who are imbalanced by
nature, and scikit-learn's digits with a long tail, which need no download.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from vqabook.data.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES, read_cifar10, read_cifar100
from vqabook.data.faces import read_faces, split_faces
from vqabook.data.long_tail import long_tail_counts, long_tail_rows
from vqabook.extras import told_if_missing
from vqabook.splits import validation_split

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
class Images:
    """Labelled images, as bytes."""

    pixels: UInt8[np.ndarray, "n c h w"]
    labels: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, rows: Int[np.ndarray, " m"]) -> Images:
        """Those in these rows."""
        return Images(self.pixels[rows], self.labels[rows])

    def hold_out(self, fraction: float, *, seed: int = 0) -> tuple[Images, Images]:
        """Those that are kept, and the `fraction` of each class that is held out."""
        kept, held_out = validation_split(self.labels, fraction=fraction, seed=seed)
        return self.subset(kept), self.subset(held_out)


def digest_images(parts: Iterable[Images]) -> str:
    """Hash of what is learnt from and judged by: of Tables of these `data.tables.digest_tables` gives the same."""
    digest = hashlib.sha256()
    for images in parts:
        for column in (images.pixels, images.labels):
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Selection:
    """The images of a cut. `frequency`: training rows a class of the imbalanced cut, whichever this one is."""

    train: Images
    held_out: Images
    names: tuple[str, ...]
    frequency: Int[np.ndarray, " c"]

    def describe(self, cut: Cut) -> CutImages:
        """The cut that this is the selection of, for a recipe."""
        columns = [images.labels for images in (self.train, self.held_out)]
        digest = hashlib.sha256(b"/".join(column.astype(np.uint8).tobytes() for column in columns)).hexdigest()
        train, held_out = (np.bincount(column, minlength=len(self.names)).tolist() for column in columns)
        return CutImages(**asdict(cut), counts=train, held_out_counts=held_out, digest=digest[:12])


@dataclass(frozen=True)
class Pool:
    """A data set before it is cut; `held_out` is None where there is no official test split."""

    rows: Images
    held_out: Images | None
    names: tuple[str, ...]


def select_images(cut: Cut, root: str | os.PathLike) -> Selection:
    """The rows of a cut; both divisions hold out the same rows, and a made tail and its control have equally many.

    Class 0 is the most frequent of a made tail. Where the imbalance is natural each class of the control has as many
    rows as the rarest. Training rows, and held-out ones without an official split, are drawn by the cut's seed.
    """
    pool = _pool(cut.dataset, Path(root))
    rows, held_out, n = pool.rows, pool.held_out, len(pool.names)
    if cut.held_out is not None:
        rows, held_out = rows.hold_out(cut.held_out, seed=cut.seed)
    if held_out is None:
        raise ValueError(f"{cut.dataset} has no official test split, got held_out None; give a fraction of its rows")
    there = np.bincount(rows.labels, minlength=n)
    counts = there if cut.imbalance is None else np.array(long_tail_counts(int(there.min()), n, cut.imbalance))
    total = n * there.min() if cut.imbalance is None else counts.sum()
    even = total // n + (np.arange(n) < total % n)
    kept = counts if cut.division == "imbalanced" else even
    chosen = long_tail_rows(rows.labels, kept.tolist(), seed=cut.seed)
    return Selection(rows.subset(chosen), held_out, pool.names, counts)


@lru_cache(maxsize=2)
def _pool(dataset: str, root: Path) -> Pool:
    return POOLS[dataset](root)


def _cifar10(root: Path) -> Pool:
    train, test = (Images(*columns) for columns in read_cifar10(root / "cifar10"))
    return Pool(train, test, CIFAR10_CLASSES)


def _cifar100(root: Path) -> Pool:
    train, test = (Images(columns[0], columns[-1]) for columns in read_cifar100(root / "cifar100"))
    return Pool(train, test, CIFAR100_CLASSES)


def _faces(root: Path) -> Pool:
    """All photographs of the seven people, their split undone: each run cuts its own."""
    faces = read_faces(root)
    order = np.concatenate(split_faces(faces.labels))
    return Pool(Images(faces.images[order], faces.labels[order]), None, faces.people)


@told_if_missing()
def _digits(root: Path) -> Pool:
    """1,797 grey images of 8 x 8, 16 levels; a file of scikit-learn, which takes seconds to import and is not."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("digits lie in scikit-learn", name="sklearn")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.int64)
    pixels = table[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8)
    return Pool(Images(pixels, table[:, -1].copy()), None, tuple("0123456789"))


POOLS = {"cifar10": _cifar10, "cifar100": _cifar100, "faces": _faces, "digits": _digits}
