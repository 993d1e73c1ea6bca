"""Ranks of rules over data sets, and how far apart two must be (Demšar 2006, JMLR 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95


class Ranks(NamedTuple):
    """Mean ranks over sets, and how far two must be apart (Demšar 2006, Sec. 3.2.2): Friedman's p, Nemenyi's CD."""

    mean: dict[str, float]
    sets: int
    p: float
    distance: float

    @classmethod
    def of(cls, rows: Sequence[str], ranks: Float[np.ndarray, "n k"]) -> Ranks:
        """Of ranks [sets, rules]. CD = q √(k (k + 1) / (6 N)), q the studentised range's over √2."""
        n, k = ranks.shape
        q = stats.studentized_range.ppf(LEVEL, k, np.inf) / np.sqrt(2)
        p = float(stats.friedmanchisquare(*ranks.T).pvalue) if n > 1 and k > 2 else 1.0
        means = dict(zip(rows, ranks.mean(0).tolist(), strict=True))
        order = dict(sorted(means.items(), key=lambda item: item[1]))
        return cls(order, n, p, float(q * np.sqrt(k * (k + 1) / (6 * n))))

    def groups(self) -> list[tuple[float, float]]:
        """First and last rank of rules that cannot be told apart, the widest groups alone."""
        ranks = list(self.mean.values())
        ends = [max(x for x in ranks if x - start <= self.distance) for start in ranks]
        spans = [(start, end) for start, end in zip(ranks, ends, strict=True) if end > start]
        return [span for i, span in enumerate(spans) if not i or span[1] > spans[i - 1][1]]
