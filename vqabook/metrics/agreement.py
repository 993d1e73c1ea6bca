"""Agreement of two raters, or of two models, beyond chance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int


def cohen_kappa(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"], *, n_classes: int | None = None) -> float:
    """Cohen's unweighted kappa, (p_observed - p_chance) / (1 - p_chance), in [-1, 1]: 1 is identity, 0 is chance.

    Cohen 1960, "A coefficient of agreement for nominal scales". `a`, `b`: labels 0, 1, ... of the same n items;
    `n_classes` only checks that they are below it.
    nan if both give every item the same one label: chance alone then agrees always, so that agreement says nothing.
    """
    if a.shape != b.shape or a.size == 0:
        came = f"{a.size} and {b.size} labels"
        raise ValueError(f"kappa compares two labels of each item, got {came}; pass equally many, at least one")
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    if low < 0 or (n_classes is not None and high >= n_classes):
        below = "" if n_classes is None else f" and below n_classes = {n_classes}"
        raise ValueError(f"labels must be at least 0{below}, got {low} to {high}; number the classes from 0")
    n = a.size
    agreed = int((a == b).sum())
    by_chance = int(np.bincount(a, minlength=high + 1) @ np.bincount(b, minlength=high + 1))  # n^2 p_chance, exact
    return (n * agreed - by_chance) / (n * n - by_chance) if by_chance < n * n else math.nan
