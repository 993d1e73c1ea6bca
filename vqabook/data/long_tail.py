"""Long tails cut out of balanced sets: how many rows each class keeps, and which.

Exponential: Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of Samples", 2019,
arXiv:1901.05555, Sec. 5.1; used by LDAM (arXiv:1906.07413) and Balanced Softmax (arXiv:2007.10740).
Train alone is cut; validation is carved out of what is left with `vqabook.splits.validation_split(labels)`, and test
stays balanced.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from vqabook.splits import rank_within

_ROUNDING = 1e-9  # 49 * (1 / 49) is 0.9999999999999999 in floating point, and must count as 1


def long_tail_counts(n_max: int, n_classes: int, imbalance: float) -> list[int]:
    """Rows a class, most frequent first: floor(n_max * (1 / imbalance)^(i / (n_classes - 1))), i = 0, 1, ...

    `imbalance` (IF) is the size of the largest class over that of the smallest: 1 is balanced, the papers use 10 to
    200. Raises if the smallest class would be empty.
    """
    if not imbalance >= 1:
        raise ValueError(f"imbalance must be >= 1, got {imbalance}; papers quote its inverse (0.01 -> 100)")
    if n_classes < 2:
        raise ValueError(f"a long tail needs at least 2 classes, got {n_classes}; give the number of classes")
    if n_max / imbalance + _ROUNDING < 1:
        raise ValueError(
            f"every class keeps at least one row, but {n_max} rows at imbalance {imbalance} leave none for the rarest; "
            f"use an imbalance of at most {n_max}"
        )
    ratio = 1 / imbalance
    return [int(n_max * ratio ** (i / (n_classes - 1)) + _ROUNDING) for i in range(n_classes)]


def long_tail_rows(labels: Int[np.ndarray, " n"], counts: Sequence[int], *, seed: int) -> Int[np.ndarray, " kept"]:
    """Rows to keep, sorted, so that class i has `counts[i]` of them.

    One random rank a row decides: with the same `seed` a longer tail keeps a subset of what a shorter one keeps. Report
    several seeds: to the subset's seed alone a baseline of 73.2 % against the paper's 70.4 is put down
    (kaidic/LDAM-DRW, issue 4).
    """
    n_classes, kept = len(counts), np.asarray(counts)
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes:
        span = f"{labels.min()} to {labels.max()}" if len(labels) else "none"
        raise ValueError(
            f"counts has one entry a class and labels are 0 to {n_classes - 1} here, got labels {span}; "
            "give as many counts as there are classes"
        )
    there = np.bincount(labels, minlength=n_classes)
    wrong = (kept < 0) | (kept > there)
    if wrong.any():
        worst = int(np.argmax(wrong))
        raise ValueError(
            f"a class keeps 0 to as many rows as it has: class {worst} has {there[worst]}, asked for {kept[worst]}; "
            "lower n_max to the smallest class, or carve validation out after the tail is cut"
        )
    return np.flatnonzero(rank_within(labels, np.random.default_rng(seed)) < kept[labels])
