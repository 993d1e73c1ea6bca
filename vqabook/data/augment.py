"""Random shifts and mirror images of training images, on the device that holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Augment:
    """A Table's lookup followed by shifts of up to `shift` pixels, filled with zeros, and by flips, drawn row by row.

    He et al. 2016, arXiv:1512.03385, Sec. 4.2, as all train on CIFAR since; there `shift` is 4. Draws from torch's
    global generator, which `fit` seeds and keeps in its checkpoints. Give it to training rows alone.
    """

    lookup: Callable[..., tuple[Tensor, ...]]
    shift: int
    flip: bool

    def __call__(self, images: Tensor) -> tuple[Float[Tensor, "b channel h w"]]:
        (x,) = self.lookup(images)
        (b, _, h, w), device = x.shape, x.device
        top, left = torch.randint(0, 2 * self.shift + 1, (2, b, 1)).to(device)
        mirrored = (torch.rand(b, 1) < (0.5 if self.flip else 0.0)).to(device)
        row, column = top + torch.arange(h, device=device), left + torch.arange(w, device=device)
        column = torch.where(mirrored, column.flip(1), column)
        padded, image = F.pad(x, (self.shift,) * 4), torch.arange(b, device=device)
        return (padded[image[:, None, None], :, row[:, :, None], column[:, None]].permute(0, 3, 1, 2),)
