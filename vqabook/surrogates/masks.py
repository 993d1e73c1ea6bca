"""Masks of regions and of words: Patro et al. 2021, "Self Supervision for Attention Networks", Secs. 3.2, 4.2, 4.5."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float

MASKS = 500  # Sec. 4.2


def region_masks(n: int, width: int, height: int, *, scale: int, generator: torch.Generator) -> Float[Tensor, "m o"]:
    """`n` random masks in [0, 1] over width x height regions in reading order, and a last one of ones (Sec. 4.2).

    Coins on a grid `scale` times coarser, enlarged bilinearly. Where `scale` does not divide a side, the coarse grid
    takes one cell more: 14 regions at the paper's scale of 6 give 3 cells, since 2 would be a scale of 7.
    """
    if n < 1 or not 1 <= scale <= max(width, height):
        raise ValueError(
            f"masks: at least 1, on a grid scale times coarser, 1 <= scale <= the longer side; got {n} masks, "
            f"scale {scale}, {width} x {height} regions"
        )
    coarse = torch.randint(0, 2, (n, 1, -(-height // scale), -(-width // scale)), generator=generator)
    fine = F.interpolate(coarse.float(), size=(height, width), mode="bilinear", align_corners=False)
    return torch.cat([fine.flatten(1), torch.ones(1, width * height)])


def pair_masks(n_words: int, *, short: bool = False) -> Float[Tensor, "m t"]:
    """Every way to conceal two of `n_words` words, and a last one that conceals none (Sec. 3.2).

    Of fewer than three words a pair would leave nothing to read: ValueError, or, if `short` ones are let through, none
    is concealed, and what is kept is the plain map.
    """
    if n_words < 3 and not short:
        raise ValueError(
            f"two words are concealed of texts of three or more, got a text of {n_words}; leave it out, or keep its "
            "plain map: masks=partial(pair_masks, short=True)"
        )
    pairs = list(combinations(range(n_words), 2)) if n_words > 2 else []
    masks = torch.ones(len(pairs) + 1, n_words)
    for row, pair in zip(masks, pairs, strict=False):
        row[list(pair)] = 0
    return masks


def word_masks(n_words: int, n_kept: int) -> Float[Tensor, "m t"]:
    """Every way to show `n_kept` of `n_words` words alone, and a last one that shows all (Sec. 4.5)."""
    choices = list(combinations(range(n_words), min(n_kept, n_words)))
    masks = torch.zeros(len(choices) + 1, n_words)
    for row, words in zip(masks, choices, strict=False):
        row[list(words)] = 1
    masks[-1] = 1
    return masks
