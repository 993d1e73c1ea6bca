"""Surrogate attention maps: masks, and what a trained model does under them."""

from vqabook.surrogates.masks import MASKS, pair_masks, region_masks, word_masks
from vqabook.surrogates.probing import Probe, Surrogates, mask_scores, region_probe, surrogates, word_probe
