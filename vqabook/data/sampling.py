"""Which rows an epoch shows, where not every row once: class-balanced sampling and repeat-factor sampling.

Shen, Lin, Huang 2016 (class-aware sampling); Gupta, Dollár, Girshick 2019, "LVIS", arXiv:1908.03195, Appendix B.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def class_balanced_order(labels: Int[Tensor, " n"], *, generator: torch.Generator | None = None) -> Int[Tensor, " n"]:
    """As many rows as there are, drawn with replacement: a class evenly, then one of its rows evenly."""
    n_rows = torch.bincount(labels)
    return torch.multinomial(1 / n_rows[labels].double(), len(labels), replacement=True, generator=generator)


def repeat_factors(shown: Bool[Tensor, "n c"], *, threshold: float = 1e-3) -> Float[Tensor, " n"]:
    """How often each image is shown an epoch: max over its classes of max(1, √(threshold / f_c)).

    `shown[i, j]`: image i shows class j; f_c is the share of images that show class c. An image of nothing counts once.
    """
    return (shown * class_factors(shown.double().mean(0), threshold=threshold)).amax(1).clamp(min=1)


def class_factors(share: Float[Tensor, " c"], *, threshold: float = 1e-3) -> Float[Tensor, " c"]:
    """max(1, √(threshold / f_c)) of each class' share of the images, f_c; 1 for a class that no image shows."""
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold is a share of the images, in (0, 1], got {threshold}; LVIS takes 0.001")
    return torch.where(share > 0, (threshold / share.clamp(min=torch.finfo(share.dtype).tiny)).sqrt().clamp(min=1), 1)


def repeated_order(factors: Float[Tensor, " n"], *, generator: torch.Generator | None = None) -> Int[Tensor, " shown"]:
    """Rows of an epoch, shuffled: each `floor(factor)` times, and once more with the rest as probability."""
    whole = factors.floor()
    more = torch.rand(len(factors), generator=generator, dtype=torch.double) < factors - whole
    rows = torch.repeat_interleave(torch.arange(len(factors)), whole.long() + more)
    return rows[torch.randperm(len(rows), generator=generator)]


@runtime_checkable
class GivesRows(Protocol):
    """Features [n, d], a tensor or what reads rows as they are asked for."""

    def __getitem__(self, rows: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class DrawEvenly:
    """A Table's lookup: features of a row, and of another one, drawn class by class, with its label."""

    x: GivesRows
    by_class: Int[Tensor, " n"]  # rows, class after class
    counts: Int[Tensor, " c"]

    def __call__(self, rows: Int[Tensor, " b"]) -> tuple[Tensor, Tensor, Tensor]:
        drawn = torch.randint(len(self.counts), rows.shape, device=rows.device)
        within = (torch.rand(rows.shape, device=rows.device) * self.counts[drawn]).long()
        first = self.counts.cumsum(0) - self.counts
        return self.x[rows], self.x[self.by_class[first[drawn] + within]], drawn
