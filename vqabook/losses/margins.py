"""A margin for each class of a long tail, and the bound on the error that it gives: Ren et al. 2020, Theorem 2."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor


def optimal_margins(counts: Int[np.ndarray, " c"], beta: float = 1.0) -> Float[np.ndarray, " c"]:
    """γ*_j = β n_j^(-1/4) / Σ_i n_i^(-1/4) (Theorem 2, Eq. 26)."""
    margins = np.asarray(counts, float) ** -0.25
    return beta * margins / margins.sum()


@dataclass(frozen=True)
class Bound:
    """Theorem 2 for one classifier: what it bounds, and the terms of Eq. 23, each a mean over classes."""

    error: float  # share of balanced test rows whose loss is above the threshold (Eq. 16)
    in_margin: float  # share of training rows whose loss and margin are (Eq. 21)
    complexity: float  # 4 / γ_j √(C / n_j)
    low_order: float  # ε_j (Eq. 24)

    @property
    def total(self) -> float:
        """The bound on `error`."""
        return self.in_margin + self.complexity + self.low_order

    @property
    def rows_for_one(self) -> float:
        """How many times the rows bring the bound down to 1, where it begins to say something."""
        return ((self.complexity + self.low_order) / (1 - self.in_margin)) ** 2 if self.in_margin < 1 else math.inf


def linear_complexities(
    weight: Float[Tensor, "w c"], x: Float[Tensor, "n d"], labels: Int[Tensor, " n"]
) -> list[float]:
    """√(C / n_j) of each class: it bounds the Rademacher complexity of the cross-entropies over the class' rows.

    Of linear classifiers whose w = d + 1 weights a class, the last for the bias, have this one's norm |w| at most:
    2 |w| √k |x| / √n_j, |x| the root mean square of the class' rows with their 1 for the bias (the contraction of
    vectors, Maurer 2016, and losses that are √2-Lipschitz). That is generous: the norm is chosen afterwards.
    """
    n_classes, found = weight.shape[1], []
    for j in range(n_classes):
        mine = x[labels == j]
        size = math.sqrt(float((mine.square().sum(1) + 1).mean()))
        found.append(2 * float(weight.norm()) * math.sqrt(n_classes) * size / math.sqrt(len(mine)))
    return found


def evaluate_bound(
    test: Float[Tensor, " m"],
    costs: Float[Tensor, " n"],
    labels: Int[Tensor, " n"],
    complexities: list[float],
    margins: Float[np.ndarray, " c"],
    *,
    threshold: float,
    delta: float = 0.05,
) -> Bound:
    """Eqs. 15-24 of a classifier's losses: `test`, of balanced test rows, and `costs`, of training rows of `labels`.

    `complexities`: √(C / n_j) of each class, as `linear_complexities` has them. δ is as printed, without the k of a
    union bound.
    """
    error = (test > threshold).double().mean()
    furthest = float((costs - threshold).abs().max())
    terms = []
    for j, (complexity, margin) in enumerate(zip(complexities, margins.tolist(), strict=True)):
        mine = costs[labels == j]
        n = len(mine)
        low = math.sqrt(math.log(math.log2(4 * furthest / margin)) / n) + math.sqrt(math.log(1 / delta) / (2 * n))
        terms.append((float((mine + margin > threshold).double().mean()), 4 / margin * complexity, low))
    return Bound(float(error), *np.mean(terms, axis=0).tolist())
