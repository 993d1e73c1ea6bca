"""How a learning rate changes over training: a function of the epoch alone, so that nothing of it needs to be saved."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A factor of the learning rate: a linear warm-up, then constant, in steps or along a cosine.

    Epochs here have fractions: the factor changes from batch to batch.
    """

    warmup: float = 0.0  # epochs
    start: float = 0.0  # of the warm-up, in [0, 1]
    cosine: bool = False  # to zero at the end of training
    drops: tuple[tuple[int, float], ...] = ()  # (epoch, factor from its start on), each of `lr`

    def __post_init__(self):
        if self.warmup < 0 or not 0 <= self.start <= 1 or (self.cosine and self.drops):
            raise ValueError(
                "a schedule warms up for 0 epochs or more from a factor in [0, 1], and then falls along a cosine or in "
                f"steps, got {self}"
            )

    def factor(self, epoch: float, epochs: int) -> float:
        """At `epoch` of `epochs`, counted from 0."""
        if epoch < self.warmup:
            return self.start + (1 - self.start) * epoch / self.warmup
        if self.cosine:
            return (1 + math.cos(math.pi * (epoch - self.warmup) / max(epochs - self.warmup, 1e-9))) / 2
        return next((factor for at, factor in sorted(self.drops, reverse=True) if epoch >= at), 1.0)
