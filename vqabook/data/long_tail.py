"""Long tails cut out of balanced sets: how many rows each class keeps, and which.

Exponential: Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of Samples", 2019,
arXiv:1901.05555, Sec. 5.1; used by LDAM (arXiv:1906.07413) and Balanced Softmax (arXiv:2007.10740).
Step: Buda, Maki, Mazurowski, 2018, arXiv:1710.05381, Sec. 3.1. Train alone is cut; validation is carved out of what is
left with `vqabook.splits.validation_split(labels)`, and test stays balanced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vqabook.splits import rank_within

if TYPE_CHECKING:
    from jaxtyping import Int

_ROUNDING = 1e-9  # 49 * (1 / 49) is 0.9999999999999999 in floating point, and must count as 1


def long_tail_counts(n_max: int, n_classes: int, imbalance: float) -> list[int]:
    """Rows a class, most frequent first: floor(n_max * (1 / imbalance)^(i / (n_classes - 1))), i = 0, 1, ...

    `imbalance` (IF) is the size of the largest class over that of the smallest: 1 is balanced, the papers use 10 to
    200. Raises if the smallest class would be empty.
    """
    _check(n_max, n_classes, imbalance)
    ratio = 1 / imbalance
    return [int(n_max * ratio ** (i / (n_classes - 1)) + _ROUNDING) for i in range(n_classes)]


def step_counts(n_max: int, n_classes: int, imbalance: float, *, minority_fraction: float = 0.5) -> list[int]:
    """Rows a class: `n_max` for the first classes, floor(n_max / imbalance) for the last `minority_fraction` of them.

    With a fraction that does not divide the classes, the minority gets the odd one, as in LDAM's release.
    """
    _check(n_max, n_classes, imbalance)
    n_major = int(n_classes * (1 - minority_fraction) + _ROUNDING) if 0 < minority_fraction < 1 else 0
    if n_major == 0:
        raise ValueError(
            f"minority_fraction leaves frequent and rare classes, got {minority_fraction} of {n_classes} classes; "
            "choose one in (0, 1) that gives at least one of each"
        )
    return [n_max] * n_major + [int(n_max * (1 / imbalance) + _ROUNDING)] * (n_classes - n_major)


def long_tail_rows(
    labels: Int[np.ndarray, " n"],
    counts: Sequence[int],
    *,
    seed: int,
    class_order: Sequence[int] | Int[np.ndarray, " c"] | None = None,
) -> Int[np.ndarray, " kept"]:
    """Rows to keep, sorted, so that class `class_order[i]` has `counts[i]` of them; class i itself by default.

    The papers let class 0 be the most frequent; `np.random.default_rng(s).permutation(n_classes)` draws another order,
    with a seed of its own, so that which classes are rare and which rows stay vary apart. One random rank a row
    decides: with the same `seed` a longer tail keeps a subset of what a shorter one keeps. Report several seeds: to
    the subset's seed alone a baseline of 73.2 % against the paper's 70.4 is put down (kaidic/LDAM-DRW, issue 4).
    """
    labels = np.asarray(labels)
    n_classes = len(counts)
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes:
        found = f"{labels.min()} to {labels.max()}" if len(labels) else "none"
        raise ValueError(
            f"counts has one entry a class and labels are 0 to {n_classes - 1} here, got labels {found}; "
            "give as many counts as there are classes"
        )
    kept = np.empty(n_classes, np.int64)
    kept[_order(class_order, n_classes)] = counts
    there = np.bincount(labels, minlength=n_classes)
    if kept.min() < 0 or (kept > there).any():
        worst = int(np.argmax((kept > there) | (kept < 0)))
        raise ValueError(
            f"a class keeps 0 to as many rows as it has: class {worst} has {there[worst]}, asked for {kept[worst]}; "
            "lower n_max to the smallest class, or carve validation out after the tail is cut"
        )
    return np.flatnonzero(rank_within(labels, np.random.default_rng(seed)) < kept[labels])


def _order(class_order: Sequence[int] | np.ndarray | None, n_classes: int) -> Int[np.ndarray, " c"]:
    order = np.arange(n_classes) if class_order is None else np.asarray(class_order)
    if not np.array_equal(np.sort(order), np.arange(n_classes)):
        raise ValueError(
            f"class_order names each class 0 to {n_classes - 1} once, got {list(order[:10])} ({len(order)} entries); "
            "pass a permutation"
        )
    return order


def _check(n_max: int, n_classes: int, imbalance: float) -> None:
    if not imbalance >= 1:
        raise ValueError(f"imbalance must be >= 1, got {imbalance}; papers quote its inverse (0.01 -> 100)")
    if n_classes < 2:
        raise ValueError(f"a long tail needs at least 2 classes, got {n_classes}; give the number of classes")
    if n_max / imbalance + _ROUNDING < 1:
        raise ValueError(
            f"every class keeps at least one row, but {n_max} rows at imbalance {imbalance} leave none for the rarest; "
            f"use an imbalance of at most {n_max}"
        )
