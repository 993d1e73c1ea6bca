"""Agreement of two raters, or of two models, beyond chance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int


def cohen_kappa(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> float:
    """Cohen's unweighted kappa, (p_observed - p_chance) / (1 - p_chance), in [-1, 1]: 1 is identity, 0 is chance.

    Cohen 1960, "A coefficient of agreement for nominal scales". `a`, `b`: labels 0, 1, ... of the same n items.
    nan if both give every item the same one label: chance alone then agrees always, so that agreement says nothing.
    """
    if a.shape != b.shape or a.size == 0:
        came = f"{a.size} and {b.size} labels"
        raise ValueError(f"kappa compares two labels of each item, got {came}; pass equally many, at least one")
    low, high, n = min(a.min(), b.min()), max(a.max(), b.max()), a.size
    if low < 0:
        raise ValueError(f"labels are at least 0, got {low} to {high}; number the classes from 0")
    agreed = int((a == b).sum())
    by_chance = int(np.bincount(a, minlength=high + 1) @ np.bincount(b, minlength=high + 1))  # n^2 p_chance, exact
    return (n * agreed - by_chance) / (n * n - by_chance) if by_chance < n * n else math.nan
