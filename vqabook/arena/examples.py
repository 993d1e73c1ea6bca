"""A user's rows, checked: which classes, rows and columns take part, in one order, with one name for all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from vqabook.arena.readers import Raw, Rows

LEAST = 3  # rows of a class: one for training, validation and test each
MOST = 2_000  # classes: heads of all rules are trained at once
BLOCK = 8 << 20  # numbers that are looked at together


@dataclass(frozen=True)
class Examples:
    """Rows that take part: `rows` of `x`, whose classes are numbered from the most frequent on."""

    name: str
    x: Rows
    rows: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    columns: Int[np.ndarray, " d"]  # of x, without those that are constant
    left_out: Mapping[str, int]  # classes with fewer than three rows, and how many they have
    constant: tuple[str, ...]  # columns
    notes: tuple[str, ...]
    digest: str  # of all features and labels

    @property
    def counts(self) -> Int[np.ndarray, " c"]:
        """Rows of each class."""
        return np.bincount(self.labels, minlength=len(self.classes))


def check(raw: Raw) -> Examples:
    """The rows of `raw` that take part. ValueError, one sentence, for features or labels that are none.

    A class with fewer than three rows is left out, and so is a column that never changes; both are named.
    """
    n = len(raw.y)
    if len(raw.x.shape) != 2 or raw.x.dtype.kind not in "iufb":
        raise ValueError(f"features are numbers [n, d], got {raw.x.dtype} {list(raw.x.shape)}; flatten or convert them")
    if raw.x.shape[0] != n or raw.y.ndim != 1:
        raise ValueError(
            f"every row of features has one label: {raw.x.shape[0]} rows, labels {list(raw.y.shape)}; match them"
        )
    values, labels, counts = np.unique(as_labels(raw.y), return_inverse=True, return_counts=True)
    _check_classes(values, counts)
    names = [str(value) for value in values]
    moving, digest = look_through(raw)
    digest.update(repr(names).encode() + labels.astype(np.int32).tobytes())
    order = sorted(np.flatnonzero(counts >= LEAST), key=lambda i: (-counts[i], _by_number(names[i])))
    place = np.full(len(names), -1)
    place[order] = np.arange(len(order))
    labels = place[labels]
    titles = list(raw.columns) or [f"column {i}" for i in range(raw.x.shape[1])]
    if not moving.any():
        raise ValueError("features differ between rows: every column is constant; check that these are the features")
    return Examples(
        raw.name,
        raw.x,
        np.flatnonzero(labels >= 0),
        labels[labels >= 0],
        tuple(names[i] for i in order),
        np.flatnonzero(moving),
        {names[i]: int(counts[i]) for i in np.flatnonzero(counts < LEAST)},
        tuple(titles[i] for i in np.flatnonzero(~moving).tolist()),
        raw.notes,
        digest.hexdigest()[:12],
    )


def as_labels(y: np.ndarray) -> np.ndarray:
    """Labels as integers, bools or texts; of floats those that are whole numbers. ValueError for others."""
    if y.dtype.kind == "O" and all(isinstance(value, float | np.floating) for value in y):
        y = y.astype(float)
    if y.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(y) | (y != np.round(y)))
        if len(bad):
            raise ValueError(
                f"labels are classes, whole numbers or texts: row {bad[0]} has {y[bad[0]]:g}; put measurements into "
                "bins, and fill what is missing"
            )
        y = y.astype(np.int64)
    if y.dtype.kind not in "iubUSO":
        raise ValueError(f"labels are integers, texts or bools, got {y.dtype}; convert them")
    return y.astype(np.str_) if y.dtype.kind in "SO" else y


def _check_classes(values: np.ndarray, counts: Int[np.ndarray, " c"]) -> None:
    kept = int((counts >= LEAST).sum())
    if len(values) < 2:
        raise ValueError(f"rules are compared on two classes or more: all {counts.sum()} rows are {str(values[0])!r}")
    if not kept:
        raise ValueError(
            f"a class has {LEAST} rows or more: {len(values):,} labels in {counts.sum():,} rows have fewer, the first "
            f"is {str(values[0])!r}; is this column an id, or a measurement?"
        )
    if kept < 2:
        raise ValueError(
            f"two classes or more have {LEAST} rows: only {str(values[counts.argmax()])!r} has so many; "
            "gather more rows of the others"
        )
    if kept > MOST:
        raise ValueError(
            f"the arena compares rules on 2 to {MOST:,} classes, got {kept:,}; join classes, or leave rare ones out"
        )


def _by_number(name: str) -> tuple[bool, int, str]:
    """Classes of as many rows in the order of their numbers, then of their names."""
    whole = name.lstrip("-").isdecimal()
    return not whole, int(name) if whole else 0, name


def look_through(raw: Raw) -> tuple[Bool[np.ndarray, " d"], Any]:
    """Which columns change, and a hash of all features; every number is looked at once, block by block.

    ValueError, with the place, for one that is not finite.
    """
    n, d = raw.x.shape
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    digest = hashlib.sha256(repr((raw.x.shape, raw.x.dtype.str)).encode())
    for start in range(0, n, max(1, BLOCK // max(d, 1))):
        block = np.ascontiguousarray(raw.x[start : start + max(1, BLOCK // max(d, 1))])
        digest.update(block.data)
        finite = np.isfinite(block)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            name = repr(raw.columns[column]) if raw.columns else str(column)
            raise ValueError(
                f"features are finite numbers: column {name} has {block[row, column]} in row {start + row}; fill it, "
                "or leave the row or the column out"
            )
        low, high = np.minimum(low, block.min(0)), np.maximum(high, block.max(0))
    return high > low, digest
