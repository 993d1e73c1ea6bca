"""Surrogate attention maps: masks, and what a trained model does under them."""

from vqabook.surrogates.probing import (
    MASKS,
    Probe,
    Surrogates,
    mask_scores,
    pair_masks,
    region_masks,
    region_probe,
    surrogates,
    word_masks,
    word_probe,
)
