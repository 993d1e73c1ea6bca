"""Made classes whose true posteriors are known: what a classifier learnt is compared with what it should have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """A normal distribution of unit variance a class, evenly spaced on a circle; `counts` rows of each in training."""

    counts: tuple[int, ...]
    radius: float = 1.5

    @property
    def means(self) -> Float[Tensor, "c 2"]:
        angle = 2 * math.pi * torch.arange(len(self.counts), dtype=torch.double) / len(self.counts)
        return self.radius * torch.stack([angle.cos(), angle.sin()], 1)

    def draw(self, counts: Int[Tensor, " c"], seed: int) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]:
        """So many rows of each class."""
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(len(counts)).repeat_interleave(counts)
        return self.means[labels] + torch.randn(len(labels), 2, generator=generator, dtype=torch.double), labels

    def draw_evenly(self, n: int, seed: int) -> Float[Tensor, "n 2"]:
        """Test rows, as many of each class."""
        return self.draw(torch.full((len(self.counts),), n // len(self.counts)), seed)[0]

    @property
    def train_prior(self) -> Float[Tensor, " c"]:
        counts = torch.tensor(self.counts, dtype=torch.double)
        return counts / counts.sum()

    @property
    def test_prior(self) -> Float[Tensor, " c"]:
        return torch.full((len(self.counts),), 1 / len(self.counts), dtype=torch.double)

    def posterior(self, x: Float[Tensor, "n 2"], prior: Float[Tensor, " c"]) -> Float[Tensor, "n c"]:
        """p(y | x) under these shares of the classes."""
        return (-torch.cdist(x, self.means).square() / 2 + prior.log()).softmax(1)
