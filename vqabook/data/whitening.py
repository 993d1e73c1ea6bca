"""Images as maxout networks read them: global contrast normalisation, then ZCA whitening.

Goodfellow et al. 2013, "Maxout Networks", arXiv:1302.4389, Sec. 6.1; what Lee et al. 2017 (CMCL) and Mun et al. 2018 do
to CIFAR-100.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

FLOOR = 0.1  # added to every variance: what varies less is noise. Of pixels whose own is 1
ROWS = 4096  # at once


@dataclass(frozen=True)
class Whitening:
    """x -> (x - mean) E (Λ + 0.1)^(-1/2) Eᵀ of contrast-normalised images, with E Λ Eᵀ their covariance in train."""

    mean: Float[Tensor, " d"]
    turn: Float[Tensor, "d d"]

    @classmethod
    def of(cls, images: UInt8[Tensor, "n c h w"], *, floor: float = FLOOR) -> Whitening:
        """The whitening that training images ask for."""
        total, squares = torch.zeros((), dtype=torch.double), torch.zeros(())
        for block in images.split(ROWS):
            x = normalise_contrast(block).flatten(1)
            total = total + x.sum(0, dtype=torch.double)
            squares = squares + x.T @ x
        mean = total / len(images)
        covariance = squares.double() / len(images) - torch.outer(mean, mean)
        value, vector = torch.linalg.eigh(covariance)
        turn = (vector * (value.clamp(min=0) + floor).rsqrt()) @ vector.T
        return cls(mean.float(), turn.float())

    def __call__(self, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        white = torch.empty(images.shape)
        for block, into in zip(images.split(ROWS), white.split(ROWS), strict=True):
            x = normalise_contrast(block).flatten(1) - self.mean
            into.copy_((x @ self.turn).view_as(into))
        return white


def normalise_contrast(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Each image less its mean, over its standard deviation, across all pixels and channels; a flat one is 0."""
    x = images.float().flatten(1)
    x = x - x.mean(1, keepdim=True)
    spread = x.square().mean(1, keepdim=True).sqrt()
    return (x / spread.masked_fill(spread == 0, 1)).view(images.shape)
